"""Reconciling: wallets, transactions, journal and delivered files are compared."""
