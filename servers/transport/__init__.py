"""gRPC plumbing that every server shares."""
