"""Ring: the last frames of who is followed, bounded, and never with a gap."""

from hypothesis import given
from hypothesis import strategies as st

from servers.engine.feed import Feed
from servers.engine.ring import KEPT_S, AccountFrame, Ring
from venue.engine.v1 import engine_pb2
from venue.order.v1 import order_pb2

RECORD = engine_pb2.AccountRecord(orders=[order_pb2.OrderUpdate(order=order_pb2.Order(order_id="2-1"))])


def frame(sequence: int, previous: int, account_id: str = "a") -> AccountFrame:
    return AccountFrame(account_id, sequence, previous, RECORD.SerializeToString())


def sequences(frames: list[AccountFrame]) -> list[int]:
    return [each.sequence for each in frames]


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_what_leads_to_an_event_without_a_gap() -> None:
    ring = Ring(Clock())
    ring.add([frame(3, 0), frame(4, 0, "b"), frame(5, 3), frame(9, 8), frame(12, 9)])
    assert sequences(ring.tail("a", 0, 5)) == [3, 5]
    assert sequences(ring.tail("a", 3, 5)) == [5]
    assert sequences(ring.tail("a", 4, 5)) == [5]
    # 8 was not recorded.
    assert sequences(ring.tail("a", 0, 12)) == [9, 12]
    # Nor was the event that was asked for.
    assert (ring.tail("a", 0, 13), ring.tail("a", 0, 8), ring.tail("c", 0, 3)) == ([], [], [])
    assert (ring.tail("a", 5, 5), ring.tail("a", 7, 5)) == ([], [])


def test_frames_and_bytes_are_bounded_over_all_accounts() -> None:
    by_count = Ring(Clock(), frames_max=3)
    by_bytes = Ring(Clock(), bytes_max=3 * RECORD.ByteSize())
    for ring in (by_count, by_bytes):
        ring.add([frame(1, 0), frame(2, 0, "b"), frame(3, 1)])
        assert len(ring) == 3
        ring.add([frame(4, 3), frame(5, 2, "b")])
        assert len(ring) == 3
        assert sequences(ring.tail("a", 0, 4)) == [3, 4]
        assert sequences(ring.tail("b", 0, 5)) == [5]


def test_an_account_is_recorded_for_a_while_after_its_last_follower_left() -> None:
    clock = Clock()
    feed = Feed(clock)
    first, second = feed.follow("a"), feed.follow("a")
    other = feed.follow("b")
    feed.leave(first)
    assert feed.wanted == {"a", "b"}
    feed.leave(second)
    feed.leave(second)
    feed.publish([frame(1, 0), frame(2, 0, "b")])
    clock.now_s += KEPT_S - 1
    feed.publish([frame(3, 1)])
    assert feed.wanted == {"a", "b"}
    assert sequences(feed.ring.tail("a", 0, 3)) == [1, 3]
    clock.now_s += 2
    feed.publish([frame(4, 2, "b")])
    assert feed.wanted == {"b"}
    feed.follow("a")
    feed.leave(other)
    clock.now_s += KEPT_S + 1
    feed.publish([frame(5, 3)])
    assert feed.wanted == {"a"}


def test_not_more_accounts_than_that_are_recorded_for_nobody() -> None:
    ring = Ring(Clock(), kept_max=2)
    for account_id in ("a", "b", "c"):
        ring.keep(account_id)
    assert ring.expired() == ["a"]
    assert ring.expired() == []


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=60),
    st.integers(1, 20),
    st.integers(0, 60),
)
def test_no_gap_no_repetition_whatever_was_recorded(
    events: list[tuple[str, bool]], frames_max: int, after: int
) -> None:
    ring = Ring(Clock(), frames_max=frames_max)
    last = dict.fromkeys("abc", 0)
    for sequence, (account_id, recorded) in enumerate(events, 1):
        if recorded:
            ring.add([frame(sequence, last[account_id], account_id)])
        last[account_id] = sequence
    for account_id, until in last.items():
        found = ring.tail(account_id, after, until)
        everything = [n for n, (name, _) in enumerate(events, 1) if name == account_id and n > after]
        assert sequences(found) == everything[len(everything) - len(found) :]
        assert all(events[n - 1][1] for n in sequences(found))
