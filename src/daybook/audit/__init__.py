"""Proof: whether what was delivered is what the books say, and where an entry went."""
