"""`make load`: whole days through the real function process, over HTTP, with a slow Drive."""
