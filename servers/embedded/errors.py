"""What stops a start, told to a person in one line."""


class StartError(Exception):
    """The text is the whole message: it is printed as it is, without a traceback."""
