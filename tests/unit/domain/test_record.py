"""The digest that compiled rules take in parts is the one that their source takes at once."""

from hypothesis import example, given
from hypothesis import strategies as st

from servers.domain.record import mixed

PRIME = (1 << 61) - 1
FACTOR = 1_000_003
LONGEST = (1 << 60) - 1


@given(st.integers(0, PRIME - 1), st.integers(-LONGEST, LONGEST))
@example(0, 0)
@example(0, -1)
@example(0, -LONGEST)
@example(PRIME - 1, LONGEST)
@example(PRIME - 1, -LONGEST)
@example(PRIME - 1, FACTOR)
@example(1, -FACTOR)
def test_a_number_is_mixed_in_by_parts(digest: int, number: int) -> None:
    assert mixed(digest, number) == (digest * FACTOR + number) % PRIME
