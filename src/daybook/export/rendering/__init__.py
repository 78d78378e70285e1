"""From the parts of a manifest to the bytes of a file."""
