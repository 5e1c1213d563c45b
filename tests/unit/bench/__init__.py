"""What the benchmark says and sends."""
