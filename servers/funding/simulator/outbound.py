"""Payouts as Stripe has them: OutboundPayments of its Treasury, made over HTTP and told of by events."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web

Json = dict[str, Any]
FINANCIAL_ACCOUNT: Final = "fa_simulated"
# Accounts whose number ends so are closed.
CLOSED: Final = "0000"
DETAILS: Final = "destination_payment_method_data[us_bank_account]"


class OutboundPayments:
    """What was paid out, by id. `settle_s`: it is paid, or fails, by itself after that; None: whoever breaks things says so."""

    def __init__(self, tell: Callable[[str, Json], None], settle_s: float | None) -> None:
        self.made: dict[str, Json] = {}
        self.forgets_keys = False
        self._by_key: dict[str, str] = {}
        self._tell = tell
        self._settle_s = settle_s
        self._settling: set[asyncio.Task[None]] = set()

    def routes(self, checked: Callable[[web.Request], Awaitable[web.Response | None]]) -> list[web.RouteDef]:
        """What is answered, once a call is `checked`."""

        async def create(request: web.Request) -> web.Response:
            return await checked(request) or web.json_response(await self._create(request))

        async def retrieve(request: web.Request) -> web.Response:
            refused = await checked(request)
            found = self.made.get(request.match_info["id"])
            if found is None:
                error = {"type": "invalid_request_error", "code": "resource_missing", "message": "No such payment"}
                return refused or web.json_response({"error": error}, status=404)
            return refused or web.json_response(found)

        async def listed(request: web.Request) -> web.Response:
            return await checked(request) or web.json_response(self._list(request))

        path = "/v1/treasury/outbound_payments"
        return [web.post(path, create), web.get(path, listed), web.get(path + "/{id}", retrieve)]

    async def stop(self) -> None:
        for task in self._settling:
            task.cancel()
        await asyncio.gather(*self._settling, return_exceptions=True)

    def settle(self, payment_id: str, status: str, code: str = "") -> Json:
        """It ends as `posted`, `failed`, `canceled` or `returned`. The payment as it is then."""
        payment = self.made[payment_id]
        payment["status"] = status
        payment["returned_details"] = {"code": code, "transaction": "trxn_simulated"} if status == "returned" else None
        return payment

    async def _create(self, request: web.Request) -> Json:
        asked = {name: str(value) for name, value in (await request.post()).items()}
        key = request.headers.get("idempotency-key", "")
        if key in self._by_key and not self.forgets_keys:
            return self.made[self._by_key[key]]
        payment: Json = {
            "id": f"obp_{secrets.token_hex(12)}",
            "object": "treasury.outbound_payment",
            "amount": int(asked["amount"]),
            "cancelable": True,
            "created": int(time.time()),
            "currency": asked["currency"],
            "financial_account": asked["financial_account"],
            "metadata": {"withdrawal_id": asked.get("metadata[withdrawal_id]", "")},
            "returned_details": None,
            "status": "processing",
        }
        self.made[payment["id"]] = payment
        self._by_key[key] = payment["id"]
        if self._settle_s is not None:
            is_closed = asked[f"{DETAILS}[account_number]"].endswith(CLOSED)
            task = asyncio.create_task(self._settle_later(payment["id"], self._settle_s, is_closed=is_closed))
            self._settling.add(task)
            task.add_done_callback(self._settling.discard)
        return dict(payment)

    async def _settle_later(self, payment_id: str, wait_s: float, *, is_closed: bool) -> None:
        await asyncio.sleep(wait_s)
        status = "returned" if is_closed else "posted"
        self._tell(f"treasury.outbound_payment.{status}", self.settle(payment_id, status, "account_closed"))

    def _list(self, request: web.Request) -> Json:
        """Newest first."""
        ids = list(reversed(self.made))
        after = request.query.get("starting_after")
        ids = ids[ids.index(after) + 1 :] if after else ids
        limit = int(request.query.get("limit", "10"))
        data = [self.made[each] for each in ids[:limit]]
        return {"object": "list", "data": data, "has_more": len(ids) > limit, "url": request.path}
