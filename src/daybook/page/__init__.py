"""The status page: what MongoDB holds of the days, and how people see it. Reads only."""
