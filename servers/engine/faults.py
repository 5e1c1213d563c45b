"""What a fault in the rules looks like: what a wrong program raises. Anything else (memory, the loop) ends the process."""

from typing import Final

from servers.domain.ledger import InvariantBreach

FAULTS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    InvariantBreach,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
