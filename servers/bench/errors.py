"""What stops a measurement."""


class BenchError(Exception):
    """One line that says what went wrong."""
