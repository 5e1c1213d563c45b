"""The source text itself."""
