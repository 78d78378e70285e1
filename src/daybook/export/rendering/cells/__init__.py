"""From entries to the cells of the file, and from cells to bytes; no I/O."""
