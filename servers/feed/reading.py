"""Text of strangers into prices: JSON whose numbers never become floats, bounded in size and in worth.

A price counts atto (1e-18) of the quote asset.
"""

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final, NoReturn

from servers.domain.money import ATTO_SCALE, NotDecimal, parse
from servers.feed.faults import Cause, SourceFault

# What one message or body may weigh.
BODY_MAX: Final = 1 << 20
# No price of anything in the catalogue's quote assets is outside these powers of ten.
EXPONENT_MIN: Final = -12
EXPONENT_MAX: Final = 9
# A source whose clock is further off than this cannot say how old its price is.
SKEW_MAX_S: Final = 10.0
_TEXT_MAX: Final = 64


def read_json(body: str | bytes) -> Any:  # noqa: ANN401  whatever JSON holds
    """JSON with every fraction a Decimal. Raises SourceFault (malformed)."""
    if len(body) > BODY_MAX:
        raise SourceFault(Cause.MALFORMED, f"{len(body)} bytes")
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise SourceFault(Cause.MALFORMED, f"not JSON: {str(error)[:80]}") from None


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def field(found: Any, *path: str | int) -> Any:  # noqa: ANN401
    """What lies at a path of keys and indexes. Raises SourceFault (malformed), naming the path."""
    for step in path:
        known = isinstance(found, Mapping) if isinstance(step, str) else isinstance(found, list)
        try:
            found = found[step] if known else None
        except (KeyError, IndexError):
            found = None
        if found is None:
            raise SourceFault(Cause.MALFORMED, f"no {'.'.join(map(str, path))}")
    return found


def price_of(value: Any) -> int:  # noqa: ANN401
    """A price in atto, from decimal text or a JSON number; digits beyond the scale are rounded. Raises SourceFault."""
    if isinstance(value, str) and len(value) <= _TEXT_MAX:
        try:
            atto = parse(value)
        except NotDecimal:
            raise SourceFault(Cause.MALFORMED, f"{value[:32]!r} is no price") from None
    elif isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value) if isinstance(value, int) and abs(value) < 10**18 else value
        if not isinstance(number, Decimal) or not number.is_finite() or number.adjusted() > ATTO_SCALE:
            raise SourceFault(Cause.MALFORMED, "a number beyond any price")
        atto = int(number.scaleb(ATTO_SCALE).to_integral_value()) if number.adjusted() >= -ATTO_SCALE else 0
    else:
        raise SourceFault(Cause.MALFORMED, f"{type(value).__name__} in place of a price")
    if not 10 ** (ATTO_SCALE + EXPONENT_MIN) <= atto < 10 ** (ATTO_SCALE + EXPONENT_MAX):
        raise SourceFault(Cause.MALFORMED, f"{str(value)[:32]} is beyond any price")
    return atto


def seconds_of(value: Any, *, per_second: int = 1) -> float:  # noqa: ANN401
    """A time as seconds since 1970, from a whole number of parts of a second. Raises SourceFault."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**53:
        raise SourceFault(Cause.MALFORMED, f"{str(value)[:32]} is no time")
    return value / per_second


def age_of(then_s: float, now_s: float) -> float:
    """How old something is, never less than nothing. Raises SourceFault (clock): it is from the future."""
    if then_s > now_s + SKEW_MAX_S:
        raise SourceFault(Cause.CLOCK, f"{then_s - now_s:.0f} s ahead")
    return max(0.0, now_s - then_s)
