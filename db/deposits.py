"""Deposits in PostgreSQL: each step is one transaction, and changes a row only from a state that it may follow.

All raise PartUnavailable where the database is away.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.models.alerts import AlertRow
from db.models.deposits import DepositRow, ProviderEventRow, ReversalRow, SignupBonusRow
from db.transactions import NOW, transaction
from servers.domain.alerts import AlertKind

PENDING: Final = "PENDING"
PROCESSING: Final = "PROCESSING"
PAID: Final = "PAID"
SUCCEEDED: Final = "SUCCEEDED"
FAILED: Final = "FAILED"
EXPIRED: Final = "EXPIRED"
# What a payment may still come for.
WAITING: Final = (PENDING, PROCESSING)
# From what a state may be reached. Whatever was said before, money that came is credited; what was paid never ends otherwise.
FOLLOWS: Final[Mapping[str, frozenset[str]]] = {
    PROCESSING: frozenset({PENDING, EXPIRED}),
    PAID: frozenset({PENDING, PROCESSING, EXPIRED, FAILED}),
    SUCCEEDED: frozenset({PAID}),
    FAILED: frozenset({PENDING, PROCESSING}),
    EXPIRED: frozenset({PENDING}),
}
OPEN: Final = "OPEN"
HELD: Final = "HELD"
TAKEN: Final = "TAKEN"
RELEASED: Final = "RELEASED"
DAY: Final = timedelta(days=1)

# The ledger did not take it a moment ago, and people were told: it stands in the way of no other one.
_NOT_TAKEN: Final = select(AlertRow.alert_id).where(
    AlertRow.kind == AlertKind.DEPOSIT_NOT_CREDITED.value, AlertRow.subject == func.concat("deposit/", DepositRow.deposit_id),
    AlertRow.state != "CLOSED", AlertRow.update_time > NOW - timedelta(minutes=1),
)  # fmt: skip

Place = tuple[datetime, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDeposit:
    """What somebody asks for; `amount` in units of 1e-18."""

    deposit_id: str
    user_id: str
    account_id: str
    asset: str
    amount: int
    provider: str
    request_id: str
    fingerprint: bytes
    transfer_id: str
    payment_reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DepositSearch:
    """What to look for; empty fields do not narrow it."""

    user_id: str = ""
    account_id: str = ""
    state: str = ""
    provider: str = ""


async def add(engine: AsyncEngine, new: NewDeposit, life: timedelta) -> tuple[DepositRow, bool]:
    """Write a deposit down, unless its user asked for one under the same request_id. Returns it, and whether it is new."""
    values = insert(DepositRow).values(**asdict(new), expire_time=NOW + life)
    put = values.on_conflict_do_nothing(
        index_elements=["user_id", "request_id"], index_where=DepositRow.request_id != ""
    )
    async with transaction(engine) as session, session.begin():
        row = await session.scalar(put.returning(DepositRow))
        if row is not None:
            return row, True
        same = (DepositRow.user_id == new.user_id) & (DepositRow.request_id == new.request_id)
        return (await session.scalars(select(DepositRow).where(same))).one(), False


async def find(engine: AsyncEngine, deposit_id: str) -> DepositRow | None:
    async with transaction(engine) as session:
        return await session.get(DepositRow, deposit_id)


async def lock(session: AsyncSession, deposit_id: str) -> DepositRow | None:
    """A deposit that nobody else changes until the transaction ends."""
    return await session.get(DepositRow, deposit_id, with_for_update=True, populate_existing=True)


async def find_payment(engine: AsyncEngine, payment_id: str) -> DepositRow | None:
    """The deposit of a company's payment."""
    if not payment_id:
        return None
    async with transaction(engine) as session:
        return await session.scalar(select(DepositRow).where(DepositRow.payment_id == payment_id))


async def search(
    engine: AsyncEngine, wanted: DepositSearch, *, before: Place | None = None, limit: int
) -> Sequence[DepositRow]:
    """The last begun first; the next page begins `before` (create_time, id) of the last one."""
    place = (DepositRow.create_time, DepositRow.deposit_id)
    query = select(DepositRow).order_by(*(column.desc() for column in place)).limit(limit)
    for name, value in asdict(wanted).items():
        if value:
            query = query.where(getattr(DepositRow, name) == value)
    if before is not None:
        query = query.where(tuple_(*place) < before)
    async with transaction(engine) as session:
        return (await session.scalars(query)).all()


async def tell_page(engine: AsyncEngine, deposit_id: str, session_id: str, url: str, expires: datetime) -> DepositRow:
    """Where to pay, once the company has said it. Of two that asked the company answers the same."""
    values = {"session_id": session_id, "checkout_url": url, "expire_time": expires, "update_time": NOW}
    async with transaction(engine) as session, session.begin():
        mine = update(DepositRow).where(DepositRow.deposit_id == deposit_id)
        await session.execute(mine.where(DepositRow.state == PENDING, DepositRow.session_id == "").values(**values))
        return (await session.scalars(select(DepositRow).where(DepositRow.deposit_id == deposit_id))).one()


