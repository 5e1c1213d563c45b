"""Bytes into commands: the stamped message of the journal becomes what the machine executes, the same way everywhere."""

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any, Final

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from servers.domain import commands as c
from servers.domain.errors import DefinitionInvalid, FieldViolation, NotImplementedYet, OrderNotFound
from servers.domain.hours import Hours
from servers.domain.identifiers import find_order
from servers.domain.limits import UNSAID
from servers.domain.model import Limits
from servers.domain.money import RATE_SCALE, NotDecimal, parse
from servers.transport.refusals import InvalidField
from venue.engine.v1 import engine_pb2 as pb
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_service_pb2 as order_pb

_NO_BODY: Final = b""
# What a short text, and a plain order's four texts and three enumerations together, take on the wire beside their letters.
_TEXT_BYTES: Final = 2
_PLAIN_BYTES: Final = 7 * _TEXT_BYTES
# Hundredths of a percent.
_PERCENT_SCALE: Final = 2


def fingerprint(body: Message, batch: bytes = b"") -> bytes:
    """What tells one body (of a batch with its own fingerprint) from another under the same request_id: 16 bytes."""
    return blake2b(batch + body.SerializeToString(deterministic=True), digest_size=16).digest()


def decode(command: pb.Command) -> c.Command:
    """The command for the machine. Raises VenueError for ids and decimals that no contract rule had to check before."""
    kind = command.WhichOneof("body")
    if kind is None:
        raise DefinitionInvalid("body", "is required")
    decoder = _DECODERS.get(kind)
    if decoder is None:
        raise NotImplementedYet(kind)
    try:
        decoded = decoder(command, getattr(command, kind))
    except NotDecimal:
        raise DefinitionInvalid(kind, "has a field that is not a decimal") from None
    if command.session_id:
        _of_session(decoded, command.session_id)
    if command.account_id and isinstance(decoded, c.CancelOrder | c.AmendOrder):
        # Not in the body, by which a repeated request is known.
        decoded.account_id = decoded.account_id or command.account_id
    return decoded


def _of_session(command: c.Command, session_id: str) -> None:
    """Say of what a command places that it belongs to a trading session."""
    placed: tuple[c.Command, ...] = (command,)
    if isinstance(command, c.ReplaceOrder):
        placed = (command.order,)
    elif isinstance(command, c.PlaceOco):
        placed = command.orders
    for one in placed:
        if isinstance(one, c.PlaceOrder):
            one.session_id = session_id


def _stamp(command: pb.Command, request_id: str, body: Message) -> tuple[int, int, str, str, bytes]:
    # A UUID is the same in capitals.
    request_id = (command.request_id or request_id).lower()
    return (
        command.sequence,
        command.time_us,
        command.user_id,
        request_id,
        fingerprint(body, command.batch) if request_id else _NO_BODY,
    )


def _decimal(text: str, field: str, scale: int = 18) -> int:
    try:
        return parse(text, scale)
    except NotDecimal:
        raise DefinitionInvalid(field, "is not a decimal of this scale") from None


def _moment(moment: Timestamp, field: str) -> int:
    try:
        # 0 would mean none; whatever lies before 1970 is as past as its first microsecond.
        return max(moment.ToMicroseconds(), 1)
    except ValueError:
        raise InvalidField([FieldViolation(field, "must be a time of the years 1 to 9999", "timestamp")]) from None


def decode_placement(command: pb.Command, body: order_pb.PlaceOrderRequest) -> c.PlaceOrder:
    """A placement with the stamp of a command."""
    return _placement(_stamp(command, body.request_id, body), body)


