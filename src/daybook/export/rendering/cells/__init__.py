"""The cells of the file from entries, and bytes from cells; no I/O."""
