"""The slot of a profile, through which its files pass one at a time, and what is stored with it."""
