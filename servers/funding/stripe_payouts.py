"""Payouts to bank accounts in the United States from a financial account at Stripe (Treasury's OutboundPayments).

A payout is asked for under the withdrawal's id as idempotency key. Stripe forgets keys after a day, so of one that was sent off
longer ago and never answered it is asked first whether it has it. How it ended is told by events, and asked for where none comes.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from db.models.withdrawals import WithdrawalRow
from servers.funding.payouts import NOT_PAID, PAID, SENT, Payout
from servers.funding.provider import RefusedByProvider
from servers.funding.stripe_client import StripeClient
from servers.funding.stripe_payments import minor_units

WITHDRAWAL: Final = "withdrawal_id"
KEY_LIFE: Final = timedelta(hours=12)
PAGE: Final = 100
STATES: Final[Mapping[str, str]] = {
    "processing": SENT, "posted": PAID, "failed": NOT_PAID, "canceled": NOT_PAID, "returned": NOT_PAID,
}  # fmt: skip


class StripePayouts:
    """A way that money goes out."""

    look_s: Final = 60.0

    def __init__(self, client: StripeClient) -> None:
        self._client = client

    def refuses(self, asset: str, country: str) -> str:
        return "" if (asset, country) == ("USD", "US") else "it pays US dollars to banks of the United States"

    async def pay(self, withdrawal: WithdrawalRow, target: bytes) -> Payout:
        if withdrawal.payout_id:
            known_as = withdrawal.payout_id
            return payout_of(await self._client.call(lambda client: payments(client).retrieve_async(known_as)))
        if withdrawal.update_time < datetime.now(UTC) - KEY_LIFE:
            known = await self._find(withdrawal)
            if known is not None:
                return payout_of(known)
        wish = payment(withdrawal, json.loads(target), await self._client.financial_account())
        options = {"idempotency_key": withdrawal.withdrawal_id}
        try:
            made = await self._client.call(lambda client: payments(client).create_async(wish, options))
        except RefusedByProvider as error:
            return Payout(NOT_PAID, why=str(error).upper() or "REFUSED_BY_PROVIDER")
        return payout_of(made)

    async def _find(self, withdrawal: WithdrawalRow) -> Mapping[str, Any] | None:
        """The payment that was made for a withdrawal, if there is one."""
        since = int((withdrawal.create_time - timedelta(hours=1)).timestamp())
        account = await self._client.financial_account()
        asked: dict[str, Any] = {"financial_account": account, "limit": PAGE, "created": {"gte": since}}
        while True:
            page = await self._client.call(lambda client: payments(client).list_async(dict(asked)))
            for each in page["data"]:
                if withdrawal_of(each) == withdrawal.withdrawal_id:
                    found: Mapping[str, Any] = each
                    return found
            if not page["has_more"]:
                return None
            asked["starting_after"] = page["data"][-1]["id"]


def payments(client: Any) -> Any:  # noqa: ANN401  the library's
    return client.v1.treasury.outbound_payments


def payment(withdrawal: WithdrawalRow, target: Mapping[str, str], account: str) -> dict[str, Any]:
    """What Stripe is asked to pay."""
    return {
        "amount": minor_units(withdrawal.amount),
        "currency": withdrawal.asset.lower(),
        "financial_account": account,
        "metadata": {WITHDRAWAL: withdrawal.withdrawal_id},
        "destination_payment_method_data": {
            "type": "us_bank_account",
            "billing_details": {"name": target["holder_name"], "address": {"country": target["country"]}},
            "us_bank_account": {
                "account_holder_type": "individual",
                "account_number": target["account_number"],
                "routing_number": target["bank_code"],
            },
        },
    }


def payout_of(found: Mapping[str, Any]) -> Payout:
    """A payment of Stripe's as what has become of a payout. Raises KeyError where it is none."""
    state = STATES[str(found["status"])]
    why = str((found.get("returned_details") or {}).get("code") or found["status"]).upper()
    return Payout(state, str(found["id"]), why if state == NOT_PAID else "")


def withdrawal_of(found: Mapping[str, Any]) -> str:
    """The withdrawal that a payment is of; empty where it is none of ours."""
    return str((found.get("metadata") or {}).get(WITHDRAWAL) or "")
