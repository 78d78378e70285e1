"""What operators and schedules ask for beside a run."""
