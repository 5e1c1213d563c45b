"""Small servers that speak as payment companies do, on loopback: what the embedded venue pays with, and what tests break."""
