"""The ledger's HTTP interface; `routes` says what is answered at which path."""
