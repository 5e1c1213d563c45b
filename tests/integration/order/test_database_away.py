"""When the database is away: what needs it says UNAVAILABLE, and everything comes back by itself."""

import asyncio

import grpc

from db.session import connect
from tests.integration.order.conftest import Floor


async def test_lists_fail_softly_and_orders_go_on(floor: Floor, database_url: str) -> None:
    ana = floor.ana
    name = database_url.rpartition("/")[2]
    server = f"{database_url.rpartition('/')[0]}/postgres"
    async with await connect(server, application_name="operator") as operator:
        await operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        refusal = await asyncio.wait_for(ana.refused("ListOrders", account_id=ana.demo), 20)
        assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
        placing = asyncio.ensure_future(ana.place())
        await asyncio.sleep(0.2)
        assert not placing.done()
        await operator.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    answer = await asyncio.wait_for(placing, 20)
    found = await ana.call("ListOrders", account_id=ana.demo, min_position=answer.position)
    assert [order.order_id for order in found.orders] == [answer.order.order_id]
