"""Messages of the contract as wire bytes made directly: what a replica writes several times an order.

The messages' own classes take three times as long. Text stands for bytes here, one character a byte (latin-1), so that fields
are joined as text is. What is made is what messages.py makes, byte for byte; a test compares the two.
"""

from typing import Final

from google.protobuf.message import Message

from servers.domain.events import Traded
from servers.domain.exchange import Exchange
from servers.domain.identifiers import order_id
from servers.domain.model import Balance, Order, Position
from servers.domain.money import ATTO_SCALE, format_once
from servers.domain.positions import day_profit, unrealized, valuation_ticks
from servers.domain.terms import OrderStatus
from servers.engine.memory import Memory
from servers.engine.messages import average_units, order_message
from servers.engine.standing import average_cost
from venue.account.v1 import account_pb2
from venue.engine.v1 import engine_pb2
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_pb2

_FILLED: Final = int(OrderStatus.FILLED)
_CONTINUED: Final = tuple([chr(low | 0x80) for low in range(128)])
_LAST: Final = tuple([chr(low) for low in range(128)])


def _varint(number: int) -> str:
    text = ""
    while number > 0x7F:
        text += _CONTINUED[number & 0x7F]
        number >>= 7
    return text + _LAST[number]


_LENGTHS: Final = tuple([_varint(length) for length in range(2_048)])


def tag(message: type[Message], name: str) -> str:
    """What stands before a field of a kind of message."""
    found = message.DESCRIPTOR.fields_by_name[name]
    return _varint(found.number << 3 | (2 if found.type in {found.TYPE_STRING, found.TYPE_MESSAGE} else 0))


def _with_length(text: str) -> str:
    raw = text if text.isascii() else text.encode().decode("latin-1")
    length = len(raw)
    return (_LENGTHS[length] if length < 2_048 else _varint(length)) + raw


def _timestamp(time_us: int) -> str:
    seconds, rest = divmod(time_us, 1_000_000)
    text = "\x08" + _varint(seconds) if seconds else ""
    if rest:
        text += "\x10" + _varint(rest * 1_000)
    return _LENGTHS[len(text)] + text


def _amount(key: int) -> str:
    return _with_length(format_once(key >> _SCALE_BITS, key & _SCALE_MASK))


def _price(units: int) -> str:
    return _with_length(format_once(units, ATTO_SCALE))


_SCALE_BITS: Final = 5
_SCALE_MASK: Final = (1 << _SCALE_BITS) - 1
# A length and what follows: text, one character a byte; a Timestamp; a number of atto; a number and its scale.
_raws: Final = Memory(_with_length)
_times: Final = Memory(_timestamp)
_prices: Final = Memory(_price)
_amounts: Final = Memory(_amount)


def _raw(text: str) -> str:
    return _raws.of(text)


def _time(time_us: int) -> str:
    return _times.of(time_us)


def _atto(units: int) -> str:
    return _prices.of(units)


def _units(units: int, scale: int) -> str:
    return _amounts.of(units << _SCALE_BITS | scale)


def field(tag: str, body: str) -> str:
    """A field of a message, and its body."""
    length = len(body)
    return f"{tag}{_LENGTHS[length] if length < 2_048 else _varint(length)}{body}"


_O: Final = {name: tag(order_pb2.Order, name) for name in order_pb2.Order.DESCRIPTOR.fields_by_name}
_F: Final = {name: tag(order_pb2.Fill, name) for name in order_pb2.Fill.DESCRIPTOR.fields_by_name}
_T: Final = {name: tag(marketdata_pb2.Trade, name) for name in marketdata_pb2.Trade.DESCRIPTOR.fields_by_name}
_B: Final = {name: tag(account_pb2.Balance, name) for name in account_pb2.Balance.DESCRIPTOR.fields_by_name}
_P: Final = {name: tag(account_pb2.Position, name) for name in account_pb2.Position.DESCRIPTOR.fields_by_name}
ORDERS: Final = tag(engine_pb2.AccountRecord, "orders")
BALANCES: Final = tag(engine_pb2.AccountRecord, "balances")
POSITIONS: Final = tag(engine_pb2.AccountRecord, "positions")
ORDER: Final = tag(order_pb2.OrderUpdate, "order")
FILLS: Final = tag(order_pb2.OrderUpdate, "fills")
_TRADES: Final = tag(engine_pb2.MarketRecord, "trades")
_ZERO: Final = "\x010"


def is_plain(order: Order) -> bool:
    """Whether an order is as nearly all are: nothing is set of what few orders have."""
    return not (
        order.quote_amount
        or order.reduce_only
        or order.expire_time
        or order.parent_number
        or order.root_number
        or order.stop_price
        or order.trigger_source
        or order.trigger_time
        or order.trailing_amount
        or order.trailing_percent
        or order.best_price
        or order.list_number
        or order.list_role
        or order.exits
        or order.tag
        or order.display_quantity
        or order.hidden_lots
        or order.session_id
        or order.born
    )


