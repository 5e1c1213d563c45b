"""Withdrawals in PostgreSQL, and whom they go to. All raise PartUnavailable where the database is away."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select, text, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.models.deposits import DepositRow
from db.models.users import UserRow
from db.models.withdrawals import BeneficiaryRow, WithdrawalRow
from db.transactions import NOW, transaction

PREPARED: Final = "PREPARED"
ACCEPTED: Final = "ACCEPTED"
PROCESSING: Final = "PROCESSING"
SUCCEEDED: Final = "SUCCEEDED"
REJECTED: Final = "REJECTED"
FAILED: Final = "FAILED"
CANCELLED: Final = "CANCELLED"
UNDONE: Final = (PREPARED, ACCEPTED, PROCESSING)
# What has not gone out, and will not.
STAYED: Final = (REJECTED, FAILED, CANCELLED)
DAY: Final = timedelta(days=1)
MONTH: Final = timedelta(days=30)
_ALONE: Final = text("SELECT pg_advisory_xact_lock(hashtextextended('withdrawals/' || :user_id, 0))")
# What something can be done on: not what waits for people.
_DUE: Final = (
    WithdrawalRow.state.in_(UNDONE),
    WithdrawalRow.next_time <= NOW,
    (WithdrawalRow.state != ACCEPTED)
    | ~WithdrawalRow.needs_approval
    | WithdrawalRow.approved
    | (WithdrawalRow.outcome != ""),
)

Place = tuple[datetime, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBeneficiary:
    """Whom a user adds; `details` is sealed."""

    beneficiary_id: str
    user_id: str
    label: str
    number_end: str
    details: bytes
    request_id: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWithdrawal:
    """What a user asks for; `amount` and `value` in units of 1e-18."""

    withdrawal_id: str
    user_id: str
    account_id: str
    asset: str
    amount: int
    value: int
    beneficiary_id: str
    provider: str
    risk_score: int
    findings: list[str]
    needs_approval: bool
    transfer_id: str
    request_id: str
    fingerprint: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class WithdrawalSearch:
    """What to look for; empty fields do not narrow it."""

    user_id: str = ""
    account_id: str = ""
    state: str = ""


async def add_beneficiary(
    session: AsyncSession, new: NewBeneficiary, cooling: timedelta
) -> tuple[BeneficiaryRow, bool]:
    """Add one, unless its user did so under the same request_id. Returns it, and whether it is new."""
    put = insert(BeneficiaryRow).values(**asdict(new), active_time=NOW + cooling)
    once = put.on_conflict_do_nothing(
        index_elements=["user_id", "request_id"], index_where=BeneficiaryRow.request_id != ""
    )
    row = await session.scalar(once.returning(BeneficiaryRow))
    if row is not None:
        return row, True
    same = (BeneficiaryRow.user_id == new.user_id) & (BeneficiaryRow.request_id == new.request_id)
    return (await session.scalars(select(BeneficiaryRow).where(same))).one(), False


async def find_beneficiary(engine: AsyncEngine, beneficiary_id: str) -> tuple[BeneficiaryRow, bool] | None:
    """One, removed or not, and whether it can be withdrawn to by now."""
    query = select(BeneficiaryRow, BeneficiaryRow.active_time <= NOW)
    async with transaction(engine) as session:
        row = (await session.execute(query.where(BeneficiaryRow.beneficiary_id == beneficiary_id))).one_or_none()
        return None if row is None else (row[0], row[1])


async def list_beneficiaries(
    engine: AsyncEngine, user_id: str, *, before: Place | None, limit: int
) -> Sequence[BeneficiaryRow]:
    """A user's, the last added first."""
    place = (BeneficiaryRow.create_time, BeneficiaryRow.beneficiary_id)
    query = select(BeneficiaryRow).where(BeneficiaryRow.user_id == user_id, BeneficiaryRow.remove_time.is_(None))
    if before is not None:
        query = query.where(tuple_(*place) < before)
    async with transaction(engine) as session:
        return (await session.scalars(query.order_by(*(column.desc() for column in place)).limit(limit))).all()


async def remove_beneficiary(session: AsyncSession, user_id: str, beneficiary_id: str) -> bool:
    """False: there is none."""
    mine = (BeneficiaryRow.beneficiary_id == beneficiary_id) & (BeneficiaryRow.user_id == user_id)
    gone = update(BeneficiaryRow).where(mine, BeneficiaryRow.remove_time.is_(None)).values(remove_time=NOW)
    return await session.scalar(gone.returning(BeneficiaryRow.beneficiary_id)) is not None


async def alone(session: AsyncSession, user_id: str) -> None:
    """Until the transaction ends no other withdrawal of the user is counted or written."""
    await session.execute(_ALONE, {"user_id": user_id})


async def find_request(session: AsyncSession, user_id: str, request_id: str) -> WithdrawalRow | None:
    same = (WithdrawalRow.user_id == user_id) & (WithdrawalRow.request_id == request_id)
    return await session.scalar(select(WithdrawalRow).where(same, WithdrawalRow.request_id != ""))


