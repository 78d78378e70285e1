"""Not deployed: only the command line needs it."""