def order_wire(partition: int, order: Order) -> str:
    """An Order."""
    if order.side and order.type and order.time_in_force and is_plain(order):
        return _plain_wire(partition, order)
    return order_message(partition, order).SerializeToString(deterministic=True).decode("latin-1")


_ID, _LABEL, _REQUEST = _O["order_id"], _O["client_order_id"], _O["request_id"]
_QUANTITY, _PRICE, _DONE, _REST = _O["quantity"], _O["price"], _O["filled_quantity"], _O["remaining_quantity"]
_AVERAGE, _COST, _COST_ASSET, _STATUS = _O["average_price"], _O["fee"], _O["fee_asset"], _O["status"]
_REJECT, _ROOT, _CREATED, _UPDATED = _O["reject_reason"], _O["root_order_id"], _O["create_time"], _O["update_time"]
_SEQUENCE, _CANCEL, _PREVENTION = _O["sequence"], _O["cancel_reason"], _O["self_trade_prevention"]
_ACCOUNT, _SYMBOL, _ORDER_SIDE, _TYPE, _FORCE = (
    _O["account_id"],
    _O["symbol"],
    _O["side"],
    _O["type"],
    _O["time_in_force"],
)
_POST_ONLY: Final = _O["post_only"] + "\x01"


def _plain_wire(partition: int, order: Order) -> str:
    market = order.market
    lot, filled = market.lot_size, order.filled_lots
    status = order.status
    rest = 0 if status >= _FILLED else order.lots - filled - order.removed_lots
    text = order_id(partition, order.number)
    number = f"{_LENGTHS[len(text)]}{text}"
    label = f"{_LABEL}{_with_length(order.client_order_id)}" if order.client_order_id else ""
    request = f"{_REQUEST}{_with_length(order.request_id)}" if order.request_id else ""
    price = f"{_PRICE}{_atto(order.price)}" if order.price else ""
    done = _atto(filled * lot) if filled else _ZERO
    average = f"{_AVERAGE}{_units(average_units(order), market.quote_scale)}" if filled else ""
    fee = _units(order.fee_charged, market.quote_scale) if order.fee_charged else _ZERO
    reject = f"{_REJECT}{_LENGTHS[order.reject_reason]}" if order.reject_reason else ""
    cancel = f"{_CANCEL}{_LENGTHS[order.cancel_reason]}" if order.cancel_reason else ""
    prevention = f"{_PREVENTION}{_LENGTHS[order.self_trade_prevention]}" if order.self_trade_prevention else ""
    post_only = _POST_ONLY if order.post_only else ""
    return (
        f"{_ID}{number}{label}{request}{_ACCOUNT}{_raw(order.account.account_id)}{_SYMBOL}{_raw(market.symbol)}"
        f"{_ORDER_SIDE}{_LENGTHS[order.side]}{_TYPE}{_LENGTHS[order.type]}{_FORCE}{_LENGTHS[order.time_in_force]}"
        f"{_QUANTITY}{_atto(order.quantity)}{price}{_DONE}{done}"
        f"{_REST}{_atto(rest * lot) if rest else _ZERO}{average}{_COST}{fee}"
        f"{_COST_ASSET}{_raw(market.quote_asset)}{_STATUS}{_LENGTHS[status]}{reject}{post_only}{_ROOT}{number}"
        f"{_CREATED}{_time(order.create_time)}{_UPDATED}{_time(order.update_time)}"
        f"{_SEQUENCE}{_varint(order.update_sequence)}{cancel}{prevention}"
    )


_TRADE_ID, _FILL_ORDER, _FILL_LABEL, _FILL_FEE = _F["trade_id"], _F["order_id"], _F["client_order_id"], _F["fee"]
_FILL_PRICE, _FILL_QUANTITY, _FEE_ASSET = _F["price"], _F["quantity"], _F["fee_asset"]
_FILL_ACCOUNT, _FILL_SYMBOL, _FILL_SIDE = _F["account_id"], _F["symbol"], _F["side"]
_LIQUIDITY, _FILL_TIME, _FILL_SEQUENCE = _F["liquidity"], _F["trade_time"], _F["sequence"]
_MAKER, _TAKER = chr(order_pb2.LIQUIDITY_MAKER), chr(order_pb2.LIQUIDITY_TAKER)


def fill_wire(partition: int, traded: Traded, order: Order, sequence: int, time_us: int) -> str:
    """One side of a trade, a Fill."""
    market = traded.market
    maker = order is traded.maker
    trade, number = f"{partition}-t{traded.number}", order_id(partition, order.number)
    label = f"{_FILL_LABEL}{_with_length(order.client_order_id)}" if order.client_order_id else ""
    return (
        f"{_TRADE_ID}{_LENGTHS[len(trade)]}{trade}{_FILL_ORDER}{_LENGTHS[len(number)]}{number}{label}"
        f"{_FILL_ACCOUNT}{_raw(order.account.account_id)}{_FILL_SYMBOL}{_raw(market.symbol)}{_FILL_SIDE}{_LENGTHS[order.side]}"
        f"{_FILL_PRICE}{_atto(traded.ticks * market.tick_size)}"
        f"{_FILL_QUANTITY}{_atto(traded.lots * market.lot_size)}"
        f"{_FILL_FEE}{_units(traded.maker_fee if maker else traded.taker_fee, market.quote_scale)}"
        f"{_FEE_ASSET}{_raw(market.quote_asset)}{_LIQUIDITY}{_MAKER if maker else _TAKER}"
        f"{_FILL_TIME}{_time(time_us)}{_FILL_SEQUENCE}{_varint(sequence)}"
    )


