"""Average costs against a naive recomputation: every batch that was bought, in fractions, thinned out evenly by what is paid."""

from dataclasses import dataclass, field
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from servers.domain.costs import Costs

ASSETS = ("BTC", "ETH")


@dataclass
class Naive:
    """Batches of (quantity, cost) by asset; what is paid takes the same part of each batch."""

    batches: dict[str, list[tuple[Fraction, Fraction]]] = field(default_factory=lambda: {asset: [] for asset in ASSETS})
    realized: dict[str, Fraction] = field(default_factory=lambda: dict.fromkeys(ASSETS, Fraction(0)))

    def take(self, asset: str, units: int) -> Fraction:
        batches = self.batches[asset]
        held = sum(quantity for quantity, _ in batches)
        part = Fraction(units) / held
        self.batches[asset] = [(quantity * (1 - part), cost * (1 - part)) for quantity, cost in batches]
        return sum((cost * part for _, cost in batches), Fraction(0))

    def cost(self, asset: str) -> Fraction:
        return sum((cost for _, cost in self.batches[asset]), Fraction(0))


STEP = st.tuples(
    st.sampled_from(("buy", "sell", "swap", "receive", "give")),
    st.sampled_from(ASSETS),
    st.integers(1, 10**9),
    st.integers(1, 10**12),
    st.integers(0, 10**6),
)


@given(steps=st.lists(STEP, max_size=60))
def test_acc3_average_costs_are_those_of_a_naive_recomputation(steps: list[tuple[str, str, int, int, int]]) -> None:
    costs, naive = Costs("USD"), Naive()
    costs.receive("USD", 10**18, 0)
    into = out = cash = 0
    for index, (what, asset, units, amount, fee) in enumerate(steps, 1):
        other = ASSETS[1 - ASSETS.index(asset)]
        held = costs.of(asset).held
        paid = units % held + 1 if held else 0
        if what == "buy":
            costs.exchange({asset: units, "USD": -amount - fee})
            naive.batches[asset].append((Fraction(units), Fraction(amount + fee)))
            cash -= amount + fee
        elif what == "receive":
            costs.receive(asset, units, amount)
            naive.batches[asset].append((Fraction(units), Fraction(amount)))
            into += amount
        elif not paid:
            continue
        elif what == "sell":
            costs.exchange({asset: -paid, "USD": amount - fee})
            naive.realized[asset] += amount - fee - naive.take(asset, paid)
            cash += amount - fee
        elif what == "swap":
            costs.exchange({asset: -paid, other: units})
            naive.batches[other].append((Fraction(units), naive.take(asset, paid)))
        else:
            before = costs.of(asset).cost
            costs.give(asset, paid)
            out += before - costs.of(asset).cost
            naive.take(asset, paid)
        for each in ASSETS:
            mine = costs.of(each)
            assert mine.held == sum(quantity for quantity, _ in naive.batches[each])
            assert mine.cost >= 0
            assert mine.held or not mine.cost
            # Each share is rounded by less than one unit.
            assert abs(mine.cost - naive.cost(each)) <= index
            assert abs(mine.realized - naive.realized[each]) <= index
        assert costs.of("USD").held == 10**18 + cash
        realized, cost = (sum(getattr(each, name) for each in costs.assets.values()) for name in ("realized", "cost"))
        assert realized - cost == cash - into + out


def test_a_fee_by_itself_is_a_loss_and_one_larger_than_the_price_too() -> None:
    costs = Costs("USD")
    costs.exchange({"USD": -3})
    costs.receive("BTC", 10, 100)
    costs.exchange({"BTC": -5, "USD": -1})
    assert (costs.of("USD").realized, costs.of("BTC").realized, costs.of("BTC").cost) == (-3, -51, 50)
