"""Daybook: the day's journal entries as one CSV file in Google Drive, exactly once."""

__version__ = "0.2.0"
