"""Proof that what was delivered matches the books, and where each entry went."""
