"""The audit log: who did what, when, from where, and how it ended. Append-only and hash-chained (db/audit_chain.py).

`append` is the last statement of the transaction that does the deed, so there is no deed without its entry and no entry without
its deed. It takes a lock until that transaction ends: entries are written one at a time, and whoever held another lock first and
waited for that one afterwards would stand in everybody's way.

Nothing secret belongs into an entry: ids instead of addresses of mail, and never a credential.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, auto
from typing import Any, Final

from sqlalchemy import TextClause, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from db.audit_chain import FIELDS, START, Head, Link
from db.models.audit import AuditEntryRow
from db.session import Connection
from db.transactions import transaction

OK: Final = "OK"
# What is not written down, wherever in `before` or `after` it stands.
SECRETS: Final = frozenset(
    {
        "password",
        "password_hash",
        "secret",
        "token",
        "access_token",
        "refresh_token",
        "totp_code",
        "code",
        "recovery_codes",
    }
)
SEARCHED: Final = ("actor", "action", "object", "outcome")
TEXT_MAX: Final = 512
CHUNK: Final = 1000


class Named(StrEnum):
    """A value is its name."""

    @staticmethod
    def _generate_next_value_(name: str, start: int, count: int, last_values: list[str]) -> str:
        del start, count, last_values
        return name


class Action(Named):
    """Everything that leaves an entry. A new kind of deed gets a line here; names say what was tried, `outcome` how it ended."""

    # Identity: what people do about themselves.
    REGISTER = auto()
    EMAIL_VERIFY = auto()
    LOGIN = auto()
    LOGOUT = auto()
    REFRESH_TOKEN_REUSE = auto()
    PASSWORD_CHANGE = auto()
    PASSWORD_RESET_REQUEST = auto()
    PASSWORD_RESET = auto()
    SESSION_REVOKE = auto()
    SIGN_ON_AUTHORIZE = auto()
    SIGN_ON_EXCHANGE = auto()
    TOTP_ENROLL = auto()
    TOTP_CONFIRM = auto()
    TOTP_DISABLE = auto()
    RECOVERY_CODE_USE = auto()
    STEP_UP = auto()
    API_KEY_CREATE = auto()
    API_KEY_REVOKE = auto()
    NOTIFICATION_PREFERENCES_SET = auto()
    PHONE_NUMBER_SET = auto()
    PHONE_NUMBER_CONFIRM = auto()
    PHONE_NUMBER_DELETE = auto()
    # Webhooks.
    WEBHOOK_CREATE = auto()
    WEBHOOK_UPDATE = auto()
    WEBHOOK_DELETE = auto()
    WEBHOOK_SECRET_ROTATE = auto()
    # Administration: people.
    USER_ROLE_SET = auto()
    USER_FREEZE = auto()
    USER_UNFREEZE = auto()
    USER_UNLOCK = auto()
    USER_SESSIONS_REVOKE = auto()
    USER_ORDERS_CANCEL = auto()
    # Administration: markets, risk, money.
    ASSET_CREATE = auto()
    MARKET_CREATE = auto()
    FEES_SET = auto()
    MARKET_STATE_SET = auto()
    MARKET_HOURS_SET = auto()
    LIMITS_SET = auto()
    ACCOUNT_TERMS_SET = auto()
    BALANCE_ADJUST = auto()
    DEPOSIT_CONFIRM = auto()
    LEDGER_VERIFY = auto()
    ALERT_ACKNOWLEDGE = auto()
    ALERT_CLOSE = auto()
    WITHDRAWAL_CREATE = auto()
    WITHDRAWAL_REJECT = auto()
    WITHDRAWAL_DECIDE = auto()
    BENEFICIARY_ADD = auto()
    BENEFICIARY_REMOVE = auto()
    # Who somebody is.
    KYC_SUBMIT = auto()
    KYC_REVIEW = auto()
    # Deeds that two people must want.
    PENDING_ACTION_PROPOSE = auto()
    PENDING_ACTION_APPROVE = auto()
    PENDING_ACTION_REJECT = auto()
    PENDING_ACTION_EXPIRE = auto()
    # Keys, and looking at what is other people's.
    KEY_ROTATE = auto()
    FIELD_KEY_ADD = auto()
    FIELD_KEYS_REENCRYPT = auto()
    CLIENT_PUT = auto()
    CLIENT_REMOVE = auto()
    ADMIN_SIGN_IN = auto()
    ADMIN_READ = auto()
    PRIVILEGE_REFUSED = auto()
    AUDIT_EXPORT = auto()


class ActorKind(Named):
    """A user of the venue, who has its machine and a terminal, the venue by itself, or a stranger."""

    USER = auto()
    OPERATOR = auto()
    SYSTEM = auto()
    NOBODY = auto()


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it. `name`: a user's id, an operator's login name, a part of the venue. `credential`: the session or API key."""

    kind: ActorKind
    name: str = ""
    credential: str = ""
    address: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is appended. `object` is what it was done to, as `user/usr-...`; `before` and `after` what of it changed.

    `outcome` is OK or the reason of a refusal.
    """

    actor: Actor
    action: Action
    object: str = ""
    before: Mapping[str, Any] | None = None
    after: Mapping[str, Any] | None = None
    outcome: str = OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What to look for; empty fields do not narrow it. Times: from `start` on, before `end`."""

    actor: str = ""
    action: str = ""
    object: str = ""
    outcome: str = ""
    start: datetime | None = None
    end: datetime | None = None