def _placement(stamp: tuple[int, int, str, str, bytes], body: order_pb.PlaceOrderRequest) -> c.PlaceOrder:
    # One by one: with `*` the compiled call goes through a tuple and a dictionary.
    sequence, time_us, user_id, request_id, body_print = stamp
    account_id, symbol, price, quantity = body.account_id, body.symbol, body.price, body.quantity
    side, kind, time_in_force, label = body.side, body.type, body.time_in_force, body.client_order_id
    if account_id and symbol and price and quantity and side and kind and time_in_force:
        told = len(account_id) + len(symbol) + len(price) + len(quantity) + _PLAIN_BYTES
        if label:
            told += len(label) + _TEXT_BYTES
        if body.request_id:
            told += len(body.request_id) + _TEXT_BYTES
        if told == body.ByteSize():
            # Nearly all: these take every byte of it, so that nothing else is said, and none of it needs to be looked for.
            return c.PlaceOrder(
                sequence, time_us, user_id, request_id, body_print, account_id, symbol, side, kind, time_in_force,
                parse(price), parse(quantity), quote_amount=0, post_only=False, reduce_only=False, self_trade_prevention=0,
                client_order_id=label, expire_time=0,
            )  # fmt: skip
    return c.PlaceOrder(
        sequence,
        time_us,
        user_id,
        request_id,
        body_print,
        account_id,
        symbol,
        side,
        kind,
        time_in_force,
        parse(price) if price else 0,
        parse(quantity) if quantity else 0,
        parse(body.quote_amount) if body.quote_amount else 0,
        body.post_only,
        body.reduce_only,
        body.self_trade_prevention,
        label,
        _moment(body.expire_time, "expire_time") if body.HasField("expire_time") else 0,
        body.tag,
        parse(body.display_quantity) if body.display_quantity else 0,
        parse(body.stop_price) if body.stop_price else 0,
        body.trigger_source,
        parse(body.trailing_amount) if body.trailing_amount else 0,
        parse(body.trailing_percent, _PERCENT_SCALE) if body.trailing_percent else 0,
        _exit(body.take_profit) if body.HasField("take_profit") else None,
        _exit(body.stop_loss) if body.HasField("stop_loss") else None,
    )


def _exit(body: order_pb.ExitOrder) -> c.ExitTerms:
    price = parse(body.price) if body.price else 0
    return c.ExitTerms(parse(body.stop_price), price, body.trigger_source, body.client_order_id)


def _place_oco(command: pb.Command, body: order_pb.PlaceOcoRequest) -> c.PlaceOco:
    stamp = _stamp(command, body.request_id, body)
    if len(body.orders) != 2:
        raise DefinitionInvalid("orders", "must be two")
    first, second = (_placement(stamp, order) for order in body.orders)
    return c.PlaceOco(*stamp, (first, second))


def _cancel(command: pb.Command, body: order_pb.CancelOrderRequest) -> c.CancelOrder:
    sequence, time_us, user_id, request_id, body_print = _stamp(command, body.request_id, body)
    number = _number(body.order_id) if body.order_id else 0
    return c.CancelOrder(
        sequence, time_us, user_id, request_id, body_print, number, body.account_id, body.client_order_id
    )


def _number(order_id: str) -> int:
    found = find_order(order_id)
    if found is None:
        raise OrderNotFound(order_id)
    return found[1]


def _amend(command: pb.Command, body: order_pb.AmendOrderRequest) -> c.AmendOrder:
    return c.AmendOrder(
        *_stamp(command, body.request_id, body),
        _number(body.order_id) if body.order_id else 0,
        body.account_id,
        body.client_order_id,
        parse(body.price) if body.price else 0,
        parse(body.quantity) if body.quantity else 0,
        body.expected_version,
        parse(body.stop_price) if body.stop_price else 0,
    )


def _replace(command: pb.Command, body: order_pb.ReplaceOrderRequest) -> c.ReplaceOrder:
    stamp = _stamp(command, body.request_id or body.order.request_id, body)
    return c.ReplaceOrder(*stamp, _number(body.order_id), _placement(stamp, body.order))


def _cancel_all_after(command: pb.Command, body: order_pb.CancelAllAfterRequest) -> c.CancelAllAfter:
    return c.CancelAllAfter(*_stamp(command, "", body), body.account_id, body.timeout.ToMicroseconds(), body.tag)


def _open_session(command: pb.Command, body: pb.OpenSession) -> c.OpenSession:
    return c.OpenSession(*_stamp(command, "", body), body.session_id, body.account_id)


