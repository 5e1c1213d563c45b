"""A withdrawal is asked for: whether it may be at all is decided here, and whether people have to look at it.

The order of checks: the account, the beneficiary, the asset and amount, what is owed, limits of the level. What stands against it
afterwards, from available funds to risk, ends in the withdrawal itself as REJECTED.
"""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from hashlib import sha256
from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db import alerts, audit, kyc, reversals, withdrawals
from db.audit import Action, Entry
from db.crash_points import passing
from db.models.withdrawals import BeneficiaryRow, WithdrawalRow
from db.sealing import Sealer
from db.transactions import transaction
from db.withdrawals import NewWithdrawal
from servers.domain.alerts import Alert, AlertKind
from servers.domain.errors import RequestIdReused
from servers.domain.identifiers import account_environment
from servers.domain.letters import Template
from servers.domain.money import ATTO, parse, rescale
from servers.domain.terms import Environment
from servers.domain.transfer_errors import AmountInvalid, AssetUnknown
from servers.engine.client import Engine, Engines
from servers.funding.beneficiaries import opened
from servers.funding.errors import (
    BeneficiaryCooling,
    BeneficiaryNotFound,
    FundsOwed,
    ProviderUnavailable,
    WithdrawalLimit,
)
from servers.funding.letters import Letters
from servers.funding.messages import text
from servers.funding.monitor_deposits import large_move
from servers.funding.payouts import PayoutProvider
from servers.funding.screening import REVIEWED, Screener, Subject, normal
from servers.funding.submit_kyc import opened as opened_kyc
from servers.transport.auditing import actor_of
from servers.transport.call import Call
from venue.engine.v1 import engine_pb2
from venue.funding.v1 import withdrawal_pb2 as pb