_COLUMNS: Final = FIELDS[2:]
_APPEND: Final[TextClause] = text(
    f"INSERT INTO audit_entries ({', '.join(_COLUMNS)}) VALUES ("  # noqa: S608  our own names
    + ", ".join(f"CAST(:{name} AS json)" if name in {"before", "after"} else f":{name}" for name in _COLUMNS)
    + ") RETURNING sequence"
).bindparams(*(bindparam(name) for name in _COLUMNS))
# Ordered by the column: the bare name would be the text that is read.
_LINKS: Final = """
SELECT sequence::text, (extract(epoch FROM time) * 1000000)::bigint::text, actor_kind, actor, credential, address, request_id,
       action, object, before::text, after::text, outcome, hash
FROM audit_entries WHERE sequence > %s ORDER BY audit_entries.sequence LIMIT %s
"""
_HEAD: Final = "SELECT sequence, hash FROM audit_entries ORDER BY sequence DESC LIMIT 1"


async def append(session: AsyncSession, entry: Entry) -> int:
    """Append an entry in the caller's transaction, as its last statement. Returns the entry's sequence."""
    found = await session.scalar(_APPEND, _values(entry))
    assert isinstance(found, int)
    return found


async def record(engine: AsyncEngine, entry: Entry) -> int:
    """Append an entry in a transaction of its own: what was refused, or what was done elsewhere. Raises PartUnavailable."""
    async with transaction(engine) as session, session.begin():
        return await append(session, entry)


def _values(entry: Entry) -> dict[str, str | None]:
    actor = entry.actor
    return {
        "actor_kind": actor.kind.value,
        "actor": _plain(actor.name),
        "credential": _plain(actor.credential),
        "address": _plain(actor.address),
        "request_id": _plain(actor.request_id),
        "action": entry.action.value,
        "object": _plain(entry.object),
        "before": _json(entry.before),
        "after": _json(entry.after),
        "outcome": entry.outcome,
    }


def _plain(given: str) -> str:
    """Without what PostgreSQL or a terminal would stumble over, and not without end."""
    return "".join(letter if letter.isprintable() else "?" for letter in given[:TEXT_MAX])


def _json(value: Mapping[str, Any] | None) -> str | None:
    """Raises ValueError where something secret would be written down."""
    if value is None:
        return None
    _refuse_secrets(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _refuse_secrets(value: object) -> None:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if str(name).lower() in SECRETS:
                raise ValueError(f"{name} does not belong into the audit log")
            _refuse_secrets(inner)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for inner in value:
            _refuse_secrets(inner)


async def list_entries(
    engine: AsyncEngine, search: Search, *, before: int | None = None, limit: int
) -> list[AuditEntryRow]:
    """Entries that were looked for, newest first; the next page begins `before` the last one's sequence."""
    query = select(AuditEntryRow).order_by(AuditEntryRow.sequence.desc()).limit(limit)
    for name in SEARCHED:
        if wanted := getattr(search, name):
            query = query.where(getattr(AuditEntryRow, name) == wanted)
    if search.start is not None:
        query = query.where(AuditEntryRow.time >= search.start)
    if search.end is not None:
        query = query.where(AuditEntryRow.time < search.end)
    if before is not None:
        query = query.where(AuditEntryRow.sequence < before)
    async with transaction(engine) as session:
        return list(await session.scalars(query))


async def list_after(engine: AsyncEngine, sequence: int, *, limit: int) -> list[AuditEntryRow]:
    """Entries behind a sequence, oldest first."""
    query = select(AuditEntryRow).where(AuditEntryRow.sequence > sequence)
    async with transaction(engine) as session:
        return list(await session.scalars(query.order_by(AuditEntryRow.sequence).limit(limit)))


async def head(connection: Connection) -> Head:
    """The last entry; sequence 0 where there is none."""
    row = await (await connection.execute(_HEAD)).fetchone()
    return Head(0, START) if row is None else Head(int(row[0]), bytes(row[1]))


async def links(connection: Connection) -> AsyncIterator[Link]:
    """All entries by their sequence, as the chain sees them."""
    last = 0
    while True:
        rows = await (await connection.execute(_LINKS, (last, CHUNK))).fetchall()
        for row in rows:
            *fields, stored = row
            last = int(fields[0])
            yield Link(last, tuple(fields), bytes(stored))
        if len(rows) < CHUNK:
            return
