"""The audit log: appended with the deed, changed by nobody, and whoever does is found (ADM-2, S23)."""

import asyncio
import json
import resource
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from structlog.testing import capture_logs

from db import audit
from db.audit import Action, Actor, ActorKind, Entry, Search
from db.audit_chain import START, Break, Head, Link, hash_of, verify
from db.session import ENGINE, PROJECTOR, SERVICES, Connection, connect, engine, open_pool
from db.transactions import transaction
from servers.admin.anchors import Anchors, BadAnchorError, anchor_once, read_anchors, read_key

ADA = Actor(ActorKind.USER, "usr-ada", "ses-1", "192.0.2.7", "req-1")
VENUE = Actor(ActorKind.SYSTEM, "sweeper")


@pytest.fixture
async def services(database_url: str) -> AsyncIterator[AsyncEngine]:
    opened = engine(database_url, application_name="test", role=SERVICES)
    yield opened
    await opened.dispose()


@pytest.fixture
async def owner(database_url: str) -> AsyncIterator[Connection]:
    opened = await connect(database_url, application_name="test")
    yield opened
    await opened.close()


async def ten(services: AsyncEngine) -> list[int]:
    """Ten entries of two actors; of every third one the text is awkward."""
    awkward = {"name": "Zoë \N{GRINNING FACE}\0", "levels": [1, None, {"deep": "\n"}]}
    return [
        await audit.record(
            services,
            Entry(
                actor=VENUE if n % 3 else ADA,
                action=Action.USER_FREEZE if n % 2 else Action.LIMITS_SET,
                object=f"user/{n % 4}",
                before=awkward if n % 3 == 0 else None,
                after={"status": "FROZEN", "n": n},
            ),
        )
        for n in range(10)
    ]


async def test_an_entry_is_committed_with_its_deed_or_not_at_all(services: AsyncEngine, owner: Connection) -> None:
    deed = Entry(actor=ADA, action=Action.USER_FREEZE, object="user/usr-ben", before={"status": "ACTIVE"})

    async def fail() -> None:
        async with transaction(services) as session, session.begin():
            await audit.append(session, deed)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert await audit.head(owner) == Head(0, START)
    async with transaction(services) as session, session.begin():
        assert await audit.append(session, deed) == 1
    (row,) = await audit.list_entries(services, Search(), limit=5)
    assert (row.sequence, row.actor_kind, row.actor, row.credential, row.address, row.request_id) == (
        1, "USER", "usr-ada", "ses-1", "192.0.2.7", "req-1",
    )  # fmt: skip
    assert (row.action, row.object, row.before, row.after, row.outcome) == (
        "USER_FREEZE", "user/usr-ben", {"status": "ACTIVE"}, None, "OK",
    )  # fmt: skip
    assert abs(row.time - datetime.now(UTC)) < timedelta(minutes=5)


async def test_many_writers_at_once_make_one_chain(services: AsyncEngine, owner: Connection) -> None:
    entry = Entry(actor=VENUE, action=Action.ADMIN_READ)
    given = await asyncio.gather(*(audit.record(services, entry) for _ in range(40)))
    assert sorted(given) == list(range(1, 41))
    verdict = await verify(audit.links(owner), [await audit.head(owner)])
    assert (verdict.entries, verdict.anchors, verdict.broken) == (40, 1, None)


async def test_entries_are_found_by_what_they_say(services: AsyncEngine) -> None:
    await ten(services)

    async def found(search: Search, before: int | None = None, limit: int = 50) -> list[int]:
        return [row.sequence for row in await audit.list_entries(services, search, before=before, limit=limit)]

    assert await found(Search(), limit=3) == [10, 9, 8]
    assert await found(Search(), before=8, limit=3) == [7, 6, 5]
    assert await found(Search(actor="usr-ada")) == [10, 7, 4, 1]
    assert await found(Search(actor="usr-ada", action="USER_FREEZE")) == [10, 4]
    assert await found(Search(object="user/2", outcome="OK")) == [7, 3]
    middle = (await audit.list_entries(services, Search(), before=6, limit=1))[0].time
    assert await found(Search(start=middle)) == [10, 9, 8, 7, 6, 5]
    assert await found(Search(end=middle)) == [4, 3, 2, 1]


