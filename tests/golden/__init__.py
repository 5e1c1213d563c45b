"""Recorded journals, one a version of the rules, and what came of them."""
