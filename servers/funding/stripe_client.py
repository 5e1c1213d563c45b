"""Stripe's own library, as funding uses it.

It is loaded when it is first needed: it takes longer to load than the rest of the process. Calls have a deadline as a whole, the
library repeats them once with the same idempotency key, and a breaker keeps away from a company that fails.
"""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from servers.domain.errors import PartUnavailable
from servers.funding.errors import EventMalformed, SignatureInvalid
from servers.funding.provider import RefusedByProvider
from servers.transport.breaker import OPENS_AFTER, Breaker

# Below the gateway's patience, so that the caller hears of it.
CALL_S: Final = 4.0
TRY_S: Final = 1.8
TOLERANCE_S: Final = 300

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Credentials:
    """How Stripe knows us, and how we know its events: any of several secrets, while one is replaced. `url` is for simulators.

    `financial_account` is what payouts are made from; empty where none are.
    """

    api_key: str = field(repr=False)
    webhook_secrets: tuple[str, ...] = field(repr=False)
    url: str | None = None
    financial_account: str = ""


class StripeClient:
    """Calls Stripe, and reads its events. `credentials` is asked once, when the first call is made."""

    def __init__(self, credentials: Callable[[], Awaitable[Credentials]], *, call_s: float = CALL_S) -> None:
        self._credentials = credentials
        self._call_s = call_s
        self._breaker = Breaker(random.Random())  # noqa: S311  when to try again
        self._opening = asyncio.Lock()
        self._opened: tuple[Any, Any, Credentials] | None = None
        self._http: Any = None

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close_async()

    async def financial_account(self) -> str:
        """What payouts are made from."""
        return (await self._open())[2].financial_account

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

    async def call(self, ask: Callable[[Any], Awaitable[Any]]) -> Mapping[str, Any]:
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
            raise RefusedByProvider(str(error.code or "")) from None
        except (stripe.StripeError, TimeoutError) as error:
            breaker.failed(time.monotonic())
            log.warning("stripe does not answer", cause=type(error).__name__)
            raise PartUnavailable("the payment company") from None
        breaker.failures = 0
        plain: Mapping[str, Any] = answer.to_dict()
        return plain

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


def _load() -> Any:  # noqa: ANN401  the library
    import stripe

    return stripe
