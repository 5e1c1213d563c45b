"""What Stripe tells of payments and payouts: each event counts once, in whatever order they come.

An event changes rows in one transaction together with the note that it came; only then is it answered. What follows on the ledger
is done from the rows, now or by the sweeper.
"""

from collections.abc import Mapping
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import alerts, deposits, reversals
from db.crash_points import passing
from db.models.deposits import DepositRow
from db.reversals import DISPUTE, REFUND, RELEASE, TAKE
from db.transactions import transaction
from servers.domain.alerts import Alert, AlertKind
from servers.domain.errors import PartUnavailable
from servers.domain.letters import Template
from servers.funding.credit_deposit import Crediting
from servers.funding.errors import EventMalformed
from servers.funding.letters import Letters
from servers.funding.messages import text
from servers.funding.movements import partition_of, transfer_id_of
from servers.funding.provider import RefusedByProvider
from servers.funding.receive_payout import PAYOUTS, find_payout, take_payout
from servers.funding.settle_withdrawal import Settling
from servers.funding.stripe_client import StripeClient
from servers.funding.stripe_payments import DEPOSIT, Stripe, from_minor_units
from servers.funding.stripe_payouts import withdrawal_of

SESSIONS: Final[Mapping[str, str]] = {
    "checkout.session.completed": "",
    "checkout.session.async_payment_succeeded": deposits.PAID,
    "checkout.session.async_payment_failed": deposits.FAILED,
    "checkout.session.expired": deposits.EXPIRED,
}
REFUND_FAILED: Final = "refund.failed"
# What a user is told of a deposit that was not paid.
UNPAID: Final[Mapping[str, str]] = {
    deposits.FAILED: "the payment failed",
    deposits.EXPIRED: "it was not paid in time",
}
# What becomes of the money in dispute once it is over.
DECIDED: Final[Mapping[str, str]] = {"won": RELEASE, "warning_closed": RELEASE, "prevented": RELEASE, "lost": TAKE}
# Only asked for information: no money is in dispute.
INQUIRIES: Final = frozenset({"warning_needs_response", "warning_under_review", "warning_closed"})

log = structlog.get_logger()


