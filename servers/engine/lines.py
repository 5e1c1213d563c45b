"""Rows of the tables that a replica writes several times an order: lines of text or rows of bytes for COPY, made directly.

An order's line is what db.projecting.ORDERS makes of it, byte for byte; a test compares the two.
"""

from struct import Struct
from typing import Final

from db.projecting import ORDERS
from db.rendering import escape, instant
from servers.domain.events import Posted, Traded
from servers.domain.model import Order
from servers.engine.memory import Memory
from servers.engine.wire import is_plain

_accounts: Final = Memory(escape)
_NEVER: Final = instant(0)
# What follows an order's numbers that say something: those that nothing sets of a plain one.
_ZEROS: Final = "0\t" * 11
# PostgreSQL counts its times from 2000 on.
_EPOCH_2000_US: Final = 946_684_800_000_000
# What a row of account_events is made of around its two fields that have no fixed length: how many fields there are, and before
# each how long it is.
_event_begins: Final = Struct(">hiiiqiii").pack
_event_goes_on: Final = Struct(">iqihi").pack
_event_ends: Final = Struct(">iq").pack


def order_line(partition: int, order: Order) -> str:
    """A row of orders, in the order of ORDERS."""
    if not is_plain(order):
        return ORDERS.line(partition, order)
    created, updated = instant(order.create_time), instant(order.update_time)
    return (
        f"{partition}\t{order.number}\t{order.side}\t{order.type}\t{order.time_in_force}\t{order.price}\t{order.quantity}\t0\t"
        f"{1 if order.post_only else 0}\t0\t{order.self_trade_prevention}\t{order.ticks}\t{order.lots}\t{order.filled_lots}\t"
        f"{order.removed_lots}\t{order.notional}\t{order.maker_rate}\t{order.taker_rate}\t{order.fee_accrued}\t"
        f"{order.fee_charged}\t{order.held}\t{order.status}\t{order.reject_reason}\t{order.cancel_reason}\t{order.priority}\t"
        f"{order.update_sequence}\t{_ZEROS}{_accounts.of(order.account.account_id)}\t{order.market.symbol}\t"
        f"{escape(order.client_order_id)}\t{escape(order.request_id)}\t\t\t\t{_NEVER}\t{created}\t{updated}\t{_NEVER}\n"
    )


def trade_line(partition: int, sequence: int, time: str, traded: Traded) -> str:
    """A row of trades, in the order of TRADES; `time` as PostgreSQL reads it."""
    maker, taker = traded.maker, traded.taker
    return (
        f"{partition}\t{traded.number}\t{sequence}\t{traded.market.symbol}\t{traded.ticks}\t{traded.lots}\t"
        f"{traded.notional}\t{taker.side}\t{maker.number}\t{taker.number}\t{_accounts.of(maker.account.account_id)}\t"
        f"{_accounts.of(taker.account.account_id)}\t{traded.maker_fee}\t{traded.taker_fee}\t{time}\n"
    )


def posting_line(partition: int, sequence: int, n: int, time: str, posted: Posted) -> str:
    """A row of postings, in the order of POSTINGS; `time` as PostgreSQL reads it."""
    return (
        f"{partition}\t{sequence}\t{n}\t{_accounts.of(posted.debit.account_id)}\t{_accounts.of(posted.credit.account_id)}\t"
        f"{posted.asset}\t{posted.amount}\t{posted.kind}\t{escape(posted.reference)}\t{time}\n"
    )


def event_row(
    partition: int, sequence: int, n: int, time_us: int, account_id: str, previous: int, kind: int, payload: bytes
) -> bytes:
    """A row of account_events for COPY in its binary form, in the order of ACCOUNT_EVENTS.

    Most of what the tables are sent is its payload, which as text were twice as long.
    """
    account = account_id.encode()
    return b"".join(
        (
            _event_begins(8, 4, partition, 8, sequence, 4, n, len(account)),
            account,
            _event_goes_on(8, previous, 2, kind, len(payload)),
            payload,
            _event_ends(8, time_us - _EPOCH_2000_US),
        )
    )
