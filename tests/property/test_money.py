"""Decimal text and integers are two forms of one value."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.domain.money import ATTO_SCALE, NotDecimal, format_units, parse, rescale

scales = st.integers(0, ATTO_SCALE)
units = st.integers(-(10**36) + 1, 10**36 - 1)


@given(number=units, scale=scales)
def test_formatting_and_parsing_give_the_number_back(number: int, scale: int) -> None:
    number = (1 if number >= 0 else -1) * (abs(number) % 10 ** (18 + scale))
    text = format_units(number, scale)
    assert parse(text, scale) == number
    assert format_units(parse(text, scale), scale) == text


@given(number=units, scale=scales)
def test_the_text_is_canonical(number: int, scale: int) -> None:
    text = format_units(number, scale)
    assert Fraction(text) == Fraction(number, 10**scale)
    digits = text.removeprefix("-")
    assert digits == "0" or not digits.startswith("0") or digits.startswith("0.")
    assert "." not in text or not text.endswith(("0", "."))


@given(text=st.text("0123456789.-+eE_ ,xNaIfn\u0663\uff11\n\0", max_size=24), scale=scales)
def test_what_is_parsed_is_what_the_text_says_and_the_rest_is_refused(text: str, scale: int) -> None:
    try:
        number = parse(text, scale)
    except NotDecimal:
        return
    assert Fraction(text) == Fraction(number, 10**scale)
    assert text.isascii()


@given(number=st.integers(0, 10**36), scale=scales)
def test_rescaling_is_exact_or_not_at_all(number: int, scale: int) -> None:
    rescaled = rescale(number, scale)
    exact = Fraction(number, 10**18) * 10**scale
    assert rescaled == (exact if exact.denominator == 1 else None)


@given(text=st.from_regex(r"\A[0-9]{1,18}\.[0-9]{0,18}[1-9]\Z"))
def test_a_text_finer_than_the_scale_is_refused(text: str) -> None:
    with pytest.raises(NotDecimal):
        parse(text, len(text.partition(".")[2]) - 1)
