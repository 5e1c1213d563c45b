"""Small servers that speak as the sources do, on loopback: what the embedded venue follows, and what tests break."""
