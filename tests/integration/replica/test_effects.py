"""The bytes of account records, made in two ways."""

from db.session import Connection
from servers.engine.effects import account_changes
from servers.engine.messages import account_records
from tests.integration.replica.leader import ACCOUNTS, MARKETS, Leader, definitions, openings
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
