"""An account comes to another tier or self-trade group: what holds for its orders from then on."""

import pytest

from servers.domain import commands as c
from servers.domain.errors import AccountNotFound, DefinitionInvalid
from servers.domain.state import dump, load, state_hash
from servers.domain.terms import Environment, SelfTradePrevention
from tests.unit.domain.desk import PARTITION, Desk, outcome


def set_terms(desk: Desk, trader: str, tier: str = "", group: str = "") -> None:
    desk.run(c.SetAccountTerms, f"demo-{trader}", tier, group)


def terms(desk: Desk, trader: str) -> tuple[str, str]:
    account = desk.exchange.ledger.accounts[f"demo-{trader}"]
    return account.tier, account.self_trade_group


def test_what_is_not_said_stays() -> None:
    desk = Desk()
    desk.fees("0", "0", tier="vip")
    set_terms(desk, "ann", tier="vip")
    assert terms(desk, "ann") == ("vip", "demo-ann")
    set_terms(desk, "ann", group="house")
    assert terms(desk, "ann") == ("vip", "house")
    loaded = load(PARTITION, Environment.DEMO, dump(desk.exchange))
    assert state_hash(loaded) == state_hash(desk.exchange)


def test_nothing_to_set_and_nobody_to_set_it_for_are_refused() -> None:
    desk = Desk()
    with pytest.raises(DefinitionInvalid):
        set_terms(desk, "ann")
    for account_id in ("demo-zoe", "venue:fees"):
        with pytest.raises(AccountNotFound):
            desk.run(c.SetAccountTerms, account_id, "vip", "")


def test_limits_of_the_tier_hold_from_then_on() -> None:
    desk = Desk()
    desk.limit(tier="vip", quantity="3")
    desk.limit(quantity="2")
    assert outcome(desk.buy("ann", "3", "1")).reason == "QUANTITY_TOO_LARGE"
    set_terms(desk, "ann", tier="vip")
    assert outcome(desk.buy("ann", "3", "1")).status == "OPEN"
    set_terms(desk, "ann", tier="default")
    assert outcome(desk.buy("ann", "3", "1")).reason == "QUANTITY_TOO_LARGE"


def test_orders_that_rest_keep_their_rates() -> None:
    desk = Desk(taker="0")
    desk.fees("0.01", "0.01", tier="vip")
    before = desk.sell("ann", "1", "100")
    set_terms(desk, "ann", tier="vip")
    after = desk.sell("ann", "1", "100")
    assert (before.maker_rate, after.maker_rate) == (0, 10**6)
    desk.buy("ben", "2", "100")
    assert desk.balance("ann") == ("1000199", "0")


def test_accounts_of_one_group_do_not_trade_and_those_taken_out_do() -> None:
    desk = Desk()
    resting = desk.sell("ann", "1", "100")
    set_terms(desk, "ann", group="house")
    set_terms(desk, "ben", group="house")
    oldest = SelfTradePrevention.CANCEL_OLDEST
    assert outcome(desk.buy("ben", "1", "100")).reason == "SELF_TRADE"
    assert outcome(resting).status == "OPEN"
    set_terms(desk, "ben", group="demo-ben")
    assert outcome(desk.buy("ben", "0.4", "100", prevention=oldest)).status == "FILLED"
    assert outcome(resting).remaining == "0.6"


def test_a_group_is_not_named_after_another_account_nor_a_tier_after_nothing() -> None:
    desk = Desk()
    for terms_ in ({"group": "demo-ben"}, {"group": "venue:fees"}, {"tier": "no-such"}):
        with pytest.raises(DefinitionInvalid):
            set_terms(desk, "ann", **terms_)
    desk.limit(tier="no-such", quantity="1")
    set_terms(desk, "ann", tier="no-such", group="demo-ann")


def test_what_was_changed_meanwhile_is_not_changed_back() -> None:
    desk = Desk()
    desk.fees("0", "0", tier="vip")
    set_terms(desk, "ann", tier="vip")
    for before in (("default", ""), ("", "house"), ("vip", "house")):
        with pytest.raises(DefinitionInvalid):
            desk.run(c.SetAccountTerms, "demo-ann", "default", "", *before)
    desk.run(c.SetAccountTerms, "demo-ann", "default", "", "vip", "demo-ann")
    assert terms(desk, "ann") == ("default", "demo-ann")
