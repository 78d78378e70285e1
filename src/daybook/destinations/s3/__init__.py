"""S3, and stores with the same protocol, as a destination."""
