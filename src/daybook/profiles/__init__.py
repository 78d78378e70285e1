"""Profiles as they are configured: read from TOML, checked against each other, printed."""
