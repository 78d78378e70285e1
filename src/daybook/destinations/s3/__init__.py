"""S3 and stores that speak its protocol as a destination."""
