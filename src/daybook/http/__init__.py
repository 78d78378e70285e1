"""The HTTP interface of both functions; `routes` says what is answered at which path."""
