"""What is measured without another server beside it."""

import pytest

from servers.bench import book_peer, in_memory
from servers.bench.errors import BenchError
from servers.bench.lag import lags_ms, quantile


def test_the_operations_are_the_same_in_every_process_and_of_all_kinds() -> None:
    todo = book_peer.operations(3_000)
    assert todo == book_peer.operations(3_000)
    cancels = [operation for operation in todo if operation.cancels >= 0]
    assert 400 < len(cancels) < 600
    seconds, fills = in_memory.run_book(todo)
    assert seconds > 0
    assert fills > 500


@pytest.mark.parametrize("what", ["execute", "replay", "resting", "markets", "accounts"])
def test_every_machine_has_figures(what: str) -> None:
    found = in_memory.WHAT[what](40 if what == "markets" else 2_000)
    rates = found.get("rates", [[found.get("rate")]])
    assert isinstance(rates, list)
    assert all(rate > 0 for pair in rates for rate in pair)


def test_a_lag_is_from_the_first_sight_of_a_commit_to_the_tables() -> None:
    looks = [(1.0, 10, 5), (1.1, 20, 5), (1.2, 20, 10), (1.4, 20, 20), (1.5, 30, 20)]
    assert lags_ms(looks) == pytest.approx([200, 300])
    assert lags_ms([(1.0, 10, 10)]) == [0.0]


def test_nothing_seen_is_no_figure() -> None:
    with pytest.raises(BenchError):
        quantile([], 0.99)
