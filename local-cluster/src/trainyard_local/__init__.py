"""A real Kubernetes of two nodes and a real S3 server on one Linux machine."""