class Receiving:
    """Takes events of Stripe."""

    def __init__(
        self,
        engine: AsyncEngine,
        client: StripeClient,
        stripe: Stripe,
        crediting: Crediting,
        settling: Settling,
        letters: Letters,
    ) -> None:
        self._engine = engine
        self._client = client
        self._settling = settling
        self._letters = letters
        self._stripe = stripe
        self._crediting = crediting

    async def receive(self, body: bytes, signature: str) -> bool:
        """Returns whether the event is new. Raises SignatureInvalid, EventMalformed, PartUnavailable."""
        event = await self._client.read_event(body, signature)
        kind, event_id = str(event.get("type", "")), str(event.get("id", ""))
        about = event["data"].get("object")
        if not event_id or not isinstance(about, dict):
            raise EventMalformed("has no id or no object")
        payout_of = withdrawal_of(about) if kind.startswith(PAYOUTS) else ""
        try:
            deposit_id = await self._deposit_of(kind, about)
            is_new = await self._apply(event_id, kind, payout_of or deposit_id, about)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EventMalformed(f"lacks {type(error).__name__}: {error}"[:100]) from None
        passing("payout-told" if payout_of else "deposit-paid")
        if payout_of:
            await self._settling.see_to(payout_of)
        elif deposit_id:
            try:
                await self._crediting.credit(deposit_id)
            except PartUnavailable as error:
                log.warning("credited later", deposit_id=deposit_id, cause=str(error))
        return is_new

    async def _deposit_of(self, kind: str, about: Mapping[str, Any]) -> str:
        """The deposit that an event is about, empty where it is about none of ours."""
        if kind.startswith(PAYOUTS):
            return ""
        named = str((about.get("metadata") or {}).get(DEPOSIT) or about.get("client_reference_id") or "")
        if not named and kind.startswith(("charge.dispute.", "charge.refunded", REFUND_FAILED)):
            payment_id = str(about.get("payment_intent") or "")
            row = await deposits.find_payment(self._engine, payment_id)
            if row is not None:
                return row.deposit_id
            # Told of before the payment itself: Stripe knows whose it is.
            try:
                named = await self._stripe.deposit_of(payment_id) if payment_id else ""
            except RefusedByProvider:
                named = ""
        return named if "\0" not in named else ""

    async def _apply(self, event_id: str, kind: str, subject: str, about: Mapping[str, Any]) -> bool:
        """Take note of an event, and do what it says of a deposit or a withdrawal, its subject. False: it was noted before."""
        async with transaction(self._engine) as session, session.begin():
            if kind.startswith(PAYOUTS):
                payout = await find_payout(session, subject)
                is_new = await deposits.add_event(session, Stripe.name, event_id, kind, subject if payout else "")
                if is_new and payout is not None:
                    await take_payout(session, payout, about)
                return is_new
            row = await deposits.lock(session, subject) if subject else None
            known = row is not None and row.provider == Stripe.name
            if not await deposits.add_event(session, Stripe.name, event_id, kind, subject if known else ""):
                return False
            if row is None or not known:
                log.info("an event about nothing of ours", event_id=event_id, type=kind)
            elif kind in SESSIONS:
                await self._session(session, row, kind, about)
            elif kind == "charge.refunded":
                await self._refund(session, row, about)
            elif kind.startswith("charge.dispute."):
                await self._dispute(session, row, about)
            elif kind == REFUND_FAILED:
                await self._refund_failed(session, row, about)
            return True

    async def _session(self, session: AsyncSession, row: DepositRow, kind: str, about: Mapping[str, Any]) -> None:
        state = SESSIONS[kind]
        if not state:
            state = deposits.PAID if about["payment_status"] != "unpaid" else deposits.PROCESSING
        if row.session_id not in {"", about["id"]}:
            log.error("an event of another page", deposit_id=row.deposit_id, session_id=str(about["id"]))
            return
        values: dict[str, Any] = {"session_id": str(about["id"])}
        if about.get("payment_intent"):
            values["payment_id"] = str(about["payment_intent"])
        if state == deposits.PAID:
            paid = (str(about["currency"]).upper(), from_minor_units(int(about["amount_total"])))
            if paid != (row.asset, row.amount):
                log.error("another amount was paid", deposit_id=row.deposit_id, paid=paid)
                subject, details = f"deposit/{row.deposit_id}", {"paid": text(paid[1]), "currency": paid[0]}
                what = "another amount was paid than was asked for"
                await alerts.put(session, Alert(AlertKind.AMOUNT_MISMATCH, subject, what, row.user_id, details))
                state, values["failure"] = deposits.FAILED, "AMOUNT_MISMATCH"
        elif state == deposits.FAILED:
            values["failure"] = "PAYMENT_FAILED"
        if await deposits.move(session, row, state, **values) and state in UNPAID:
            reason = UNPAID[state] if row.failure != "AMOUNT_MISMATCH" else "another amount was paid than was asked for"
            await self._letters.of_deposit(session, row, Template.DEPOSIT_FAILED, reason)

    @staticmethod
    async def _refund(session: AsyncSession, row: DepositRow, about: Mapping[str, Any]) -> None:
        """The charge says how much of it was refunded in all: an older event that comes later says less, and changes nothing."""
        total = min(from_minor_units(int(about["amount_refunded"])), row.amount)
        more = total - await reversals.refunded(session, row.deposit_id)
        if more > 0:
            reversal_id = f"{row.deposit_id}/refund/{total}"
            await _put(session, row, reversal_id, REFUND, more, TAKE)

    @staticmethod
    async def _refund_failed(session: AsyncSession, row: DepositRow, about: Mapping[str, Any]) -> None:
        """The payer's bank did not take it, and Stripe has it again: for people, who give it back by an adjustment."""
        details = {
            "amount": text(from_minor_units(int(about["amount"]))),
            "asset": row.asset,
            "refund": str(about["id"]),
        }
        log.error("a refund failed", deposit_id=row.deposit_id, refund=details["refund"])
        subject, what = f"deposit/{row.deposit_id}", "a refund did not reach the payer"
        await alerts.put(session, Alert(AlertKind.REFUND_FAILED, subject, what, row.user_id, details))

    @staticmethod
    async def _dispute(session: AsyncSession, row: DepositRow, about: Mapping[str, Any]) -> None:
        status = str(about["status"])
        if status in INQUIRIES:
            return
        amount = min(from_minor_units(int(about["amount"])), row.amount)
        await _put(session, row, f"{row.deposit_id}/{about['id']}", DISPUTE, amount, DECIDED.get(status, ""))


async def _put(session: AsyncSession, row: DepositRow, reversal_id: str, kind: str, amount: int, decision: str) -> None:
    transfer_id = transfer_id_of(partition_of(row.transfer_id), reversal_id)
    await reversals.put(session, reversal_id, row.deposit_id, kind, amount, decision, transfer_id)
