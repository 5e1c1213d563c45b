"""Tables, journal and reads on a real PostgreSQL."""
