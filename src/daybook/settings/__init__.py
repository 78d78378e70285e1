"""Settings: every environment variable, what it may hold, and the values checked at startup."""