async def used(session: AsyncSession, user_id: str) -> tuple[int, int]:
    """What a user has withdrawn, or is about to, within 24 hours and within 30 days, in units of 1e-18 dollars."""
    counts = (WithdrawalRow.user_id == user_id) & WithdrawalRow.outcome.not_in(STAYED)
    lately = WithdrawalRow.create_time > NOW - DAY
    day = func.coalesce(func.sum(WithdrawalRow.value).filter(lately), 0)
    month = func.coalesce(func.sum(WithdrawalRow.value), 0)
    found = (await session.execute(select(day, month).where(counts, WithdrawalRow.create_time > NOW - MONTH))).one()
    return int(found[0]), int(found[1])


async def add(session: AsyncSession, new: NewWithdrawal) -> WithdrawalRow:
    return (await session.scalars(insert(WithdrawalRow).values(**asdict(new)).returning(WithdrawalRow))).one()


async def find(engine: AsyncEngine, withdrawal_id: str) -> WithdrawalRow | None:
    async with transaction(engine) as session:
        return await session.get(WithdrawalRow, withdrawal_id)


async def lock(session: AsyncSession, withdrawal_id: str) -> WithdrawalRow | None:
    """A withdrawal that nobody else changes until the transaction ends."""
    query = select(WithdrawalRow).where(WithdrawalRow.withdrawal_id == withdrawal_id).with_for_update()
    return await session.scalar(query, execution_options={"populate_existing": True})


async def claim(engine: AsyncEngine, withdrawal_id: str, pause: timedelta) -> WithdrawalRow | None:
    """A withdrawal on which something can be done now, for whoever asks first; nobody else gets it for a while."""
    mine = update(WithdrawalRow).where(WithdrawalRow.withdrawal_id == withdrawal_id, *_DUE)
    taken = mine.values(next_time=NOW + pause, attempts=WithdrawalRow.attempts + 1).returning(WithdrawalRow)
    async with transaction(engine) as session, session.begin():
        return await session.scalar(taken)


async def put_off(engine: AsyncEngine, row: WithdrawalRow, pause: timedelta) -> None:
    """A claimed step failed: it is anybody's again after a while, unless something else has happened to the withdrawal."""
    mine = update(WithdrawalRow).where(WithdrawalRow.withdrawal_id == row.withdrawal_id)
    mine = mine.where(WithdrawalRow.next_time == row.next_time)
    async with transaction(engine) as session, session.begin():
        await session.execute(mine.values(next_time=NOW + pause))


async def wait(session: AsyncSession, row: WithdrawalRow, pause: timedelta) -> None:
    """Nothing can be done on a locked withdrawal for a while."""
    mine = update(WithdrawalRow).where(WithdrawalRow.withdrawal_id == row.withdrawal_id)
    await session.execute(mine.values(next_time=NOW + pause, attempts=0))


async def change(session: AsyncSession, row: WithdrawalRow, **values: Any) -> None:  # noqa: ANN401  columns
    """Change a locked withdrawal; something can be done on it at once."""
    mine = update(WithdrawalRow).where(WithdrawalRow.withdrawal_id == row.withdrawal_id)
    await session.execute(mine.values(update_time=NOW, next_time=NOW, attempts=0, **values))
    await session.refresh(row)


async def number_end(session: AsyncSession, beneficiary_id: str) -> str:
    """The end of a beneficiary's account number."""
    query = select(BeneficiaryRow.number_end).where(BeneficiaryRow.beneficiary_id == beneficiary_id)
    return await session.scalar(query) or ""


async def is_active(session: AsyncSession, user_id: str) -> bool:
    """Whether a user may do anything."""
    return await session.scalar(select(UserRow.status).where(UserRow.user_id == user_id)) == "ACTIVE"


async def list_undone(engine: AsyncEngine, limit: int = 200) -> Sequence[str]:
    """Ids of those that may go on, those that wait longest first."""
    query = select(WithdrawalRow.withdrawal_id).where(*_DUE).order_by(WithdrawalRow.next_time).limit(limit)
    async with transaction(engine) as session:
        return (await session.scalars(query)).all()


async def search(
    engine: AsyncEngine, wanted: WithdrawalSearch, *, before: Place | None, limit: int
) -> Sequence[WithdrawalRow]:
    """The last asked for first."""
    place = (WithdrawalRow.create_time, WithdrawalRow.withdrawal_id)
    query = select(WithdrawalRow).order_by(*(column.desc() for column in place)).limit(limit)
    for name, value in asdict(wanted).items():
        if value:
            query = query.where(getattr(WithdrawalRow, name) == value)
    if before is not None:
        query = query.where(tuple_(*place) < before)
    async with transaction(engine) as session:
        return (await session.scalars(query)).all()


async def lately(session: AsyncSession, user_id: str) -> tuple[list[tuple[str, int]], list[int]]:
    """What monitoring looks at: how much of each asset came in within 24 hours, and the values of what went out meanwhile."""
    came = select(DepositRow.asset, func.sum(DepositRow.amount)).where(
        DepositRow.user_id == user_id, DepositRow.state == SUCCEEDED, DepositRow.update_time > NOW - DAY,
        DepositRow.provider != "SANDBOX",
    ).group_by(DepositRow.asset).order_by(DepositRow.asset)  # fmt: skip
    went = select(WithdrawalRow.value).where(
        WithdrawalRow.user_id == user_id, WithdrawalRow.create_time > NOW - DAY, WithdrawalRow.outcome.not_in(STAYED)
    )
    deposits = [(row[0], int(row[1])) for row in await session.execute(came)]
    return deposits, [int(value) for value in await session.scalars(went)]
