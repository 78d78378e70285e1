"""Stands in for the functions, so that a test need not read the whole source."""
