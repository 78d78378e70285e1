"""Deployed."""
