"""Where files go: Drive, S3 or a local folder, behind the port in `base.py`."""
