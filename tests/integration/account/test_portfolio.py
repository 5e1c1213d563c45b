"""What an account is worth, cost and made: figures that one can recompute by hand, whatever pages the ledger comes in."""

import asyncio
from decimal import Decimal

import pytest

from servers.account import portfolio
from tests.integration.account.conftest import User, Venue, refused
from tests.integration.account.test_conversions import accept, index, quote
from tests.integration.account.test_ledger import traded
from tests.integration.account.test_transfers import move
from venue.account.v1 import portfolio_pb2 as pb


async def portfolio_of(user: User, account_id: str, reporting: str = "", position: str = "") -> pb.GetPortfolioResponse:
    request = pb.GetPortfolioRequest(account_id=account_id, reporting_asset=reporting, min_position=position)
    return await user.accounts.GetPortfolio(request, metadata=user.metadata)


def figures(answer: pb.GetPortfolioResponse) -> dict[str, tuple[str, ...]]:
    """Quantity, price, value, cost, average cost, unrealized and realized by asset."""
    return {
        each.asset: (
            each.quantity, each.price, each.value, each.cost, each.average_cost, each.unrealized_profit, each.realized_profit,
        )
        for each in answer.holdings
    }  # fmt: skip


async def test_acc3_a_portfolio_is_its_ledger_at_average_cost(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> None:
    # So that commands lie across pages.
    monkeypatch.setattr(portfolio, "ROWS", 2)
    ada, bob = venue.user("ada"), venue.user("bob")
    hers, _, position = await traded(ada, bob)
    await index(venue, "ETH-USD", "3100")
    await index(venue, "BTC-USD", "40000")
    told = await portfolio_of(ada, hers, position=position)
    # The paper funds cost what the first trade was made at; BTC, in which nobody traded, its index. The maker's fee is a loss.
    assert figures(told) == {
        "BTC": ("10", "40000", "400000", "400000", "40000", "0", "0"),
        "ETH": ("98", "3100", "303800", "294000.98", "3000.01", "9799.02", "-6.00002"),
        "USD": ("105994.01998", "1", "105994.01998", "105994.01998", "1", "0", "0"),
    }
    assert (told.reporting_asset, told.value, told.cost, told.unrealized_profit, told.realized_profit) == (
        "USD", "809794.01998", "799994.99998", "9799.02", "-6.00002",
    )  # fmt: skip
    # Later prices do not change what things cost. An exchange without USD hands the cost on; one for USD realizes.
    swapped = await accept(ada, (await quote(ada, hers, "0.1", "BTC ETH")).quote_id)
    await index(venue, "BTC-USD", "50000")
    sold = await accept(ada, (await quote(ada, hers, "0.9", "BTC USD")).quote_id)
    assert (swapped.conversion.to_amount, sold.conversion.to_amount) == ("1.27741935", "44550")
    other = (await ada.open(name="other")).account.account_id
    moved = await move(ada, hers, other, "9", asset="BTC")
    again = figures(await portfolio_of(ada, hers, position=moved.position))
    assert again["BTC"] == ("0", "50000", "0", "0", "", "0", "8550")
    assert again["ETH"][:4] == ("99.27741935", "3100", "307759.999985", "298000.98")
    assert again["USD"][0] == "150544.01998"
    # What comes in costs what it is worth then: 10 at its opening and 9 more.
    received = figures(await portfolio_of(ada, other, position=moved.position))
    assert received["BTC"][:4] == ("19", "50000", "950000", "950000")
    # The same, asked for by many at once, and folded from the beginning.
    several = await asyncio.gather(*(portfolio_of(ada, hers, position=moved.position) for _ in range(5)))
    assert all(figures(each) == again for each in several)
    in_eth = await portfolio_of(ada, hers, "ETH", moved.position)
    assert {each.asset: each.quantity for each in in_eth.holdings} == {asset: told[0] for asset, told in again.items()}
    assert Decimal(figures(in_eth)["USD"][2]) == (Decimal("150544.01998") / 3100).quantize(
        Decimal("1e-8"), "ROUND_DOWN"
    )
    balances = await ada.balances(hers)
    assert {asset: total for asset, (_, _, total) in balances.items()} == {
        asset: told[0] for asset, told in again.items()
    }
    assert await refused(portfolio_of(bob, hers)) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    assert await refused(portfolio_of(ada, hers, "XYZ")) == ("INVALID_ARGUMENT", "ASSET_UNKNOWN")
    # Of an asset that no market prices nothing is said but how much there is.
    unpriced = await portfolio_of(ada, hers, "AAPL")
    assert list(unpriced.unpriced_assets) == ["BTC", "ETH", "USD"]
