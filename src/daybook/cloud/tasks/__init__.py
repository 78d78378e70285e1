"""Cloud Tasks: scheduling the calls that Daybook makes to itself later."""
