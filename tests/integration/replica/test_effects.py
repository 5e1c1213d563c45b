"""The bytes of account records, made in two ways."""

from db.session import Connection
from servers.domain.events import AccountTouched, BalanceChanged, Event, OrderChanged, PositionChanged, Traded
from servers.domain.exchange import Exchange
from servers.domain.model import Account
from servers.domain.positions import DAY_US
from servers.engine.effects import account_changes
from servers.engine.messages import balance_message, fill_message, order_message
from servers.engine.standing import position_message
from tests.integration.replica.leader import ACCOUNTS, MARKETS, Leader, definitions, openings
from venue.engine.v1 import engine_pb2
from venue.engine.v1 import engine_pb2 as pb
from venue.order.v1 import order_pb2, order_service_pb2
from venue.type.v1 import type_pb2


def limit(account: str, side: "type_pb2.Side.ValueType", quantity: str) -> pb.Command:
    body = order_service_pb2.PlaceOrderRequest(
        account_id=account,
        symbol=MARKETS[0],
        side=side,
        type=order_pb2.ORDER_TYPE_LIMIT,
        time_in_force=order_pb2.TIME_IN_FORCE_GTC,
        price="100",
        quantity=quantity,
    )
    return pb.Command(user_id=f"user-{account}", place_order=body)


async def test_records_joined_of_parts_are_the_messages_bytes(connection: Connection) -> None:
    leader = Leader(connection, 11)
    sweep = [limit(ACCOUNTS[n % 7], type_pb2.SIDE_SELL, "0.01") for n in range(300)]
    sweep.append(limit(ACCOUNTS[7], type_pb2.SIDE_BUY, "3"))
    sizes = []
    for message in [*definitions(), *openings(), *sweep, *(leader.command() for _ in range(1_500))]:
        if not leader.execute(message):
            continue
        events = leader.exchange.record.events
        expected = [
            (account.account_id, previous, record.SerializeToString())
            for account, previous, record in account_records(leader.exchange, events)
        ]
        assert account_changes(leader.exchange, events) == expected
        sizes += [len(record) for _, _, record in expected]
    # Lengths of one, two and three bytes were among them.
    assert min(sizes) < 128
    assert max(sizes) > 16_384


def account_records(exchange: Exchange, events: list[Event]) -> list[tuple[Account, int, engine_pb2.AccountRecord]]:
    """The slow and plain way: what a command changed, by customer's account: (account, sequence of its event before, record)."""
    record = exchange.record
    found: dict[str, tuple[Account, int, engine_pb2.AccountRecord]] = {}
    updates: dict[int, order_pb2.OrderUpdate] = {}
    for event in events:
        if isinstance(event, AccountTouched):
            found[event.account.account_id] = (event.account, event.previous, engine_pb2.AccountRecord())
        elif isinstance(event, OrderChanged):
            updates[event.order.number] = order_pb2.OrderUpdate(order=order_message(exchange.partition, event.order))
        elif isinstance(event, Traded):
            for order in (event.maker, event.taker):
                fill = fill_message(exchange.partition, event, order, record.sequence, record.time)
                updates[order.number].fills.append(fill)
    for event in events:
        if isinstance(event, OrderChanged):
            found[event.order.account.account_id][2].orders.append(updates[event.order.number])
        elif isinstance(event, BalanceChanged) and event.balance.account.user_id:
            balances = found[event.balance.account.account_id][2].balances
            balances.append(balance_message(exchange, event.balance))
        elif isinstance(event, PositionChanged):
            positions = found[event.position.account.account_id][2].positions
            positions.append(position_message(event.position, record.time // DAY_US))
    return list(found.values())
