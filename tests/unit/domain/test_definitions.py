"""Assets, markets, fee rates and accounts: what contradicts itself is refused, what is defined once is not defined again."""

from typing import Any

import pytest

from servers.domain import commands as c
from servers.domain.errors import (
    AccountNotFound,
    DefinitionExists,
    DefinitionInvalid,
    MarketNotFound,
)
from servers.domain.events import AccountChanged, AccountTouched, BalanceChanged, Posted
from servers.domain.money import ATTO, RATE
from servers.domain.terms import AccountStatus, EntryKind, Side
from servers.domain.transfer_errors import AmountInvalid, AssetUnknown
from tests.unit.domain.desk import SYMBOL, Desk, outcome


@pytest.mark.parametrize(
    ("scale", "display"),
    [(-1, -1), (19, 2), (2, 3), (2, -1)],
    ids=["negative", "too fine", "shown finer", "shown less"],
)
def test_an_asset_s_scale_is_0_to_18_and_not_coarser_than_what_is_shown(scale: int, display: int) -> None:
    with pytest.raises(DefinitionInvalid):
        Desk().run(c.DefineAsset, "ETH", scale, display)


def test_an_asset_is_defined_once() -> None:
    with pytest.raises(DefinitionExists) as refused:
        Desk().run(c.DefineAsset, "BTC", 8, 8)
    assert (refused.value.code, refused.value.metadata) == ("ALREADY_EXISTS", {"name": "BTC"})


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        # 0.0001 x 0.00001 USD a lot would be 1e-9, and USD ends at 1e-8.
        ({"tick": "0.0001", "lot": "0.00001"}, "tick_size"),
        ({"tick": "0.000000000000000001", "lot": "1"}, "tick_size"),
        ({"tick": "0"}, "tick_size"),
        ({"tick": "-0.01"}, "tick_size"),
        ({"lot": "0"}, "tick_size"),
        ({"lot": "0.000000001", "tick": "1000"}, "lot_size"),
        ({"most": "0.0001"}, "max_quantity"),
        ({"least": "10", "most": "5"}, "max_quantity"),
        ({"highest": "0.001"}, "max_quantity"),
        ({"taker": "1"}, "taker_fee_rate"),
        ({"taker": "-0.001", "maker": "0.002"}, "taker_fee_rate"),
        ({"maker": "1", "taker": "0.5"}, "taker_fee_rate"),
        ({"maker": "-0.002", "taker": "0.001"}, "taker_fee_rate"),  # a rebate above what the taker pays
    ],
)
def test_a_market_that_contradicts_itself_is_refused(terms: dict[str, str], field: str) -> None:
    desk = Desk()
    with pytest.raises(DefinitionInvalid) as refused:
        _define(desk, terms)
    assert [violation.field for violation in refused.value.violations] == [field]


def _define(desk: Desk, terms: dict[str, str]) -> None:
    desk.run(c.DefineAsset, "ETH", 8, 8)
    desk.define("ETH-USD", **terms)


@pytest.mark.parametrize("terms", [{"tick": "0.0001", "lot": "0.0001"}, {"tick": "0.00000001", "lot": "1"}])
def test_tick_times_lot_may_be_a_single_unit(terms: dict[str, str]) -> None:
    desk = Desk()
    _define(desk, terms)
    assert desk.exchange.market("ETH-USD").tick_value == 1


def test_a_market_is_defined_once_and_of_assets_that_exist() -> None:
    desk = Desk()
    with pytest.raises(DefinitionExists):
        desk.define(SYMBOL)
    with pytest.raises(AssetUnknown):
        desk.define("XYZ-USD")


def test_fees_are_set_for_markets_that_exist_within_their_bounds() -> None:
    desk = Desk()
    with pytest.raises(MarketNotFound):
        desk.run(c.SetFees, "NO-SUCH", "vip", 0, 0)
    for maker, taker in ((0, RATE), (RATE, 0), (-2, 1), (0, -1)):
        with pytest.raises(DefinitionInvalid):
            desk.run(c.SetFees, SYMBOL, "vip", maker, taker)


