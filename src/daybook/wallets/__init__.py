"""The ledger: users hold wallets, money moves, and every movement becomes a journal entry."""
