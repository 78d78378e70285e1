"""The export of a batch: one run from taking the slot to the committed file (`run.py`)."""