class Wires:
    """What one command left of orders and fills, made once however many are told of it. Only until the next command."""

    __slots__ = ("_fills", "_orders", "_partition", "_record")

    def __init__(self, exchange: Exchange) -> None:
        self._partition = exchange.partition
        self._record = exchange.record
        self._orders: dict[int, str] = {}
        self._fills: dict[tuple[int, int], str] = {}

    def order(self, order: Order) -> str:
        """An Order."""
        wire = self._orders.get(order.number)
        if wire is None:
            wire = self._orders[order.number] = order_wire(self._partition, order)
        return wire

    def fill(self, traded: Traded, order: Order) -> str:
        """One side of a trade, a Fill."""
        key = (traded.number, order.number)
        wire = self._fills.get(key)
        if wire is None:
            record = self._record
            wire = self._fills[key] = fill_wire(self._partition, traded, order, record.sequence, record.time)
        return wire


_PUBLIC_ID, _PUBLIC_SYMBOL, _SIDE = _T["trade_id"], _T["symbol"], _T["taker_side"]
_PUBLIC_PRICE, _PUBLIC_QUANTITY = _T["price"], _T["quantity"]
_PUBLIC_TIME, _PUBLIC_SEQUENCE = _T["trade_time"], _T["sequence"]


def trade_wire(partition: int, traded: Traded, sequence: int, time_us: int) -> bytes:
    """A trade as everybody may see it, as the field of a MarketRecord."""
    market, trade = traded.market, f"{partition}-t{traded.number}"
    return field(
        _TRADES,
        f"{_PUBLIC_ID}{_LENGTHS[len(trade)]}{trade}{_PUBLIC_SYMBOL}{_raw(market.symbol)}"
        f"{_PUBLIC_PRICE}{_atto(traded.ticks * market.tick_size)}"
        f"{_PUBLIC_QUANTITY}{_atto(traded.lots * market.lot_size)}"
        f"{_SIDE}{_LENGTHS[traded.taker.side]}{_PUBLIC_TIME}{_time(time_us)}{_PUBLIC_SEQUENCE}{_varint(sequence)}",
    ).encode("latin-1")


_ASSET, _AVAILABLE, _HELD, _TOTAL = _B["asset"], _B["available"], _B["held"], _B["total"]


def balance_wire(balance: Balance, scale: int) -> str:
    """A balance of an asset that has a scale."""
    held, text = balance.held, format_once(balance.available, scale)
    available = total = f"{_LENGTHS[len(text)]}{text}"
    on_hold = _ZERO
    if held:
        text = format_once(held, scale)
        on_hold = f"{_LENGTHS[len(text)]}{text}"
        text = format_once(balance.available + held, scale)
        total = f"{_LENGTHS[len(text)]}{text}"
    return f"{_ASSET}{_raw(balance.asset)}{_AVAILABLE}{available}{_HELD}{on_hold}{_TOTAL}{total}"


_P_SYMBOL, _P_QUANTITY, _P_AVERAGE, _P_COST = _P["symbol"], _P["quantity"], _P["average_price"], _P["cost"]
_P_REALIZED, _P_UNREALIZED, _P_DAY = _P["realized_profit"], _P["unrealized_profit"], _P["day_profit"]
_P_VALUATION, _P_QUOTE, _P_SEQUENCE = _P["valuation_price"], _P["quote_asset"], _P["sequence"]


def position_wire(position: Position, day: int) -> str:
    """A position as its owner sees it on a day, as standing.position_message tells it."""
    market = position.market
    scale, last = market.quote_scale, position.update_sequence
    average = _once(_P_AVERAGE, average_cost(position), scale) if position.lots else ""
    return (
        f"{_P_SYMBOL}{_raw(market.symbol)}{_once(_P_QUANTITY, position.lots * market.lot_size, ATTO_SCALE)}{average}"
        f"{_once(_P_COST, position.cost, scale)}{_once(_P_REALIZED, position.realized, scale)}"
        f"{_once(_P_UNREALIZED, unrealized(position), scale)}{_once(_P_DAY, day_profit(position, day), scale)}"
        f"{_P_VALUATION}{_atto(valuation_ticks(market) * market.tick_size)}"
        f"{_P_QUOTE}{_raw(market.quote_asset)}{f'{_P_SEQUENCE}{_varint(last)}' if last else ''}"
    )


def _once(tag: str, units: int, scale: int) -> str:
    """A field whose text hardly comes again."""
    text = format_once(units, scale)
    return f"{tag}{_LENGTHS[len(text)]}{text}"
