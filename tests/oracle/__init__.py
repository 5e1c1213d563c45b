"""A second exchange, slow and obviously right, to hold the fast one against."""
