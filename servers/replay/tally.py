"""What a run has brought about so far, counted from the answers."""

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from servers.domain.money import ATTO_SCALE, parse
from servers.transport.caller import reason_of
from venue.order.v1 import order_pb2, order_service_pb2

# Why a cancel finds nothing: the order was filled here before the recorded one was cancelled.
FILLED_BEFORE: Final = {"ORDER_NOT_FOUND", "ORDER_CLOSED"}


@dataclass(slots=True)
class Tally:
    """Counts of answers. Base volume in atto, quote volume in units of 1e-36, both counted once a trade."""

    placed: int = 0
    cancelled: int = 0
    filled_before: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    trades: int = 0
    base_volume: int = 0
    quote_volume: int = 0
    # Of these answers, how many repeated an earlier one.
    replayed: int = 0

    def count(self, answer: order_service_pb2.TradeAnswer, *, places: bool) -> None:
        """Count the answer to one command."""
        kind = answer.WhichOneof("answer")
        if kind == "placed":
            self._count_placed(answer.placed)
        elif kind == "cancelled":
            self.cancelled += 1
            self.replayed += answer.cancelled.replayed
        else:
            reason = reason_of(answer.error)
            if not places and reason in FILLED_BEFORE:
                self.filled_before += 1
            else:
                self.refused[reason] += 1

    def _count_placed(self, placed: order_service_pb2.PlaceOrderResponse) -> None:
        self.replayed += placed.replayed
        if placed.order.status == order_pb2.ORDER_STATUS_REJECTED:
            name = order_pb2.RejectReason.Name(placed.order.reject_reason)
            self.rejected[name.removeprefix("REJECT_REASON_")] += 1
            return
        self.placed += 1
        self.trades += len(placed.fills)
        for fill in placed.fills:
            quantity = parse(fill.quantity, ATTO_SCALE)
            self.base_volume += quantity
            self.quote_volume += quantity * parse(fill.price, ATTO_SCALE)

    def to_json(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        return cls(**{**stored, "rejected": Counter(stored["rejected"]), "refused": Counter(stored["refused"])})
