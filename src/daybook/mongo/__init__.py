"""MongoDB: client, transactions, queries, indexes and migrations."""
