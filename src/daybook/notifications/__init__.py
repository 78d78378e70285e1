"""Alerts for the operator and receipts for the accountant: texts, languages, delivery."""
