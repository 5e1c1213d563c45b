"""Lists of orders and fills: pages, filters, and tokens that belong to one list alone."""

import asyncio
from typing import Any

import grpc
import pytest

from db.session import Connection
from tests.integration.order.conftest import Floor
from venue.order.v1 import order_pb2
from venue.type.v1 import type_pb2


async def pages(floor: Floor, method: str, size: int, **filters: Any) -> list[Any]:
    """All items of a list, page by page."""
    found: list[Any] = []
    token = ""
    while True:
        answer = await floor.ana.call(method, account_id=floor.ana.demo, page_size=size, page_token=token, **filters)
        page = list(answer.orders if method == "ListOrders" else answer.fills)
        assert len(page) <= size
        found += page
        token = answer.next_page_token
        if not token:
            return found
        assert len(page) == size


async def test_pages_hold_every_order_once_newest_first(floor: Floor) -> None:
    ana = floor.ana
    placed = [(await ana.place(price=str(40_000 + n))).order for n in range(23)]
    for order in placed[:5]:
        await ana.cancel(order.order_id)
    found = await pages(floor, "ListOrders", 7)
    assert [order.order_id for order in found] == [order.order_id for order in reversed(placed)]
    assert found[0] == placed[-1]
    cancelled = await pages(floor, "ListOrders", 2, status=[order_pb2.ORDER_STATUS_CANCELLED])
    assert [order.order_id for order in cancelled] == [order.order_id for order in reversed(placed[:5])]
    assert await pages(floor, "ListOrders", 7, symbol="ETH-USD") == []
    everything = await ana.call("ListOrders", account_id=ana.demo, page_size=10**9)
    assert (len(everything.orders), everything.next_page_token) == (23, "")


async def test_pages_of_fills(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    maker = await ana.place(quantity="1")
    taken = [await ben.place(account_id=ben.demo, side=type_pb2.SIDE_SELL, quantity="0.1") for _ in range(9)]
    found = await pages(floor, "ListFills", 4)
    assert [fill.trade_id for fill in found] == [answer.fills[0].trade_id for answer in reversed(taken)]
    assert {fill.order_id for fill in found} == {maker.order.order_id}
    assert await pages(floor, "ListFills", 4, order_id=maker.order.order_id) == found
    assert await pages(floor, "ListFills", 4, symbol="ETH-USD") == []


async def test_a_token_of_another_list_filter_or_user_is_refused(floor: Floor) -> None:
    ana, ben = floor.ana, floor.ben
    for _ in range(3):
        await ana.place(price="40000")
        await ben.place(account_id=ben.demo, price="40000")
    token = (await ana.call("ListOrders", account_id=ana.demo, page_size=1)).next_page_token
    assert token
    refusals = [
        await ana.refused("ListOrders", account_id=ana.demo, symbol="BTC-USD", page_token=token),
        await ana.refused("ListFills", account_id=ana.demo, page_token=token),
        await ben.refused("ListOrders", account_id=ben.demo, page_token=token),
        await ana.refused("ListOrders", account_id=ana.demo, page_token=("B" if token[0] == "A" else "A") + token[1:]),
        await ana.refused("ListOrders", account_id=ana.demo, page_token="🂡"),
        await ana.refused("ListOrders", account_id=ana.demo, page_token="e30="),
        await ana.refused("ListOrders", account_id=ana.demo, page_size=-1),
    ]
    assert [refusal.code for refusal in refusals] == [grpc.StatusCode.INVALID_ARGUMENT] * 7
    assert [refusal.info.reason for refusal in refusals[:6]] == ["PAGE_TOKEN_INVALID"] * 6


@pytest.mark.parametrize("position", ["nonsense", "2.1", "2.1.1~", "-2.1.1", "2.1.1.1"])
async def test_a_position_that_nobody_gave_is_refused(floor: Floor, position: str) -> None:
    refusal = await floor.ana.refused("ListOrders", account_id=floor.ana.demo, min_position=position)
    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "POSITION_INVALID")
    assert refusal.fields == ["min_position"]


async def test_a_list_is_as_new_as_the_position_it_is_given(floor: Floor, database: Connection) -> None:
    ana = floor.ana
    before = await ana.place()
    await ana.call("ListOrders", account_id=ana.demo, min_position=before.position)
    async with database.transaction():
        # The projector waits for this lock.
        await database.execute("SELECT 1 FROM projections WHERE partition = 2 FOR UPDATE")
        answer = await ana.place()
        waiting = asyncio.ensure_future(
            ana.call("ListOrders", account_id=ana.demo, min_position=answer.position),
        )
        await asyncio.sleep(0.4)
        assert not waiting.done()
    assert [order.order_id for order in (await waiting).orders] == [answer.order.order_id, before.order.order_id]
