"""Stand-ins for services that tests cannot reach, written from their published rules."""
