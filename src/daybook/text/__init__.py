"""Text of others: as people see it, as logs and JSON hold it, and without its secrets."""
