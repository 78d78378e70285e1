"""Batches: one document per profile and day, its transitions and its records."""
