"""Sending one file to the destination, and looking up what it holds."""
