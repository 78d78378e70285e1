"""Sending one file to the destination, and asking what the destination has."""
