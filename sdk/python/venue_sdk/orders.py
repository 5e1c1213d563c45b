"""The open orders of an account, kept from its stream.

Pure: give `take` every frame of StreamOrders. An event that does not follow the one before it raises StreamBrokenError: open a
stream without a position, whose snapshot replaces everything.
"""

from collections.abc import Iterator

from venue.order.v1 import order_service_pb2 as pb
from venue_sdk.market import StreamBrokenError
from venue_sdk.values import Fill, Order, read


class OpenOrders:
    """By order id. `fills` of an update are those that caused it."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}
        self.position = ""
        # How often changes were lost to the stream: what happened meanwhile, ListOrders and ListFills know.
        self.gaps = 0
        self._sequence: int | None = None

    def take(self, frame: pb.StreamOrdersResponse) -> Iterator[tuple[Order, tuple[Fill, ...]]]:
        """Apply a frame; gives each changed order with its new fills. Raises StreamBrokenError."""
        kind = frame.WhichOneof("frame")
        if kind == "snapshot":
            self.orders = {order.order_id: read(Order, order) for order in frame.snapshot.orders}
            self._sequence = frame.sequence
        elif kind == "event":
            if self._sequence is not None and frame.previous_sequence > self._sequence:
                raise StreamBrokenError(f"{self._sequence} is known, {frame.previous_sequence} comes before this")
            if self._sequence is None or frame.sequence > self._sequence:
                self._sequence = frame.sequence
                yield from self._changed(frame.event)
        elif kind == "gap":
            self.gaps += 1
        self.position = frame.position or self.position

    def _changed(self, event: pb.OrderEvent) -> Iterator[tuple[Order, tuple[Fill, ...]]]:
        for update in event.updates:
            order = read(Order, update.order)
            if order.is_open:
                self.orders[order.order_id] = order
            else:
                self.orders.pop(order.order_id, None)
            yield order, tuple(read(Fill, fill) for fill in update.fills)
