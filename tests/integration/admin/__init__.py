"""The admin room on real servers."""
