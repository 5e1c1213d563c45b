"""What the account room makes of requests and rows."""

from uuid import UUID

import pytest

from db.entries import EntryRecord
from servers.account.create_account import open_account
from servers.account.identifiers import account_id, new_account_id
from servers.account.list_entries import entry_of_row
from servers.domain.identifiers import account_environment
from servers.domain.terms import Environment
from servers.engine.codec import decode
from servers.engine.messages import timestamp
from venue.account.v1 import account_pb2 as pb
from venue.engine.v1 import engine_pb2
from venue.option.v1 import access_pb2

NOON_US = 1_773_144_000_000_000
PAPER = [("USD", "100000"), ("BTC", "10"), ("ETH", "100")]


@pytest.mark.parametrize(
    ("kind", "environment", "role", "tier", "opening"),
    [
        (pb.ACCOUNT_TYPE_DEMO, Environment.DEMO, access_pb2.ROLE_USER, "default", PAPER),
        (pb.ACCOUNT_TYPE_DEMO, Environment.DEMO, access_pb2.ROLE_MARKET_MAKER, "market_maker", PAPER),
        (pb.ACCOUNT_TYPE_TRADING, Environment.LIVE, access_pb2.ROLE_MARKET_MAKER, "market_maker", []),
        (pb.ACCOUNT_TYPE_TRADING, Environment.LIVE, access_pb2.ROLE_ADMIN, "default", []),
    ],
)
def test_an_account_opens_with_its_tier_and_funds(
    kind: pb.AccountType.ValueType, environment: Environment, role: int, tier: str, opening: list[tuple[str, str]]
) -> None:
    request = pb.CreateAccountRequest(type=kind, name="mine", request_id="r")
    message = open_account(request, environment, role)
    assert message == engine_pb2.OpenAccount(
        account_id=message.account_id,
        type=kind,
        name="mine",
        tier=tier,
        opening=[engine_pb2.Amount(asset=asset, amount=amount) for asset, amount in opening],
        request_id="r",
    )
    assert account_environment(message.account_id) == environment


def test_a_repeated_request_is_the_same_command_under_another_id() -> None:
    request = pb.CreateAccountRequest(type=pb.ACCOUNT_TYPE_DEMO, name="mine", request_id="r")
    first, again = (open_account(request, Environment.DEMO, access_pb2.ROLE_USER) for _ in range(2))
    assert first.account_id != again.account_id
    prints = {decode(engine_pb2.Command(user_id="u", open_account=body)).fingerprint for body in (first, again)}
    assert len(prints) == 1


def test_an_account_id_is_a_uuid_of_its_time() -> None:
    made = account_id(Environment.LIVE, NOON_US // 1000, (1 << 74) - 1)
    prefix, _, digits = made.partition("-")
    found = UUID(digits)
    assert (prefix, len(digits), found.version, found.variant) == ("live", 32, 7, "specified in RFC 4122")
    assert found.int >> 80 == NOON_US // 1000
    assert account_id(Environment.DEMO, NOON_US // 1000, 0) < account_id(Environment.DEMO, NOON_US // 1000 + 1, 0)


def test_new_account_ids_differ() -> None:
    assert len({new_account_id(Environment.DEMO) for _ in range(1000)}) == 1000


@pytest.mark.parametrize(
    ("units", "scale", "text", "half"),
    [(1, 8, "0.00000001", "c"), (-1, 8, "-0.00000001", "d"), (-600_002_000_000, 8, "-6000.02", "d"), (7, 0, "7", "c")],
)
def test_an_entry_is_signed_and_exact(units: int, scale: int, text: str, half: str) -> None:
    row = EntryRecord(9, 3, NOON_US + 1, "demo-a", "venue:fees", "USD", units, 5, "2-t1")
    assert entry_of_row(2, row, scale) == pb.LedgerEntry(
        entry_id=f"2-9-3{half}",
        account_id="demo-a",
        asset="USD",
        amount=text,
        kind=pb.ENTRY_KIND_FEE,
        reference="2-t1",
        counterparty="venue:fees",
        create_time=timestamp(NOON_US + 1),
        sequence=9,
    )


@pytest.mark.parametrize(
    ("counterparty", "told"),
    [("venue:paper", "venue:paper"), ("venue:external", "venue:external"), ("demo-b", ""), ("live-c", "")],
)
def test_only_venue_accounts_are_named_as_the_other_side(counterparty: str, told: str) -> None:
    row = EntryRecord(9, 3, NOON_US, "demo-a", counterparty, "USD", 5, 4, "2-t1")
    assert entry_of_row(2, row, 8).counterparty == told
