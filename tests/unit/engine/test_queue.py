"""Queue: users in turn, each one's commands in order, nothing lost, bounded."""

import asyncio
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers.domain.errors import Overloaded
from servers.domain.model import Account
from servers.domain.terms import AccountStatus, AccountType
from servers.engine.batch import Ticket
from servers.engine.queue import TURN, VENUE_TURNS, Queue, turns_of
from venue.engine.v1 import engine_pb2 as pb

BOUND = 10_000


def ticket(user_id: str, count: int = 1) -> Ticket:
    return Ticket([pb.Command(user_id=user_id) for _ in range(count)], None, {})


def user(of: Ticket) -> str:
    return of.commands[0].user_id


def one(_user_id: str) -> int:
    return 1


async def test_users_take_turns() -> None:
    queue = Queue()
    for name, count in (("a", 20), ("b", 3), ("c", 10)):
        for _ in range(count):
            queue.push(ticket(name), BOUND, one)
    assert len(queue) == 33
    served = [user(queue.pop()) for _ in range(33)]
    assert served == ["a"] * 8 + ["b"] * 3 + ["c"] * 8 + ["a"] * 8 + ["c"] * 2 + ["a"] * 4
    assert not queue
    assert len(queue) == 0


async def test_a_market_maker_has_longer_turns_and_the_venue_the_longest() -> None:
    queue = Queue()
    turns = {"a": 1, "maker": 4, "": VENUE_TURNS}
    for name in turns:
        for _ in range(500):
            queue.push(ticket(name), BOUND, turns.__getitem__)
    served = Counter(user(queue.pop()) for _ in range(TURN * 21))
    assert served == {"a": TURN, "maker": 4 * TURN, "": VENUE_TURNS * TURN}


async def test_a_large_ticket_waits_for_its_turns_and_comes() -> None:
    queue = Queue()
    queue.push(ticket("large", 100), BOUND, one)
    small = 0
    for _ in range(500):
        queue.push(ticket("small"), BOUND, one)
    while user(queue.pop()) == "small":
        small += 1
    assert small == 12 * TURN


def test_the_best_tier_of_a_user_counts() -> None:
    def account(number: int, tier: str) -> Account:
        kind, status = int(AccountType.DEMO), int(AccountStatus.ACTIVE)
        return Account(f"demo-{number}", "u", kind, "", tier, f"demo-{number}", status, 0, 0)

    accounts = {"plain": ["default"], "maker": ["default", "market_maker"]}
    by_user = {name: [account(n, tier) for n, tier in enumerate(tiers)] for name, tiers in accounts.items()}
    found = {name: turns_of(by_user, name) for name in ("plain", "maker", "stranger", "")}
    assert found == {"plain": 1, "maker": 4, "stranger": 1, "": VENUE_TURNS}


async def test_a_flood_fills_half_and_leaves_the_rest_to_others() -> None:
    queue = Queue()
    for name, room in (("loud", 50), ("louder", 25)):
        for _ in range(room):
            queue.push(ticket(name), 100, one)
        with pytest.raises(Overloaded):
            queue.push(ticket(name), 100, one)
    assert len(queue) == 75
    queue.push(ticket("quiet", 12), 100, one)
    with pytest.raises(Overloaded):
        queue.push(ticket("other", 14), 100, one)
    assert sum(len(each.commands) for each in queue) == len(queue) == 87
    queue.clear()
    assert (len(queue), bool(queue), list(queue)) == (0, False, [])


Step = tuple[str, int] | None


@given(
    st.lists(st.none() | st.tuples(st.sampled_from(["a", "b", "c", "maker", ""]), st.integers(1, 100)), max_size=200),
    st.integers(1, 400),
)
def test_no_users_order_changes_nothing_is_lost_and_nobody_waits_for_ever(steps: list[Step], bound: int) -> None:
    asyncio.run(_run(steps, bound))


async def _run(steps: list[Step], bound: int) -> None:
    queue = Queue()
    turns = {"maker": 4, "": VENUE_TURNS}
    waiting: defaultdict[str, list[Ticket]] = defaultdict(list)
    # Others' commands that went by the head of each lane since it became that.
    passed: Counter[str] = Counter()
    for step in [*steps, *[None] * len(steps)]:
        if step is not None:
            name, count = step
            new = ticket(name, count)
            before = len(queue)
            try:
                queue.push(new, bound, lambda user_id: turns.get(user_id, 1))
            except Overloaded:
                assert (
                    before + count > bound or sum(len(each.commands) for each in waiting[name]) + count > bound - before
                )
                continue
            waiting[name].append(new)
        elif queue:
            served = queue.pop()
            name = user(served)
            assert served is waiting[name].pop(0)
            passed[name] = 0
            for other, tickets in waiting.items():
                if tickets and other != name:
                    passed[other] += len(served.commands)
                    rounds = -(-len(tickets[0].commands) // TURN) + 1
                    assert passed[other] <= rounds * TURN * sum(turns.get(each, 1) for each in waiting) + 400
        assert len(queue) == sum(len(each.commands) for tickets in waiting.values() for each in tickets) <= bound
        assert bool(queue) == bool(len(queue))
    assert not queue
    assert not any(waiting.values())
