"""Rendering: the bytes of a file from the parts of a manifest."""