async def test_nothing_secret_is_written_down(services: AsyncEngine) -> None:
    for name in ("password", "refresh_token", "Secret"):
        entry = Entry(actor=ADA, action=Action.PASSWORD_CHANGE, after={"deep": [{name: "hunter2"}]})
        with pytest.raises(ValueError, match="does not belong into the audit log"):
            await audit.record(services, entry)
    awkward = Entry(actor=Actor(ActorKind.NOBODY, request_id="a\r\nb\0" + "c" * 1000), action=Action.LOGIN)
    await audit.record(services, awkward)
    (row,) = await audit.list_entries(services, Search(), limit=5)
    assert row.request_id == ("a??b?" + "c" * 1000)[: audit.TEXT_MAX]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_entries SET outcome = 'OK'",
        "DELETE FROM audit_entries",
        "TRUNCATE audit_entries",
        "ALTER TABLE audit_entries DISABLE TRIGGER USER",
        "DROP TRIGGER append_only ON audit_entries",
    ],
)
async def test_s23_no_role_of_the_venue_can_do_more_than_insert(
    database_url: str, services: AsyncEngine, owner: Connection, statement: str
) -> None:
    await audit.record(services, Entry(actor=VENUE, action=Action.ADMIN_READ))
    for role in (SERVICES, ENGINE, PROJECTOR):
        mine = await connect(database_url, application_name="test", role=role)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await mine.execute(statement)
        await mine.close()
    if not statement.startswith(("ALTER", "DROP")):  # the belt, which holds for the owner too
        with pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            await owner.execute(statement)


async def test_s23_who_inserts_does_not_choose_sequence_time_or_hash(services: AsyncEngine, owner: Connection) -> None:
    forged = text(
        "INSERT INTO audit_entries VALUES (7, '2001-01-01', 'USER', 'usr-eve', '', '', '', 'LOGIN', '', NULL, NULL, 'OK', :hash)"
    )
    async with transaction(services) as session, session.begin():
        await session.execute(forged, {"hash": bytes(32)})
    (row,) = await audit.list_entries(services, Search(), limit=5)
    assert row.sequence == 1
    assert row.time > datetime(2020, 1, 1, tzinfo=UTC)
    assert (await verify(audit.links(owner))).broken is None


EDITED = "UPDATE audit_entries SET {} WHERE sequence = 4"
SABOTAGE = {
    "actor": (EDITED.format("actor = 'usr-eve'"), 4),
    "what was": (EDITED.format("before = '{}'"), 4),
    "what was not": ("UPDATE audit_entries SET before = '{}' WHERE sequence = 5", 5),
    "time": (EDITED.format("time = time - interval '1 microsecond'"), 4),
    "border of fields": ("UPDATE audit_entries SET actor = 'sweepe', credential = 'r' WHERE sequence = 6", 6),
    "hash": (EDITED.format("hash = sha256('x')"), 4),
    "deleted": ("DELETE FROM audit_entries WHERE sequence = 4", 4),
    "first deleted": ("DELETE FROM audit_entries WHERE sequence = 1", 1),
    "moved to the end": ("UPDATE audit_entries SET sequence = 11 WHERE sequence = 4", 4),
    "truncated": ("DELETE FROM audit_entries WHERE sequence > 6", 7),
    "emptied": ("DELETE FROM audit_entries", 1),
}


async def test_s23_the_first_bad_entry_is_named(services: AsyncEngine, owner: Connection) -> None:
    await ten(services)
    anchors = [await audit.head(owner)]
    good = await verify(audit.links(owner), anchors)
    assert (good.entries, good.head, good.anchors, good.broken) == (10, anchors[0], 1, None)
    for name, (statement, bad) in SABOTAGE.items():
        async with owner.transaction(force_rollback=True):
            await owner.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
            await owner.execute(statement)
            verdict = await verify(audit.links(owner), anchors)
            assert verdict.broken is not None, name
            assert verdict.broken.sequence == bad, name
    async with owner.transaction(force_rollback=True):
        await owner.execute("ALTER TABLE audit_entries DISABLE TRIGGER USER")
        await swapped(owner, 4, 5)
        assert (await verify(audit.links(owner))).broken == Break(
            4, "is not what was appended behind the entry before it"
        )


