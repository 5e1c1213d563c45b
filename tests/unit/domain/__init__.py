"""The rules, one case at a time."""
