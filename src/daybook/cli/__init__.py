"""The operator's commands; `main.py` puts them together."""