def _end_session(command: pb.Command, body: pb.EndSession) -> c.EndSession:
    return c.EndSession(*_stamp(command, "", body), body.session_id, body.account_id, body.opened, body.lost)


def _cancel_all(command: pb.Command, body: order_pb.CancelAllOrdersRequest) -> c.CancelAllOrders:
    stamp = _stamp(command, body.request_id, body)
    return c.CancelAllOrders(*stamp, body.account_id, body.symbol, body.side, body.tag)


def _open_account(command: pb.Command, body: pb.OpenAccount) -> c.OpenAccount:
    # The id is made by the server, anew for every call: it must not make a repeated request look like another one.
    plain = pb.OpenAccount()
    plain.CopyFrom(body)
    plain.account_id = ""
    opening = tuple((item.asset, _decimal(item.amount, "opening")) for item in body.opening)
    stamp = _stamp(command, body.request_id, plain)
    return c.OpenAccount(*stamp, body.account_id, body.type, body.name, body.tier, body.self_trade_group, opening)


def _transfer(command: pb.Command, body: pb.Transfer) -> c.MakeTransfer:
    if not body.transfer_id:
        raise DefinitionInvalid("transfer_id", "is required")
    return c.MakeTransfer(
        *_stamp(command, body.transfer_id, body),
        body.debit_account_id,
        body.credit_account_id,
        body.asset,
        _decimal(body.amount, "amount"),
        body.kind,
        body.pending,
        body.receiver_account_id,
        body.receive,
    )


def _convert(command: pb.Command, body: pb.Convert) -> c.Convert:
    if not body.conversion_id:
        raise DefinitionInvalid("conversion_id", "is required")
    return c.Convert(
        *_stamp(command, body.conversion_id, body),
        body.account_id,
        body.from_asset,
        _decimal(body.from_amount, "from_amount"),
        body.to_asset,
        _decimal(body.to_amount, "to_amount"),
        _moment(body.expire_time, "expire_time"),
        body.acceptance,
    )


def _rename(command: pb.Command, body: pb.RenameAccount) -> c.RenameAccount:
    return c.RenameAccount(*_stamp(command, body.request_id, body), body.account_id, body.name)


def _close(command: pb.Command, body: pb.CloseAccount) -> c.CloseAccount:
    return c.CloseAccount(*_stamp(command, body.request_id, body), body.account_id)


def _resolve(command: pb.Command, body: pb.ResolveTransfer) -> c.ResolveTransfer:
    amount = _decimal(body.amount, "amount") if body.amount else 0
    return c.ResolveTransfer(*_stamp(command, "", body), body.transfer_id, body.void, amount)


def _asset(command: pb.Command, body: pb.DefineAsset) -> c.DefineAsset:
    return c.DefineAsset(*_stamp(command, "", body), body.symbol, body.scale, body.display_scale)


def _begin_batch(command: pb.Command, body: pb.BeginBatch) -> c.BeginBatch:
    return c.BeginBatch(*_stamp(command, "", body))


def _market(command: pb.Command, body: pb.DefineMarket) -> c.DefineMarket:
    m = body.market
    return c.DefineMarket(
        *_stamp(command, "", body),
        m.symbol,
        m.kind,
        m.state,
        m.base_asset,
        m.quote_asset,
        _decimal(m.tick_size, "tick_size"),
        _decimal(m.lot_size, "lot_size"),
        _decimal(m.min_quantity, "min_quantity"),
        _decimal(m.max_quantity, "max_quantity"),
        _decimal(m.max_price, "max_price"),
        _decimal(m.maker_fee_rate, "maker_fee_rate", RATE_SCALE),
        _decimal(m.taker_fee_rate, "taker_fee_rate", RATE_SCALE),
        _hours(m.trading_hours),
    )


def _hours(hours: Iterable[marketdata_pb2.TradingHours]) -> tuple[Hours, ...]:
    return tuple(Hours(h.weekday, h.open_second, h.close_second, h.auction_seconds) for h in hours)


