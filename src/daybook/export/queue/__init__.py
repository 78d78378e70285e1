"""The queue: which items are waiting, which a manifest names, and how they are marked."""
