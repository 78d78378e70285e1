"""Batches: one document per profile and day, what it rejects, its transitions and records."""
