"""What was measured, and what is said about it."""

from dataclasses import dataclass, field
from statistics import median

from servers.bench.errors import BenchError


@dataclass(frozen=True, slots=True)
class Slot:
    """One load on one server: orders a second, how long answers took (microseconds, sorted), the replica's catch-up time."""

    rate: float
    took_us: list[int]
    catch_up_s: float = 0.0

    def quantile_ms(self, share: float) -> float:
        """Raises BenchError where nothing was answered."""
        if not self.took_us:
            raise BenchError("nothing was answered while it was measured")
        return self.took_us[min(int(len(self.took_us) * share), len(self.took_us) - 1)] / 1000


@dataclass(frozen=True, slots=True)
class Goal:
    """What a ratio must reach, and where it is to go."""

    floor: float
    aim: float
    low_is_good: bool = False

    def verdict(self, ratio: float) -> str:
        if self.low_is_good:
            return "aim" if ratio <= self.aim else "floor" if ratio <= self.floor else "below"
        return "aim" if ratio >= self.aim else "floor" if ratio >= self.floor else "below"

    def text(self, number: float) -> str:
        return f"{'<=' if self.low_is_good else '>='} {number:,g}"


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure of the venue beside the same of another server, round by round."""

    number: str
    what: str
    other: str
    unit: str
    goal: Goal
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def add(self, ours: float, theirs: float) -> None:
        """A round's pair. Raises BenchError where the other's is no figure."""
        if theirs <= 0:
            raise BenchError(f"{self.number}: {self.other} answered nothing")
        self.ours.append(ours)
        self.theirs.append(theirs)

    @property
    def ratios(self) -> list[float]:
        """By round: both were measured within seconds of each other."""
        return [ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        return median(self.ratios)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of the venue by itself."""

    number: str
    what: str
    unit: str
    goal: Goal
    ours: list[float] = field(default_factory=list)

    @property
    def value(self) -> float:
        return median(self.ours)


def book_measures(peer: str) -> list[Measure]:
    """P6's comparison with a book of the package index, without a figure yet."""
    return [Measure("P6a", "book alone", peer, "operations/s", Goal(2, 2.5))]


def growth_measures(orders: int, markets: int, accounts: int) -> list[Measure]:
    """P8, without a figure yet: the machine in memory, large beside small."""
    rate = "commands/s"
    return [
        Measure("P8a", f"{orders:,} resting orders", "none", rate, Goal(0.8, 0.9)),
        Measure("P8b", f"{markets:,} markets", "one", rate, Goal(0.8, 0.9)),
        Measure("P8c", f"{accounts:,} accounts", "ten", rate, Goal(0.8, 0.9)),
    ]


def alone_figures(open_orders: int) -> list[Figure]:
    """P6, P7, P9 to P13 and F33, without a figure yet."""
    return [
        Figure("P6b", "whole execute, pure Python", "commands/s", Goal(80_000, 120_000)),
        Figure("P6c", "whole execute, compiled", "commands/s", Goal(80_000, 250_000)),
        Figure("P7a", "updates to 500 subscribers", "updates/s", Goal(300_000, 1_000_000)),
        Figure(
            "P7b", "of 300,000 updates/s or more, delay beyond the window, p99", "ms", Goal(20, 20, low_is_good=True)
        ),
        Figure("P7c", "memory with 10,000 idle streams", "MB", Goal(1_000, 750, low_is_good=True)),
        Figure("P7d", "10,000 streams cut and back", "s", Goal(30, 10, low_is_good=True)),
        Figure("P9a", "replay of the journal", "commands/s", Goal(60_000, 100_000)),
        Figure("P9b", f"cold restart, {open_orders:,} open orders", "s", Goal(8, 3, low_is_good=True)),
        Figure("P9c", f"standby takes over, {open_orders:,} open orders", "s", Goal(5, 3, low_is_good=True)),
        Figure("P10a", "projection lag p99 at P1's load", "ms", Goal(1_000, 250, low_is_good=True)),
        Figure("P10b", "reads p95 at half load", "ms", Goal(10, 10, low_is_good=True)),
        Figure("P11", "REST through Envoy, added p50", "ms", Goal(1, 0.6, low_is_good=True)),
        Figure("P12a", "a resting order", "bytes", Goal(1_500, 1_000, low_is_good=True)),
        Figure("P12b", "an idle stream", "bytes", Goal(40_000, 25_000, low_is_good=True)),
        Figure("P13", "market data reads from a cache, views aside, at half load", "%", Goal(80, 90)),
        Figure("F33", "streams of others cut when 10,000 drop", "streams", Goal(0, 0, low_is_good=True)),
    ]


def measures() -> list[Measure]:
    """P1 to P4, without a figure yet."""
    echo, rate, ms = "echo", "orders/s", "ms"
    return [
        Measure("P1", "PlaceOrder, 64 callers", echo, rate, Goal(0.50, 0.70)),
        Measure("P2", "Trade, 1 a message", echo, rate, Goal(0.40, 0.60)),
        Measure("P3", "PlaceOrders, 50 a message", echo, rate, Goal(0.25, 0.40)),
        Measure("P4a", "p50, 1 caller", echo, ms, Goal(5, 4, low_is_good=True)),
        Measure("P4b", "p99 at half load", echo, ms, Goal(10, 10, low_is_good=True)),
    ]


def peer_measures(peer: str) -> list[Measure]:
    """P5, without a figure yet. The peer knows single orders only, so sessions and batches meet its 64 callers."""
    rate = "orders/s"
    return [
        Measure("P5a", "PlaceOrder, 1 caller", peer, rate, Goal(0.9, 1.0)),
        Measure("P5b", "PlaceOrder, 64 callers", peer, rate, Goal(1.0, 1.3)),
        Measure("P5c", "Trade, 1 a message", peer, rate, Goal(2.5, 3)),
        Measure("P5d", "PlaceOrders, 50 a message", peer, rate, Goal(6, 8)),
    ]


@dataclass(frozen=True, slots=True)
class Results:
    """A whole run."""

    measures: list[Measure]
    # By form of order entry (P1, P2, P3), round by round.
    catch_up_s: dict[str, list[float]]
    orders: int
    trades: int
    # Why a part was left out, and what belongs to a figure, a line each.
    notes: list[str]
    figures: list[Figure] = field(default_factory=list)
