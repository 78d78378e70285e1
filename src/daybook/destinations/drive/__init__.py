"""Google Drive as a destination."""
