"""Decimal text to integers and back: the only two places where money changes its form.

An integer counts units of 10**-scale. Commands carry prices, quantities and amounts at ATTO_SCALE; a market or an asset turns
them into ticks, lots or its own units, exactly or not at all.
"""

import re
from functools import lru_cache
from typing import Final

ATTO_SCALE: Final = 18
ATTO: Final = 10**ATTO_SCALE
# By a scale: how many units are one.
TENS: Final = tuple([10**scale for scale in range(ATTO_SCALE + 1)])
# Fee rates count units of 1e-8: 0.001 is 100_000.
RATE_SCALE: Final = 8
RATE: Final = 10**RATE_SCALE
# No minus before zero: every value has one meaning, and "-0" is a fault of the sender.
_PLAIN: Final = re.compile(r"(?:-(?![0.]*\Z))?[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)
_ZEROS: Final = "0" * ATTO_SCALE
# The same prices and sizes come again and again: a look-up costs a tenth of the work.
CACHED: Final = 65_536


class NotDecimal(ValueError):
    """The text is not a decimal in plain notation, or finer than the scale."""


@lru_cache(CACHED)
def parse(text: str, scale: int = ATTO_SCALE) -> int:
    """The text as units of 10**-scale.

    Raises NotDecimal: not plain notation, more than 18 digits on either side of the point, or finer than the scale. (Decimal()
    would take "NaN", "1_000", " 1 " and Arabic digits.)
    """
    if _PLAIN.fullmatch(text) is None:
        raise NotDecimal(text[:64])
    whole, _, fraction = text.partition(".")
    if len(fraction) > scale:
        if fraction[scale:].strip("0"):
            raise NotDecimal(text)
        fraction = fraction[:scale]
    return int(whole + fraction + _ZEROS[: scale - len(fraction)])


@lru_cache(CACHED)
def format_units(units: int, scale: int) -> str:
    """Units of 10**-scale as canonical text: no exponent, no trailing zeros, no point without a fraction."""
    return format_once(units, scale)


def format_once(units: int, scale: int) -> str:
    """The same of what hardly comes again, as a balance: nothing is remembered."""
    if units < 0:
        return "-" + format_once(-units, scale)
    if scale == 0:
        return str(units)
    digits = str(units)
    if len(digits) <= scale:
        fraction = digits.zfill(scale).rstrip("0")
        return "0." + fraction if fraction else "0"
    fraction = digits[-scale:].rstrip("0")
    return digits[:-scale] + "." + fraction if fraction else digits[:-scale]


def rescale(atto: int, scale: int) -> int | None:
    """Atto as units of 10**-scale (scale at most 18); None if finer than that."""
    units, rest = divmod(atto, 10 ** (ATTO_SCALE - scale))
    return None if rest else units
