"""Prices from outside: collectors of sources, and the index that their medians become."""
