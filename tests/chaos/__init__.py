"""Killed processes and lost connections, and nothing lost."""
