"""The slot of a profile, which its files pass through one at a time, and what is stored with it."""