def _market_state(command: pb.Command, body: pb.SetMarketState) -> c.SetMarketState:
    return c.SetMarketState(*_stamp(command, "", body), body.symbol, body.state)


def _reference_prices(command: pb.Command, body: pb.SetReferencePrices) -> c.SetReferencePrices:
    mark = _decimal(body.mark_price, "mark_price") if body.mark_price else 0
    index = _decimal(body.index_price, "index_price") if body.index_price else 0
    stale = _moment(body.stale_index_time, "stale_index_time") if body.HasField("stale_index_time") else 0
    return c.SetReferencePrices(*_stamp(command, "", body), body.symbol, mark, index, stale)


def _trading_hours(command: pb.Command, body: pb.SetTradingHours) -> c.SetTradingHours:
    return c.SetTradingHours(*_stamp(command, "", body), body.symbol, _hours(body.hours))


def _fees(command: pb.Command, body: pb.SetFees) -> c.SetFees:
    maker = _decimal(body.maker_fee_rate, "maker_fee_rate", RATE_SCALE)
    taker = _decimal(body.taker_fee_rate, "taker_fee_rate", RATE_SCALE)
    return c.SetFees(*_stamp(command, "", body), body.symbol, body.tier, maker, taker)


def _limits(command: pb.Command, body: pb.SetLimits) -> c.SetLimits:
    given = body.limits
    limits = Limits(
        body.account_id,
        body.tier,
        body.symbol,
        _limit(given.quantity_max, "quantity_max"),
        _limit(given.notional_max, "notional_max"),
        given.open_orders_max or UNSAID,
        _limit(given.position_max, "position_max"),
        _limit(given.daily_loss_max, "daily_loss_max"),
        # A percent is a hundredth.
        _limit(given.price_band_percent, "price_band_percent", RATE_SCALE - 2),
        " ".join(sorted(given.symbols_allowed)),
    )
    return c.SetLimits(*_stamp(command, "", body), limits)


def _limit(text: str, field: str, scale: int = 18) -> int:
    return _decimal(text, field, scale) if text else UNSAID


def _account_status(command: pb.Command, body: pb.SetAccountStatus) -> c.SetAccountStatus:
    return c.SetAccountStatus(*_stamp(command, "", body), body.account_id, body.status)


def _account_terms(command: pb.Command, body: pb.SetAccountTerms) -> c.SetAccountTerms:
    terms = body.tier, body.self_trade_group, body.previous_tier, body.previous_self_trade_group
    return c.SetAccountTerms(*_stamp(command, "", body), body.account_id, *terms)


def _advance(command: pb.Command, body: pb.Advance) -> c.Advance:
    return c.Advance(*_stamp(command, "", body))


def _leader_started(command: pb.Command, body: pb.LeaderStarted) -> c.LeaderStarted:
    return c.LeaderStarted(*_stamp(command, "", body), body.epoch)


def _change_rules(command: pb.Command, body: pb.ChangeRules) -> c.ChangeRules:
    return c.ChangeRules(*_stamp(command, "", body), body.rules_version)


_DECODERS: Final[dict[str, Callable[[pb.Command, Any], c.Command]]] = {
    "place_order": decode_placement,
    "place_oco": _place_oco,
    "cancel_order": _cancel,
    "cancel_all_orders": _cancel_all,
    "amend_order": _amend,
    "replace_order": _replace,
    "cancel_all_after": _cancel_all_after,
    "begin_batch": _begin_batch,
    "open_session": _open_session,
    "end_session": _end_session,
    "open_account": _open_account,
    "transfer": _transfer,
    "resolve_transfer": _resolve,
    "convert": _convert,
    "rename_account": _rename,
    "close_account": _close,
    "define_asset": _asset,
    "define_market": _market,
    "set_market_state": _market_state,
    "set_reference_prices": _reference_prices,
    "set_trading_hours": _trading_hours,
    "set_fees": _fees,
    "set_limits": _limits,
    "set_account_status": _account_status,
    "set_account_terms": _account_terms,
    "advance": _advance,
    "leader_started": _leader_started,
    "change_rules": _change_rules,
}
