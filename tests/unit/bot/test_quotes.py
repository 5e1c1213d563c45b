"""What the market maker quotes, and what its funds allow."""

from decimal import Decimal

from servers.bot.quotes import affordable, ladder
from servers.config import Settings
from servers.wiring.bot import instruments


def test_only_markets_are_quoted_that_demo_accounts_have_both_assets_of() -> None:
    assert [instrument.symbol for instrument in instruments(Settings())] == ["BTC-USD", "ETH-USD"]


def test_a_market_of_another_partition_is_not_quoted() -> None:
    split = Settings(partitions={1: "LIVE", 2: "DEMO", 3: "DEMO"}, listings={3: {"ETH-USD"}})
    assert [instrument.symbol for instrument in instruments(split)] == ["BTC-USD"]


def test_quotes_never_cost_more_than_there_is_and_a_side_without_funds_is_left_out() -> None:
    rungs, anchor = ladder("0.01", "0.00001", "65000")
    quotes = rungs.around(anchor)
    assert affordable(quotes, Decimal(1_000), Decimal(10**9)) == quotes
    assert affordable(quotes, Decimal(0), Decimal(0)) == []
    some = affordable(quotes, Decimal("0.1"), Decimal(5_000))
    bids, asks = ([quote for quote in some if quote.side == side] for side in (1, 2))
    assert bids
    assert asks
    assert sum(Decimal(quote.price) * Decimal(quote.quantity) for quote in bids) <= 5_000
    assert sum(Decimal(quote.quantity) for quote in asks) <= Decimal("0.1")
    assert {quote.side for quote in affordable(quotes, Decimal(0), Decimal(5_000))} == {1}
