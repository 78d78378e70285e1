"""Settings: every environment variable, its permitted values, and the check at startup."""
