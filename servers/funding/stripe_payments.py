"""Card payments at Stripe's checkout page."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from db.deposits import EXPIRED, PAID, PENDING, PROCESSING
from db.models.deposits import DepositRow
from servers.domain.money import ATTO
from servers.domain.terms import Environment
from servers.funding.provider import Begun
from servers.funding.stripe_client import StripeClient

# Stripe's pages live for a day at most.
PAGE_LIFE: Final = timedelta(hours=23)
DEPOSIT: Final = "deposit_id"


class Stripe:
    """A provider. `home` is where the payer comes back to."""

    name: Final = "STRIPE"
    environment: Final = Environment.LIVE
    scales: Mapping[str, int] = {"USD": 2, "EUR": 2}
    life: Final = PAGE_LIFE + timedelta(hours=1)

    def __init__(self, client: StripeClient, home: str) -> None:
        self._client = client
        self._home = home

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
        made = await self._client.call(lambda client: client.v1.checkout.sessions.create_async(wish, options))
        return Begun(PENDING, made["id"], made["url"], datetime.fromtimestamp(expires, UTC))

    async def look(self, deposit: DepositRow) -> str:
        if not deposit.session_id:
            return EXPIRED
        found = await self._client.call(lambda client: client.v1.checkout.sessions.retrieve_async(deposit.session_id))
        if found["payment_status"] in {"paid", "no_payment_required"}:
            return PAID
        return {"open": PENDING, "expired": EXPIRED}.get(found["status"], PROCESSING)

    async def deposit_of(self, payment_id: str) -> str:
        """The deposit that a payment names, empty where it is none of ours. Raises PartUnavailable, RefusedByProvider."""
        found = await self._client.call(lambda client: client.v1.payment_intents.retrieve_async(payment_id))
        return str((found.get("metadata") or {}).get(DEPOSIT, ""))


def minor_units(amount: int) -> int:
    """Cents of units of 1e-18."""
    return amount * 100 // ATTO


def from_minor_units(cents: int) -> int:
    """Units of 1e-18 of cents."""
    return cents * ATTO // 100
