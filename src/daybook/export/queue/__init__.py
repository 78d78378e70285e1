"""The queue: which items wait, which a manifest names, and how they are marked."""
