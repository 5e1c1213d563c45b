"""Orders: what is placed once, what is refused how, and what may be read after it."""

import uuid
from decimal import Decimal

from servers.conformance.visit import Refusal, Visit, demand, expect, written

UNKNOWN = "1-99999999999"


async def an_order_rests(visit: Visit) -> None:
    placed = await visit.place(clientOrderId="rests")
    order = placed["order"]
    expect("status", order["status"], "ORDER_STATUS_OPEN")
    expect("clientOrderId", order["clientOrderId"], "rests")
    demand("no orderId, or no position", holds=bool(order["orderId"] and placed["position"]))
    expect("the order by its label", await by_label(visit, "rests"), order)
    await visit.good("DELETE", f"/v1/orders/{order['orderId']}")


async def by_label(visit: Visit, label: str) -> object:
    path = f"/v1/orders:byClientOrderId?accountId={visit.account_id}&clientOrderId={label}"
    return (await visit.good("GET", path))["order"]


async def a_repeated_request_is_answered_once(visit: Visit) -> None:
    request_id = str(uuid.uuid4())
    first, again = [await visit.place(requestId=request_id) for _ in range(2)]
    expect("replayed", (first["replayed"], again["replayed"]), (False, True))
    expect("the second answer", again | {"replayed": False}, first)
    path = f"/v1/orders:outcome?accountId={visit.account_id}&requestId={request_id}"
    outcome = (await visit.good("GET", path))["placed"]
    expect("the outcome", outcome["order"]["orderId"], first["order"]["orderId"])
    other = visit.order(requestId=request_id, quantity=written(visit.lot * 20_000))
    refusal = await visit.refused("POST", "/v1/orders", other)
    expect("another body", (refusal.status, refusal.reason), (400, "REQUEST_ID_REUSED"))
    await cancel_all(visit)


async def cancel_all(visit: Visit) -> None:
    await visit.good("POST", "/v1/orders:cancelAll", {"accountId": visit.account_id})


async def what_is_placed_is_read(visit: Visit) -> None:
    placed = await visit.place()
    path = f"/v1/accounts/{visit.account_id}/balances?minPosition={placed['position']}"
    balances = (await visit.good("GET", path))["balances"]
    cost = Decimal(placed["order"]["price"]) * Decimal(placed["order"]["quantity"])
    demand(f"{cost} or more is not held", holds=any(cost <= Decimal(each["held"]) < 2 * cost for each in balances))
    for each in balances:
        total = Decimal(each["available"]) + Decimal(each["held"])
        expect(f"total of {each['asset']}", Decimal(each["total"]), total)
    await cancel_all(visit)


async def decimals_are_plain(visit: Visit) -> None:
    price = visit.order()["price"]
    padded = f"{price}00" if "." in str(price) else f"{price}.00"
    order = (await visit.place(price=padded))["order"]
    expect("a padded price", order["price"], price)
    await cancel_all(visit)
    for wrong in ("1e3", "+1", "1,5", "0x10", "1" * 19, "1." + "1" * 19, "0." + "1" * 19, " 1", ".5"):
        refusal = await visit.refused("POST", "/v1/orders", visit.order(price=wrong))
        expect(f"price {wrong!r}", refusal, Refusal(400, 3, "INVALID_FIELD", "venue", ("price",)))


async def off_tick_is_rejected_not_rounded(visit: Visit) -> None:
    off = visit.tick * 250 + visit.tick / 10
    order = (await visit.place(price=written(off)))["order"]
    expect("status", order["status"], "ORDER_STATUS_REJECTED")
    demand(f"reason {order['rejectReason']}", holds="TICK" in order["rejectReason"])


async def too_much_is_rejected(visit: Visit) -> None:
    order = (await visit.place(price=written(visit.tick * 10**9)))["order"]
    expect("status", order["status"], "ORDER_STATUS_REJECTED")
    demand("no rejectReason", holds=order["rejectReason"] != "REJECT_REASON_UNSPECIFIED")


async def a_closed_order_stays_closed(visit: Visit) -> None:
    order_id = (await visit.place())["order"]["orderId"]
    cancelled = (await visit.good("DELETE", f"/v1/orders/{order_id}"))["order"]
    expect("status", cancelled["status"], "ORDER_STATUS_CANCELLED")
    again = await visit.refused("DELETE", f"/v1/orders/{order_id}")
    expect("a second cancel", (again.status, again.code, again.reason), (400, 9, "ORDER_CLOSED"))


async def what_is_not_yours_is_not_there(visit: Visit) -> None:
    refusal = await visit.refused("GET", f"/v1/orders/{UNKNOWN}")
    expect("an unknown order", (refusal.status, refusal.code, refusal.reason), (404, 5, "ORDER_NOT_FOUND"))
    refusal = await visit.refused("GET", "/v1/markets/NO-SUCH")
    expect("an unknown market", (refusal.status, refusal.code, refusal.reason), (404, 5, "MARKET_NOT_FOUND"))


async def pages_hold_everything_once(visit: Visit) -> None:
    placed = [(await visit.place())["order"]["orderId"] for _ in range(3)]
    path = f"/v1/orders?accountId={visit.account_id}&status=ORDER_STATUS_OPEN&pageSize=2"
    first = await visit.good("GET", path)
    second = await visit.good("GET", f"{path}&pageToken={first['nextPageToken']}")
    listed = [order["orderId"] for page in (first, second) for order in page["orders"]]
    expect("both pages", sorted(listed), sorted(placed))
    refusal = await visit.refused("GET", f"{path}&pageToken=nonsense")
    expect("a token of no page", (refusal.status, refusal.reason), (400, "PAGE_TOKEN_INVALID"))
    await cancel_all(visit)
