"""Text written by others: made visible for people, safe for logs and JSON, without secrets."""