def test_an_account_opens_with_its_paper_funds_through_the_ledger() -> None:
    desk = Desk()
    funds = (("USD", 100_000 * ATTO), ("BTC", 10 * ATTO))
    events = desk.run(c.OpenAccount, "demo-new", 2, "first", "", "", funds, user="new")
    account = desk.exchange.ledger.accounts["demo-new"]
    assert (
        account.user_id,
        account.name,
        account.tier,
        account.self_trade_group,
        account.status,
        account.create_time,
    ) == (
        "new",
        "first",
        "default",
        "demo-new",
        int(AccountStatus.ACTIVE),
        desk.now,
    )
    posted = [(e.debit.account_id, e.asset, e.amount, e.kind) for e in events if isinstance(e, Posted)]
    paper = int(EntryKind.PAPER)
    assert posted == [("venue:paper", "USD", 10**13, paper), ("venue:paper", "BTC", 10**9, paper)]
    assert (desk.balance("new"), desk.balance("new", "BTC")) == (("100000", "0"), ("10", "0"))
    assert desk.balance("venue:paper") == ("-3100000", "0")
    kinds = [type(event) for event in events]
    assert (kinds.count(AccountChanged), kinds.count(AccountTouched), kinds.count(BalanceChanged)) == (1, 1, 4)


@pytest.mark.parametrize(
    ("account_id", "user", "funds", "refusal"),
    [
        ("demo-ann", "new", (), DefinitionExists),
        ("venue:fees", "new", (), DefinitionExists),
        ("demo-new", "", (), DefinitionInvalid),
        ("demo-new", "new", (("XYZ", ATTO),), AssetUnknown),
        ("demo-new", "new", (("USD", ATTO), ("BTC", 0)), AmountInvalid),
        ("demo-new", "new", (("USD", -ATTO),), AmountInvalid),
        ("demo-new", "new", (("USD", 1),), AmountInvalid),
    ],
)
def test_an_account_that_cannot_be_opened_is_refused_whole(
    account_id: str, user: str, funds: Any, refusal: type[Exception]
) -> None:
    desk = Desk()
    with pytest.raises(refusal):
        desk.run(c.OpenAccount, account_id, 2, "", "", "", funds, user=user)


def test_a_frozen_account_does_not_trade_until_it_is_thawed_but_its_orders_do() -> None:
    desk = Desk()
    resting = desk.sell("ann", "1", "100")
    desk.run(c.SetAccountStatus, "demo-ann", int(AccountStatus.FROZEN))
    assert outcome(desk.buy("ann", "1", "99")).reason == "ACCOUNT_NOT_ACTIVE"
    desk.buy("ben", "1", "100")
    assert outcome(resting).status == "FILLED"
    desk.run(c.SetAccountStatus, "demo-ann", int(AccountStatus.ACTIVE))
    assert outcome(desk.buy("ann", "1", "99")).status == "OPEN"


@pytest.mark.parametrize("account_id", ["demo-nobody", "venue:fees", ""])
def test_only_customers_accounts_are_frozen(account_id: str) -> None:
    with pytest.raises(AccountNotFound):
        Desk().run(c.SetAccountStatus, account_id, int(AccountStatus.FROZEN))


@pytest.mark.parametrize(
    ("account", "user", "symbol", "refusal"),
    [
        ("ann", "ben", SYMBOL, AccountNotFound),  # somebody else's
        ("nobody", "nobody", SYMBOL, AccountNotFound),
        ("ann", "ann", "NO-SUCH", MarketNotFound),
        ("nobody", "nobody", "NO-SUCH", AccountNotFound),  # the account is looked at first
    ],
)
def test_an_order_names_an_account_of_its_user_and_a_market(
    account: str, user: str, symbol: str, refusal: type[Exception]
) -> None:
    desk = Desk()
    with pytest.raises(refusal):
        desk.execute(desk.order(account, Side.BUY, "1", "100", user=user, symbol=symbol, request_id="r1"))
    assert desk.exchange.requests == {}


def test_the_venue_s_own_accounts_do_not_trade() -> None:
    desk = Desk()
    command = desk.order("ann", Side.BUY, "1", "100", user="")
    command.account_id = "venue:fees"
    with pytest.raises(AccountNotFound):
        desk.execute(command)


def test_a_leader_and_the_rules_leave_their_mark() -> None:
    desk = Desk()
    desk.run(c.LeaderStarted, 7)
    desk.run(c.ChangeRules, 2)
    assert (desk.exchange.clock.epoch, desk.exchange.clock.rules_version) == (7, 2)
