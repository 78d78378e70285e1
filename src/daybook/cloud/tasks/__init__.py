"""Cloud Tasks: creating the calls that Daybook makes to itself later."""
