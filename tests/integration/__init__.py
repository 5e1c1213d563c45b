"""Real PostgreSQL and Redis, servers in process."""
