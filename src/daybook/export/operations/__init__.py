"""What operators and schedules can call besides a run."""
