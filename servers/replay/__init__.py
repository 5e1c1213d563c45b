"""Recorded order flow, played through the public API."""
