"""What a fault in the rules looks like: what a wrong program raises. Anything else (memory, the loop) ends the process."""

from typing import Final

FAULTS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
