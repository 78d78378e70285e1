"""Daybook on one machine: embedded MongoDB, sample entries, serving. It is not deployed."""
