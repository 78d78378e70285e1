"""The queue: what is waiting, what a manifest names, how it is marked; how people name entries."""