async def move(session: AsyncSession, row: DepositRow, state: str, **values: Any) -> bool:  # noqa: ANN401  columns
    """Take a locked deposit to another state, where that may follow. Returns whether it was."""
    if row.state not in FOLLOWS[state]:
        return False
    if state != FAILED:
        values = {"failure": "", **values}
    mine = update(DepositRow).where(DepositRow.deposit_id == row.deposit_id)
    await session.execute(mine.values(state=state, update_time=NOW, **values))
    await session.refresh(row)
    return True


async def move_alone(engine: AsyncEngine, deposit_id: str, state: str, **values: Any) -> DepositRow | None:  # noqa: ANN401
    """The same in a transaction of its own. Returns the deposit where it was taken there, else None."""
    async with transaction(engine) as session, session.begin():
        row = await lock(session, deposit_id)
        return row if row is not None and await move(session, row, state, **values) else None


async def add_event(session: AsyncSession, provider: str, event_id: str, kind: str, deposit_id: str) -> bool:
    """Take note of a company's event, as part of what it causes. False: it was noted before."""
    values = {"provider": provider, "event_id": event_id, "type": kind, "deposit_id": deposit_id}
    put = insert(ProviderEventRow).values(**values).on_conflict_do_nothing().returning(ProviderEventRow.event_id)
    return await session.scalar(put) is not None


async def list_undone(engine: AsyncEngine, limit: int = 100) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
    """Ids of deposits that are paid and not credited, of those late ones that may yet be, and of users with a bonus to come."""
    ids = select(DepositRow.deposit_id).limit(limit)
    paid = ids.where(DepositRow.state == PAID, ~_NOT_TAKEN.exists()).order_by(DepositRow.update_time)
    late = ids.where(DepositRow.state.in_(WAITING), DepositRow.expire_time <= NOW).order_by(DepositRow.expire_time)
    bonuses = select(SignupBonusRow.user_id).where(SignupBonusRow.state == "PAYING").limit(limit)
    async with transaction(engine) as session:
        return (
            (await session.scalars(paid)).all(),
            (await session.scalars(late)).all(),
            (await session.scalars(bonuses)).all(),
        )


async def put_off(engine: AsyncEngine, deposit_id: str, pause: timedelta) -> None:
    """Let a deposit that is late wait a little more: nobody could say whether it was paid."""
    mine = update(DepositRow).where(DepositRow.deposit_id == deposit_id, DepositRow.state.in_(WAITING))
    async with transaction(engine) as session, session.begin():
        await session.execute(mine.values(expire_time=NOW + pause))


async def promise_bonus(session: AsyncSession, row: DepositRow, amount: int, transfer_id: str) -> None:
    """Put down that a user gets a bonus, unless he got one before."""
    values = {
        "user_id": row.user_id,
        "deposit_id": row.deposit_id,
        "asset": row.asset,
        "amount": amount,
        "transfer_id": transfer_id,
    }
    await session.execute(insert(SignupBonusRow).values(**values).on_conflict_do_nothing())


async def find_bonus(engine: AsyncEngine, user_id: str) -> SignupBonusRow | None:
    async with transaction(engine) as session:
        return await session.get(SignupBonusRow, user_id)


async def finish_bonus(session: AsyncSession, user_id: str) -> bool:
    """Put down that a bonus is paid. False: it was before."""
    paid = update(SignupBonusRow).where(SignupBonusRow.user_id == user_id, SignupBonusRow.state == "PAYING")
    return await session.scalar(paid.values(state="PAID").returning(SignupBonusRow.user_id)) is not None


async def count_credited(session: AsyncSession, user_id: str) -> int:
    """How many deposits of real money a user was credited with."""
    credited = (DepositRow.state == SUCCEEDED) & (DepositRow.provider != "SANDBOX")
    return int(await session.scalar(select(func.count()).where(DepositRow.user_id == user_id, credited)) or 0)


async def of_a_day(session: AsyncSession, user_id: str) -> Sequence[tuple[str, int]]:
    """Asset and amount of what a user was credited with within 24 hours, paper funds apart."""
    lately = (DepositRow.state == SUCCEEDED) & (DepositRow.update_time > NOW - DAY) & (DepositRow.provider != "SANDBOX")
    query = select(DepositRow.asset, DepositRow.amount).where(DepositRow.user_id == user_id, lately)
    return [(row[0], row[1]) for row in await session.execute(query)]


async def reversals_of(engine: AsyncEngine, deposit_ids: Sequence[str]) -> Sequence[ReversalRow]:
    """What deposits were given back of, or are disputed."""
    async with transaction(engine) as session:
        return (await session.scalars(select(ReversalRow).where(ReversalRow.deposit_id.in_(deposit_ids)))).all()
