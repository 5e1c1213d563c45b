"""The leader on a real PostgreSQL."""
