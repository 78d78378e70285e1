"""Chromium, driven through its debugging pipe, and axe-core, which looks for barriers."""
