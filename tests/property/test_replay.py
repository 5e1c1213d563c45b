"""The same commands give the same events, digest and state: from the beginning, from a snapshot, under any hash seed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from db.projecting import CHANGING, CHANGING_TIMES
from servers.domain.exchange import Exchange
from servers.domain.invariants import breaches
from servers.domain.state import dump, load, state_hash
from servers.domain.terms import CancelReason, Environment, ListRole, OrderType, RejectReason, TimeInForce
from tests.property.plain import drive, perform
from tests.property.traffic import PARTITION
from tests.property.whole import MEMORY, SwarmTraffic, opened

# What the run under two hash seeds has in it: every type, life and end, every feature, all that a placement is rejected for.
FEATURES = {
    *(f"type {kind.name}" for kind in OrderType if kind),
    *(f"life {kind.name}" for kind in TimeInForce if kind),
    *(f"role {role.name}" for role in ListRole),
    *(f"cancel {reason.name}" for reason in CancelReason if reason != CancelReason.MARKET_CLOSED),
    *(f"reject {reason.name}" for reason in RejectReason),
    *("reduce_only", "display_quantity", "session_id", "trailing_percent"),
    *("PlaceOco", "AmendOrder", "ReplaceOrder", "SetLimits", "SetReferencePrices", "SetTradingHours", "CancelAllAfter"),
    *("OpenSession", "EndSession", "MakeTransfer", "ResolveTransfer", "LeaderStarted", "SetAccountStatus"),
    *("Convert", "OpenAccount", "RenameAccount", "CloseAccount", "SetAccountTerms"),
}
ROOT = Path(__file__).resolve().parents[2]


@given(seed=st.integers(0, 2**32))
def test_replaying_the_accepted_commands_gives_the_same_events_and_state(seed: int) -> None:
    exchange, again = (Exchange(PARTITION, Environment.DEMO, request_memory=MEMORY) for _ in range(2))
    traffic = SwarmTraffic(seed)
    opening = [perform(exchange, command) for command in traffic.opening()]
    journal = [one for one in [*opening, *drive(exchange, traffic, 400)] if not one.refusal]
    assert [perform(again, one.command) for one in journal] == journal
    assert (again.clock.digest, state_hash(again)) == (exchange.clock.digest, state_hash(exchange))


@given(seed=st.integers(0, 2**32), before=st.integers(0, 600))
def test_a_machine_loaded_from_its_rows_goes_on_as_the_dumped_one(seed: int, before: int) -> None:
    exchange, traffic, _ = opened(seed)
    drive(exchange, traffic, before)
    loaded = load(PARTITION, Environment.DEMO, dump(exchange), request_memory=MEMORY)
    assert (state_hash(loaded), breaches(loaded)) == (state_hash(exchange), [])
    assert loaded.next_deadline() == exchange.next_deadline()
    for one in drive(exchange, traffic, 500):
        assert perform(loaded, one.command) == one
    assert (loaded.clock.digest, state_hash(loaded)) == (exchange.clock.digest, state_hash(exchange))


@given(seed=st.integers(0, 2**32))
def test_a_refused_command_changes_nothing(seed: int) -> None:
    exchange, traffic, _ = opened(seed)
    drive(exchange, traffic, 50)
    for _ in range(80):
        before = state_hash(exchange)
        one = perform(exchange, traffic.next())
        assert bool(one.refusal) == (state_hash(exchange) == before)
        if one.refusal:
            traffic.refused()


def test_hash_seeds_change_nothing() -> None:
    """Everything there is, stopped in the middle and loaded: state, digest and what follows are the same under both."""
    found: set[str] = set()
    for seed in ("2", "3", "11"):
        command = [sys.executable, "-m", "tests.property.fingerprint", seed, "3000"]
        printed = {
            subprocess.run(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONHASHSEED": hash_seed},
                capture_output=True,
                text=True,
                check=True,
            ).stdout
            for hash_seed in ("1", "2")
        }
        assert len(printed) == 1
        (lines,) = printed
        told = [line.split() for line in lines.splitlines()[:-1]]
        assert [len(line) for line in told] == [3, 3]
        found |= set(lines.splitlines()[-1].split(","))
    assert found >= FEATURES, "the traffic has to have all of them"


@given(seed=st.integers(0, 2**32))
def test_what_the_tables_bring_up_to_date_of_an_order_is_all_that_changes(seed: int) -> None:
    exchange, traffic, _ = opened(seed)
    written: dict[int, dict[str, Any]] = {}
    for _ in range(30):
        drive(exchange, traffic, 20)
        now = {row["number"]: row for row in dump(exchange).orders}
        kept = {number: written[number] for number in now if number in written}
        written = now | {
            number: row | {name: now[number][name] for name in (*CHANGING, *CHANGING_TIMES)}
            for number, row in kept.items()
        }
        assert written == now
