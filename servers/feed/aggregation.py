"""One price out of several sources: what is stale says nothing, what is alone in its opinion is not believed.

Pure: prices in atto, ages in milliseconds, scores in thousandths. Three sources or more: those within the deviation of their
median, if they are the majority, and the median of them. Two that agree: the middle. Where they do not agree: the one that is
nearer to the last index, else the most reliable, else the first by preference. One alone: itself, unless it jumped.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

SCORE_FULL: Final = 1000
_BPS: Final = 10_000
# A source that does what it should regains half of what it lost in some 22 turns, and loses half of what it has in 11.
_GAIN: Final = 32
_LOSS: Final = 16


@dataclass(frozen=True, slots=True)
class Rules:
    """Basis points, thousandths and milliseconds."""

    deviation_bps: int = 100
    jump_bps: int = 300
    score_min: int = 300
    confirm_ms: int = 10_000


@dataclass(frozen=True, slots=True)
class Quote:
    """What a source says of a symbol: a price of some age, heard some time ago; older than `stale_ms` it counts no more."""

    source: str
    price: int
    age_ms: int
    heard_ms: int
    stale_ms: int


class Refusal(StrEnum):
    STALE = "stale"
    # The source answers, with a price from before: its market is closed.
    QUIET = "quiet"
    UNRELIABLE = "unreliable"
    OUTLIER = "outlier"
    JUMP = "jump"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The price, None where nothing can be said; who made it; who was refused, and why."""

    price: int | None
    used: tuple[str, ...] = ()
    refused: Mapping[str, Refusal] = field(default_factory=dict)


def median(prices: Sequence[int]) -> int:
    """The middle one, or the middle of the two, rounded down. At least one price."""
    ordered = sorted(prices)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) // 2


def near(price: int, other: int, bps: int) -> bool:
    """Whether a price is within so many basis points of another."""
    return abs(price - other) * _BPS <= other * bps


def decide(quotes: Sequence[Quote], scores: Mapping[str, int], last: int | None, rules: Rules) -> Verdict:
    """The verdict over quotes in order of preference, at most one a source; `last` is the index so far."""
    refused: dict[str, Refusal] = {
        quote.source: Refusal.STALE if quote.heard_ms > quote.stale_ms else Refusal.QUIET
        for quote in quotes
        if quote.age_ms > quote.stale_ms
    }
    fresh = [quote for quote in quotes if quote.source not in refused]
    reliable = [quote for quote in fresh if scores.get(quote.source, SCORE_FULL) >= rules.score_min]
    # Bad sources are better than none.
    if reliable:
        refused |= {quote.source: Refusal.UNRELIABLE for quote in fresh if quote not in reliable}
        fresh = reliable
    if not fresh:
        return Verdict(None, refused=refused)
    if len(fresh) == 1:
        return _alone(fresh[0], refused, last, rules)
    middle = median([quote.price for quote in fresh])
    # Of two the middle is no judge: they agree with each other, or not.
    judge = middle if len(fresh) > 2 else fresh[0].price
    agreeing = [quote for quote in fresh if near(quote.price, judge, rules.deviation_bps)]
    if 2 * len(agreeing) <= len(fresh):
        agreeing = [_preferred(fresh, scores, last, rules)]
    used = tuple(quote.source for quote in agreeing)
    refused |= {quote.source: Refusal.OUTLIER for quote in fresh if quote.source not in used}
    return Verdict(median([quote.price for quote in agreeing]), used, refused)


def _alone(quote: Quote, refused: dict[str, Refusal], last: int | None, rules: Rules) -> Verdict:
    if last is not None and not near(quote.price, last, rules.jump_bps):
        return Verdict(None, refused={**refused, quote.source: Refusal.JUMP})
    return Verdict(quote.price, (quote.source,), refused)


def _preferred(quotes: Sequence[Quote], scores: Mapping[str, int], last: int | None, rules: Rules) -> Quote:
    """Sorting keeps the order of preference among equals."""
    if last is not None:
        close = [quote for quote in quotes if near(quote.price, last, rules.jump_bps)]
        if close:
            return min(close, key=lambda quote: abs(quote.price - last))
    return max(quotes, key=lambda quote: scores.get(quote.source, SCORE_FULL))


@dataclass(slots=True)
class Scores:
    """How reliable each source was of late."""

    of: dict[str, int] = field(default_factory=dict)

    def count(self, verdicts: Collection[Verdict]) -> None:
        """Take in what the verdicts of one turn think of their sources: each is better off or worse, once.

        A source that is left out recovers meanwhile; a jump may yet prove right, and a market may close.
        """
        votes: dict[str, int] = {}
        for verdict in verdicts:
            good = [*verdict.used, *(s for s, why in verdict.refused.items() if why is Refusal.UNRELIABLE)]
            bad = [s for s, why in verdict.refused.items() if why in {Refusal.STALE, Refusal.OUTLIER}]
            for source in good:
                votes[source] = votes.get(source, 0) + 1
            for source in bad:
                votes[source] = votes.get(source, 0) - 1
        for source, vote in votes.items():
            score = self.of.get(source, SCORE_FULL)
            self.of[source] = score + -(-(SCORE_FULL - score) // _GAIN) if vote > 0 else score - score // _LOSS


@dataclass(slots=True)
class Settling:
    """The index of one symbol over time: a jump of a single source is believed once it has lasted."""

    rules: Rules
    last: int | None = None
    jumped_at: int | None = None

    def step(self, quotes: Sequence[Quote], scores: Mapping[str, int], now_ms: int) -> Verdict:
        """The verdict now."""
        verdict = decide(quotes, scores, self.last, self.rules)
        if Refusal.JUMP in verdict.refused.values():
            self.jumped_at = now_ms if self.jumped_at is None else self.jumped_at
            if now_ms - self.jumped_at < self.rules.confirm_ms:
                return verdict
            verdict = decide(quotes, scores, None, self.rules)
        self.jumped_at = None
        if verdict.price is not None:
            self.last = verdict.price
        return verdict
