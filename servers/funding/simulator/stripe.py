"""Stripe as far as funding needs it: checkout, payments, refunds, disputes, payouts over its HTTP, and events that it signs.

Shapes follow Stripe's public API reference. Events are sent once, and again with growing pauses until they are taken; whoever
breaks things may also hand one out instead (`post=False`) and send it as it pleases.
"""

import asyncio
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from html import escape
from ssl import SSLContext
from typing import Any, Final

import httpx
import structlog
from aiohttp import web

from servers.funding.simulator.outbound import OutboundPayments

RETRIES_S: Final = (0.2, 1.0, 5.0, 25.0, 125.0)
PAGE: Final = """<!doctype html><meta charset="utf-8"><title>Simulated checkout</title>
<h1>Simulated checkout</h1><p>{amount} {currency} for {name}. No money moves.</p>
<form method="post"><button name="what" value="pay">Pay</button> <button name="what" value="fail">Let it fail</button></form>"""

log = structlog.get_logger()
Json = dict[str, Any]


@dataclass(slots=True)
class Fault:
    """How it behaves instead of well: statuses that the next calls get, and how long it takes to answer."""

    statuses: list[int] = field(default_factory=list)
    wait_s: float = 0.0


class StripeSimulator:
    """Listens on a port of the kernel's, and tells `webhook_url` what happens."""

    def __init__(
        self, webhook_url: str, *, trust: SSLContext | None = None, payout_s: float | None = None, port: int = 0
    ) -> None:
        """`payout_s`: how long after it is asked a payout is paid; None: whoever breaks things says when."""
        self.api_key = f"sk_test_{secrets.token_hex(12)}"
        self.webhook_secret = f"whsec_{secrets.token_hex(16)}"
        self.webhook_url = webhook_url
        self.fault = Fault()
        self.calls = 0
        self.sessions: dict[str, Json] = {}
        self.charges: dict[str, Json] = {}
        self.port = port
        self.payouts = OutboundPayments(lambda kind, about: self.post(event(kind, about)), payout_s)
        self._by_key: dict[str, str] = {}
        self._runner: web.AppRunner | None = None
        self._client = httpx.AsyncClient(timeout=10, trust_env=False, verify=trust or True)
        self._sending: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        application = web.Application()
        application.add_routes(
            [
                web.post("/v1/checkout/sessions", self._create),
                web.get("/v1/checkout/sessions/{id}", self._retrieve),
                web.get("/v1/payment_intents/{id}", self._payment),
                web.get("/pay/{id}", self._page),
                web.post("/pay/{id}", self._pressed),
                *self.payouts.routes(self._checked),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        await self.payouts.stop()
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        await self._client.aclose()
        if self._runner is not None:
            await self._runner.cleanup()

    # What happens to payments.

    def complete(self, session_id: str, *, paid: bool = True, cents: int | None = None) -> Json:
        """Somebody pays; unless `paid` in a way that takes days. The event."""
        session = self.sessions[session_id]
        session["status"] = "complete"
        session["payment_status"] = "paid" if paid else "unpaid"
        if cents is not None:
            session["amount_total"] = cents
        if paid:
            self._charge(session)
        return event("checkout.session.completed", session)

    def settle(self, session_id: str, *, succeeds: bool) -> Json:
        """What was on its way arrives, or does not."""
        session = self.sessions[session_id]
        if succeeds:
            session["payment_status"] = "paid"
            self._charge(session)
        return event(f"checkout.session.async_payment_{'succeeded' if succeeds else 'failed'}", session)

    def expire(self, session_id: str) -> Json:
        self.sessions[session_id]["status"] = "expired"
        return event("checkout.session.expired", self.sessions[session_id])

    def refund(self, session_id: str, cents: int) -> Json:
        """Give back so much more."""
        charge = self.charges[self.sessions[session_id]["payment_intent"]]
        charge["amount_refunded"] += cents
        charge["refunded"] = charge["amount_refunded"] == charge["amount"]
        return event("charge.refunded", charge)

    def fail_refund(self, session_id: str, cents: int) -> Json:
        """What was given back comes back: the payer's bank did not take it."""
        charge = self.charges[self.sessions[session_id]["payment_intent"]]
        charge["amount_refunded"] -= cents
        refund = {
            "id": f"re_{secrets.token_hex(12)}",
            "object": "refund",
            "amount": cents,
            "charge": charge["id"],
            "currency": charge["currency"],
            "failure_reason": "lost_or_stolen_card",
            "metadata": {},
            "payment_intent": charge["payment_intent"],
            "status": "failed",
        }
        return event("refund.failed", refund)

    def dispute(self, session_id: str, cents: int, *, status: str = "needs_response", dispute_id: str = "") -> Json:
        """Somebody says that he never paid, or that is decided: `won`, `lost`."""
        charge = self.charges[self.sessions[session_id]["payment_intent"]]
        dispute = {
            "id": dispute_id or f"dp_{secrets.token_hex(8)}",
            "object": "dispute",
            "amount": cents,
            "currency": charge["currency"],
            "charge": charge["id"],
            "payment_intent": charge["payment_intent"],
            "metadata": {},
            "reason": "fraudulent",
            "status": status,
        }
        return event(f"charge.dispute.{'closed' if status in {'won', 'lost'} else 'created'}", dispute)

    def payout(self, payment_id: str, status: str, code: str = "") -> Json:
        """A payout ends. The event."""
        return event(f"treasury.outbound_payment.{status}", self.payouts.settle(payment_id, status, code))

    def signed(self, told: Json, *, at: float | None = None, by: str = "") -> tuple[bytes, str]:
        """The body of an event and its `stripe-signature`."""
        body = json.dumps(told, separators=(",", ":"))
        stamp = int(time.time() if at is None else at)
        mac = hmac.new((by or self.webhook_secret).encode(), f"{stamp}.{body}".encode(), sha256).hexdigest()
        return body.encode(), f"t={stamp},v1={mac}"

    def post(self, told: Json) -> None:
        """Send an event beside everything else, until it is taken."""
        task = asyncio.create_task(self._deliver(told))
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _deliver(self, told: Json) -> None:
        for pause_s in (*RETRIES_S, None):
            body, signature = self.signed(told)
            headers = {"stripe-signature": signature, "content-type": "application/json; charset=utf-8"}
            try:
                answer = await self._client.post(self.webhook_url, content=body, headers=headers)
                if answer.status_code == 200:
                    return
                cause = f"HTTP {answer.status_code}"
            except httpx.HTTPError as error:
                cause = type(error).__name__
            log.warning("event not taken", type=told["type"], cause=cause)
            if pause_s is not None:
                await asyncio.sleep(pause_s)

    def _charge(self, session: Json) -> None:
        session["payment_intent"] = payment_id = f"pi_{session['id'].removeprefix('cs_test_')}"
        self.charges[payment_id] = {
            "id": f"ch_{secrets.token_hex(12)}",
            "object": "charge",
            "amount": session["amount_total"],
            "amount_refunded": 0,
            "currency": session["currency"],
            "metadata": session["metadata"],
            "paid": True,
            "payment_intent": payment_id,
            "refunded": False,
            "status": "succeeded",
        }

    # What the company is asked.

    async def _checked(self, request: web.Request) -> web.Response | None:
        self.calls += 1
        if self.fault.wait_s:
            await asyncio.sleep(self.fault.wait_s)
        if self.fault.statuses:
            status = self.fault.statuses.pop(0)
            return refusal(status, "invalid_request_error" if status == 400 else "api_error", "as it was told to")
        if request.headers.get("authorization") != f"Bearer {self.api_key}":
            return refusal(401, "invalid_request_error", "Invalid API Key provided")
        return None

    async def _create(self, request: web.Request) -> web.Response:
        if (refused := await self._checked(request)) is not None:
            return refused
        asked = await request.post()
        key = request.headers.get("idempotency-key", "")
        if key in self._by_key:
            return web.json_response(self.sessions[self._by_key[key]])
        price = "line_items[0][price_data]"
        session = {
            "id": f"cs_test_{secrets.token_hex(16)}",
            "object": "checkout.session",
            "amount_total": int(str(asked[f"{price}[unit_amount]"])),
            "client_reference_id": str(asked["client_reference_id"]),
            "currency": str(asked[f"{price}[currency]"]),
            "expires_at": int(str(asked["expires_at"])),
            "metadata": metadata_of({name: str(value) for name, value in asked.items()}),
            "mode": str(asked["mode"]),
            "payment_intent": None,
            "payment_status": "unpaid",
            "status": "open",
            "success_url": str(asked["success_url"]),
        }
        session["url"] = f"{self.url}/pay/{session['id']}"
        self.sessions[str(session["id"])] = session
        self._by_key[key] = str(session["id"])
        return web.json_response(session)

    async def _retrieve(self, request: web.Request) -> web.Response:
        if (refused := await self._checked(request)) is not None:
            return refused
        session = self.sessions.get(request.match_info["id"])
        return web.json_response(session) if session else missing("checkout.session")

    async def _payment(self, request: web.Request) -> web.Response:
        if (refused := await self._checked(request)) is not None:
            return refused
        charge = self.charges.get(request.match_info["id"])
        if charge is None:
            return missing("payment_intent")
        payment = {"id": charge["payment_intent"], "object": "payment_intent", "metadata": charge["metadata"]}
        return web.json_response(payment | {"amount": charge["amount"], "status": "succeeded"})

    # What the payer sees.

    async def _page(self, request: web.Request) -> web.Response:
        session = self.sessions.get(request.match_info["id"])
        if session is None or session["status"] != "open":
            return web.Response(status=404, text="This page is closed.")
        amount = f"{session['amount_total'] / 100:.2f}"
        values = {"amount": amount, "currency": session["currency"].upper(), "name": session["client_reference_id"]}
        text = PAGE.format(**{name: escape(value) for name, value in values.items()})
        return web.Response(text=text, content_type="text/html")

    async def _pressed(self, request: web.Request) -> web.Response:
        session = self.sessions.get(request.match_info["id"])
        if session is None or session["status"] != "open":
            return web.Response(status=404, text="This page is closed.")
        if (await request.post()).get("what") == "fail":
            self.post(self.complete(session["id"], paid=False))
            self.post(self.settle(session["id"], succeeds=False))
        else:
            self.post(self.complete(session["id"]))
        raise web.HTTPSeeOther(session["success_url"])


def event(kind: str, about: Mapping[str, Any]) -> Json:
    """An event as it is sent; it keeps how things were when it was made."""
    return {
        "id": f"evt_{secrets.token_hex(12)}",
        "object": "event",
        "api_version": "2026-01-28",
        "created": int(time.time()),
        "data": {"object": json.loads(json.dumps(about))},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": kind,
    }


def metadata_of(asked: Mapping[str, str]) -> dict[str, str]:
    start = "payment_intent_data[metadata]["
    return {name.removeprefix(start)[:-1]: value for name, value in asked.items() if name.startswith(start)}


def refusal(status: int, kind: str, message: str) -> web.Response:
    return web.json_response({"error": {"type": kind, "message": message}}, status=status)


def missing(what: str) -> web.Response:
    error = {"type": "invalid_request_error", "code": "resource_missing", "message": f"No such {what}"}
    return web.json_response({"error": error}, status=404)
