"""The order service over gRPC, on real engines, tables and bus."""
