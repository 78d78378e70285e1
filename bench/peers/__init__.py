"""Other programs at Daybook's work: `make bench-peers`."""
