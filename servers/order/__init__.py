"""Orders: placing, cancelling, reading and streaming them."""