async def swapped(owner: Connection, one: int, other: int) -> None:
    for old, new in ((one, 99), (other, one), (99, other)):
        await owner.execute("UPDATE audit_entries SET sequence = %s WHERE sequence = %s", (new, old))


async def test_s23_a_chain_computed_anew_is_found_by_its_anchors(services: AsyncEngine, owner: Connection) -> None:
    sequences = await ten(services)
    links = [link async for link in audit.links(owner)]
    anchors = [Head(link.sequence, link.hash) for link in links if link.sequence in {3, 6, 10}]
    assert sequences[-1] == 10
    previous, forged = START, []
    for link in links:
        fields = tuple("usr-eve" if name == "usr-ada" and link.sequence == 4 else name for name in link.fields)
        previous = hash_of(previous, fields)
        forged.append(link._replace(fields=fields, hash=previous))

    async def replayed() -> AsyncIterator[Link]:
        for link in forged:
            yield link

    assert (await verify(replayed())).broken is None
    verdict = await verify(replayed(), anchors)
    assert verdict.broken == Break(4, "or a later one up to 6 was rewritten")


async def test_s23_the_head_is_signed_and_kept_when_it_moved(
    database_url: str, services: AsyncEngine, tmp_path: Path
) -> None:
    pool = await open_pool(database_url, application_name="test", role=SERVICES)
    anchors = Anchors(tmp_path)
    last = await anchor_once(pool, anchors, anchors.last())
    assert not anchors.file.exists(), "an empty log has no head"
    await ten(services)
    for _ in range(3):
        last = await anchor_once(pool, anchors, last)
    await audit.record(services, Entry(actor=VENUE, action=Action.ADMIN_READ))
    assert await anchor_once(pool, anchors, last) == 11
    heads = read_anchors(anchors.file.read_text().splitlines(), read_key(anchors.public_key))
    async with pool.connection() as connection:
        assert [head.sequence for head in heads] == [10, 11]
        assert (await verify(audit.links(connection), heads)).broken is None
    assert Anchors(tmp_path).last() == 11
    await pool.close()


async def test_s23_a_head_for_which_there_is_no_room_is_anchored_when_there_is(
    database_url: str, services: AsyncEngine, tmp_path: Path
) -> None:
    pool = await open_pool(database_url, application_name="test", role=SERVICES)
    anchors = Anchors(tmp_path)
    await ten(services)
    assert await anchor_once(pool, anchors, 0) == 10
    await audit.record(services, Entry(actor=VENUE, action=Action.ADMIN_READ))
    kept = anchors.file.read_bytes()
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in (0, 9):
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(kept) + room, most))
        try:
            with capture_logs() as told:
                assert await anchor_once(pool, anchors, 10) == 10
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        assert [line["event"] for line in told] == ["audit head not anchored"]
        assert anchors.file.read_bytes() == kept
    assert await anchor_once(pool, anchors, 10) == 11
    assert len(read_anchors(anchors.file.read_text().splitlines(), read_key(anchors.public_key))) == 2
    await pool.close()


async def test_s23_an_anchor_that_the_venue_did_not_sign_is_not_believed(tmp_path: Path) -> None:
    anchors = Anchors(tmp_path)
    line = json.dumps(anchors.append(Head(3, bytes(32))))
    key = read_key(anchors.public_key)
    assert read_anchors([line], key) == [Head(3, bytes(32))]
    # What stands beside the signature is for people: it is not what is believed.
    assert read_anchors([line.replace('"sequence": 3', '"sequence": 2')], key) == [Head(3, bytes(32))]
    said = {"iss": "venue", "iat": 0, "sequence": 3, "hash": "00"}
    strangers = jwt.encode(said, Ed25519PrivateKey.generate(), "EdDSA", headers={"typ": "audit-head+jwt"})
    unsigned = jwt.encode(said, "", "none", headers={"typ": "audit-head+jwt"})
    for forged in (json.dumps({"jws": strangers}), json.dumps({"jws": unsigned}), "{}", "no json"):
        with pytest.raises(BadAnchorError, match="anchor 1"):
            read_anchors([forged], key)
