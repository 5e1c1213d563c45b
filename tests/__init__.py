"""Tests, a folder per kind."""