DIGITS: Final = 2
# What monitoring adds to a score.
ANOTHER_HOLDER: Final = 60
STRAIGHT_THROUGH: Final = 50
JUST_BELOW: Final = 70
# Withdrawals of a day that lie so near below the amount that people look at, in percent of it.
NEAR_PERCENT: Final = 80
NEAR_COUNT: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What may go out, in units of 1e-18 US dollars: by level within a day and within 30; from how much on people look at it, and
    from how much on they are told of it.

    `rates` say what a unit of each asset counts as, and so which assets go out.
    """

    limits: Mapping[int, tuple[int, int]]
    review: int
    large: int
    rates: Mapping[str, int]

    def value(self, asset: str, amount: int) -> int:
        """Raises AssetUnknown, AmountInvalid."""
        rate = self.rates.get(asset)
        if rate is None:
            raise AssetUnknown(asset)
        if rescale(amount, DIGITS) is None:
            raise AmountInvalid
        return -(-amount * rate // ATTO)


class Requesting:
    """Takes withdrawals."""

    def __init__(
        self,
        engine: AsyncEngine,
        engines: Engines[Engine],
        providers: Mapping[str, PayoutProvider],
        policy: Policy,
        screener: Screener,
        sealer: Sealer,
        letters: Letters,
    ) -> None:
        self._engine = engine
        self._engines = engines
        self._providers = providers
        self._policy = policy
        self._screener = screener
        self._sealer = sealer
        self._letters = letters

    async def create(self, request: pb.CreateWithdrawalRequest, call: Call) -> tuple[WithdrawalRow, bool]:
        """The withdrawal, and whether an earlier call had asked for it.

        Raises AccountNotFound, ProviderUnavailable, BeneficiaryNotFound, BeneficiaryCooling, AssetUnknown, AmountInvalid,
        FundsOwed, WithdrawalLimit, RequestIdReused.
        """
        request_id, mark = request.request_id.lower(), fingerprint(request)
        async with transaction(self._engine) as session:
            earlier = await withdrawals.find_request(session, call.user_id, request_id)
        if earlier is not None:
            return repeated(earlier, mark, request.request_id), True
        engine = self._engines.for_account(request.account_id)
        query = engine_pb2.AccountsQuery(user_id=call.user_id, account_id=request.account_id)
        await engine.query(engine_pb2.QueryRequest(accounts=query))
        name = pb.PayoutProvider.Name(request.provider).removeprefix("PAYOUT_PROVIDER_")
        if name not in self._providers:
            raise ProviderUnavailable(name, "it is not set up")
        if account_environment(request.account_id) != Environment.LIVE:
            raise ProviderUnavailable(name, "it is for accounts of LIVE")
        beneficiary = await self._beneficiary(request.beneficiary_id, call.user_id)
        refused = self._providers[name].refuses(request.asset, self._details(beneficiary)["country"])
        if refused:
            raise ProviderUnavailable(name, refused)
        amount = parse(request.amount)
        value = self._policy.value(request.asset, amount)
        score, findings = await self._look_at_holder(beneficiary, call.user_id)
        new = NewWithdrawal(
            withdrawal_id=f"wdr-{uuid.uuid4()}",
            user_id=call.user_id,
            account_id=request.account_id,
            asset=request.asset,
            amount=amount,
            value=value,
            beneficiary_id=beneficiary.beneficiary_id,
            provider=name,
            risk_score=score,
            findings=findings,
            needs_approval=True,
            transfer_id=f"{engine.partition}-{uuid.uuid4().hex}",
            request_id=request_id,
            fingerprint=mark,
        )
        row, is_new = await self._write(new, request, call)
        passing("withdrawal-written")
        return row, not is_new

    async def _beneficiary(self, beneficiary_id: str, user_id: str) -> BeneficiaryRow:
        found = await withdrawals.find_beneficiary(self._engine, beneficiary_id.replace("\0", "?"))
        if found is None or found[0].user_id != user_id or found[0].remove_time is not None:
            raise BeneficiaryNotFound(beneficiary_id)
        if not found[1]:
            raise BeneficiaryCooling(beneficiary_id, found[0].active_time.isoformat())
        return found[0]

    async def _write(
        self, new: NewWithdrawal, request: pb.CreateWithdrawalRequest, call: Call
    ) -> tuple[WithdrawalRow, bool]:
        """Count and write in one transaction, one withdrawal of a user at a time."""
        async with transaction(self._engine) as session, session.begin():
            await withdrawals.alone(session, new.user_id)
            earlier = await withdrawals.find_request(session, new.user_id, new.request_id)
            if earlier is not None:
                return repeated(earlier, new.fingerprint, request.request_id), False
            if await reversals.owes(session, new.user_id):
                raise FundsOwed
            level = await kyc.level_within(session, new.user_id)
            used = await withdrawals.used(session, new.user_id)
            for window, limit, so_far in zip(("24h", "30d"), self._policy.limits.get(level, (0, 0)), used, strict=True):
                if so_far + new.value > limit:
                    raise WithdrawalLimit(window, text(limit), text(so_far))
            row = await withdrawals.add(session, await self._watched(session, new))
            entry = Entry(
                actor=actor_of(call),
                action=Action.WITHDRAWAL_CREATE,
                object=f"withdrawal/{row.withdrawal_id}",
                after={"asset": row.asset, "amount": text(row.amount), "risk_score": row.risk_score},
            )
            await audit.append(session, entry)
            await self._letters.of_withdrawal(session, row, Template.WITHDRAWAL_REQUESTED)
            about = f"withdrawal/{row.withdrawal_id}"
            if row.risk_score >= REVIEWED:
                details = {"score": row.risk_score, "findings": row.findings}
                what = "a withdrawal looks odd"
                await alerts.put(session, Alert(AlertKind.WITHDRAWAL_FLAGGED, about, what, row.user_id, details))
            if row.value >= self._policy.large:
                await alerts.put(session, large_move(about, row.user_id, row.asset, row.amount))
            return row, True

    def _details(self, beneficiary: BeneficiaryRow) -> Mapping[str, str]:
        found: Mapping[str, str] = json.loads(opened(self._sealer, beneficiary))
        return found

    async def _look_at_holder(self, beneficiary: BeneficiaryRow, user_id: str) -> tuple[int, list[str]]:
        """The score of who is paid, and what it is made of."""
        details = self._details(beneficiary)
        holder = Subject(name=details["holder_name"], country=details["country"])
        found = await self._screener.screen(holder, today())
        known = await kyc.approved(self._engine, user_id)
        if known is None or normal(opened_kyc(self._sealer, known).full_name) == normal(details["holder_name"]):
            return found.score, list(found.findings)
        another = "the holder has another name than the user"
        return max(found.score, ANOTHER_HOLDER), [*found.findings, another]

    async def _watched(self, session: AsyncSession, new: NewWithdrawal) -> NewWithdrawal:
        """With what its user did within a day, to which nobody adds meanwhile; and whether people have to look at it."""
        review = self._policy.review
        deposits, went = await withdrawals.lately(session, new.user_id)
        came = sum(amount * self._policy.rates.get(asset, 0) // ATTO for asset, amount in deposits)
        goes = sum(went) + new.value
        near = [each for each in (*went, new.value) if NEAR_PERCENT * review <= each * 100 < 100 * review]
        found = []
        if came and goes >= review // 5 and goes * 100 >= came * NEAR_PERCENT:
            found.append((STRAIGHT_THROUGH, "what came in within a day goes out again"))
        if await alerts.is_open(session, new.user_id, AlertKind.DEPOSIT_FLAGGED):
            found.append((REVIEWED, "people look at a deposit of the user"))
        if len(near) >= NEAR_COUNT:
            found.append((JUST_BELOW, "several just below what people look at"))
        score = max([new.risk_score, *(score for score, _ in found)])
        return replace(
            new,
            risk_score=score,
            findings=[*new.findings, *(finding for _, finding in found)],
            needs_approval=new.value >= review or score >= REVIEWED,
        )


def today() -> date:
    return datetime.now(UTC).date()


def repeated(row: WithdrawalRow, mark: bytes, request_id: str) -> WithdrawalRow:
    """Raises RequestIdReused."""
    if row.fingerprint != mark:
        raise RequestIdReused(request_id)
    return row


def fingerprint(request: pb.CreateWithdrawalRequest) -> bytes:
    """Tells one body of a request from another under the same request_id."""
    plain = pb.CreateWithdrawalRequest()
    plain.CopyFrom(request)
    plain.ClearField("request_id")
    return sha256(plain.SerializeToString(deterministic=True)).digest()
