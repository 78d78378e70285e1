"""The words of the page, in each language: the same keys, with the same names in braces."""
