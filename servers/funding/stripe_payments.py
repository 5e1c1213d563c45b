"""Card payments at Stripe's checkout page, through its own library.

The library is loaded when it is first needed: it takes longer to load than the rest of the process. Calls have a deadline as a
whole, the library repeats them once with the same idempotency key, and a breaker keeps away from a company that fails.
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import structlog

from db.deposits import EXPIRED, PAID, PENDING, PROCESSING
from db.models.deposits import DepositRow
from servers.domain.errors import PartUnavailable
from servers.domain.money import ATTO
from servers.domain.terms import Environment
from servers.funding.errors import EventMalformed, SignatureInvalid
from servers.funding.provider import Begun, RefusedByProvider
from servers.transport.breaker import OPENS_AFTER, Breaker

# Below the gateway's patience, so that the caller hears of it.
CALL_S: Final = 4.0
TRY_S: Final = 1.8
TOLERANCE_S: Final = 300
# Stripe's pages live for a day at most.
PAGE_LIFE: Final = timedelta(hours=23)
DEPOSIT: Final = "deposit_id"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Credentials:
    """How Stripe knows us, and how we know its events: any of several secrets, while one is replaced. `url` is for simulators."""

    api_key: str = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)
    url: str | None = None


class Stripe:
    """A provider. `credentials` is asked once, when the first payment comes; `home` is where the payer comes back to."""

    name: Final = "STRIPE"
    environment: Final = Environment.LIVE
    scales: Mapping[str, int] = {"USD": 2, "EUR": 2}
    life: Final = PAGE_LIFE + timedelta(hours=1)

    def __init__(self, credentials: Callable[[], Awaitable[Credentials]], home: str, *, call_s: float = CALL_S) -> None:
        self._credentials = credentials
        self._home = home
        self._call_s = call_s
        self._breaker = Breaker(random.Random())  # noqa: S311  when to try again
        self._opening = asyncio.Lock()
        self._opened: tuple[Any, Any, Credentials] | None = None
        self._http: Any = None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close_async()

    async def begin(self, deposit: DepositRow) -> Begun:
        expires = int((deposit.create_time + PAGE_LIFE).timestamp())
        marks = {DEPOSIT: deposit.deposit_id}
        wish = {
            "mode": "payment",
            "client_reference_id": deposit.deposit_id,
            "metadata": marks,
            # Copied to the payment and its charge: whatever is told of those names the deposit too.
            "payment_intent_data": {"metadata": marks},
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": deposit.asset.lower(),
                        "unit_amount": minor_units(deposit.amount),
                        "product_data": {"name": f"Deposit {deposit.deposit_id}"},
                    },
                }
            ],
            "success_url": f"{self._home}/?deposit={deposit.deposit_id}",
            "cancel_url": f"{self._home}/?deposit={deposit.deposit_id}",
            "expires_at": expires,
        }
        options = {"idempotency_key": deposit.deposit_id}
        made = await self._call(lambda client: client.v1.checkout.sessions.create_async(wish, options))
        return Begun(PENDING, made["id"], made["url"], datetime.fromtimestamp(expires, UTC))

    async def look(self, deposit: DepositRow) -> str:
        if not deposit.session_id:
            return EXPIRED
        found = await self._call(lambda client: client.v1.checkout.sessions.retrieve_async(deposit.session_id))
        if found["payment_status"] in {"paid", "no_payment_required"}:
            return PAID
        return {"open": PENDING, "expired": EXPIRED}.get(found["status"], PROCESSING)

    async def deposit_of(self, payment_id: str) -> str:
        """The deposit that a payment names, empty where it is none of ours. Raises PartUnavailable, RefusedByProvider."""
        found = await self._call(lambda client: client.v1.payment_intents.retrieve_async(payment_id))
        return str((found.get("metadata") or {}).get(DEPOSIT, ""))

    async def read_event(self, body: bytes, signature: str) -> Mapping[str, Any]:
        """An event, once its signature over these bytes is proved. Raises SignatureInvalid, EventMalformed."""
        stripe, client, credentials = await self._open()
        for secret in credentials.webhook_secrets:
            try:
                client.construct_event(body, signature, secret, TOLERANCE_S)
                event = json.loads(body)
            except stripe.SignatureVerificationError:
                continue
            except UnicodeDecodeError:
                break
            except (ValueError, KeyError, TypeError, AttributeError):
                raise EventMalformed("is not JSON of an event") from None
            if not isinstance(event, dict) or not isinstance(event.get("data"), dict):
                raise EventMalformed("has no data")
            return event
        raise SignatureInvalid

    async def _open(self) -> tuple[Any, Any, Credentials]:
        async with self._opening:
            if self._opened is None:
                credentials = await self._credentials()
                stripe = await asyncio.to_thread(_load)
                self._http = stripe.HTTPXClient(timeout=TRY_S)
                client = stripe.StripeClient(
                    credentials.api_key,
                    base_addresses={"api": credentials.url} if credentials.url else {},
                    http_client=self._http,
                    max_network_retries=1,
                )
                self._opened = (stripe, client, credentials)
            return self._opened

    async def _call(self, ask: Callable[[Any], Awaitable[Any]]) -> Mapping[str, Any]:
        """What Stripe answers, as a plain mapping. Raises PartUnavailable, RefusedByProvider."""
        stripe, client, _ = await self._open()
        breaker = self._breaker
        if breaker.failures >= OPENS_AFTER and breaker.wait_s(time.monotonic()) > 0:
            raise PartUnavailable("the payment company")
        try:
            async with asyncio.timeout(self._call_s):
                answer = await ask(client)
        except (stripe.InvalidRequestError, stripe.CardError) as error:
            breaker.failures = 0
            log.error("stripe refuses", cause=str(error)[:200])
            raise RefusedByProvider from None
        except (stripe.StripeError, TimeoutError) as error:
            breaker.failed(time.monotonic())
            log.warning("stripe does not answer", cause=type(error).__name__)
            raise PartUnavailable("the payment company") from None
        breaker.failures = 0
        plain: Mapping[str, Any] = answer.to_dict()
        return plain


def _load() -> Any:  # noqa: ANN401  the library
    import stripe

    return stripe


def minor_units(amount: int) -> int:
    """Cents of units of 1e-18."""
    return amount * 100 // ATTO


def from_minor_units(cents: int) -> int:
    """Units of 1e-18 of cents."""
    return cents * ATTO // 100
