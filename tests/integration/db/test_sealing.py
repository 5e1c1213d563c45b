"""Encrypted fields: envelopes that open only where they were made, several keys at a time, and their re-encryption (S24)."""

import re
import secrets

import pytest

from db.sealing import (
    INDEX,
    NONCE_BYTES,
    SEALED,
    Place,
    SealBroken,
    Sealer,
    count_by_key,
    key_id,
    new_entry,
    parse,
    reencrypt,
)
from db.session import SERVICES, Connection, open_pool

HERE = Place("totp_factors", "secret", "usr-1")
OLD, NEW = new_entry("old"), new_entry("new")


class Entries:
    """Where a sealer reads its keys; a test changes them."""

    def __init__(self, *entries: str) -> None:
        self.entries = entries

    def __call__(self) -> str:
        return "\n".join(self.entries)


def test_s24_an_envelope_opens_in_its_own_place_only() -> None:
    sealer = Sealer(Entries(OLD))
    envelope = sealer.seal(HERE, b"secret")
    assert b"secret" not in envelope
    assert (sealer.open(HERE, envelope), key_id(envelope)) == (b"secret", "old")
    for elsewhere in (HERE._replace(row_id="usr-2"), HERE._replace(column="other"), HERE._replace(table="webhooks")):
        with pytest.raises(SealBroken):
            sealer.open(elsewhere, envelope)


def test_s24_every_changed_byte_breaks_it() -> None:
    sealer = Sealer(Entries(OLD))
    envelope = sealer.seal(HERE, b"secret")
    for place in range(len(envelope)):
        changed = bytearray(envelope)
        changed[place] ^= 1
        with pytest.raises(SealBroken):
            sealer.open(HERE, bytes(changed))
    for end in range(len(envelope)):
        with pytest.raises(SealBroken):
            sealer.open(HERE, envelope[:end])


def test_s24_no_nonce_comes_twice() -> None:
    sealer = Sealer(Entries(OLD))
    start = 2 + len("old")
    assert len({sealer.seal(HERE, b"same")[start : start + NONCE_BYTES] for _ in range(2_000)}) == 2_000


def test_s24_the_first_key_seals_and_every_key_opens() -> None:
    entries = Entries(OLD)
    running = Sealer(entries)
    before = running.seal(HERE, b"secret")
    entries.entries = (NEW, OLD)
    after = Sealer(entries).seal(HERE, b"secret")
    assert (key_id(before), key_id(after)) == ("old", "new")
    # A server that runs since before the change reads the keys again when it meets a new one.
    assert [running.open(HERE, each) for each in (before, after)] == [b"secret", b"secret"]
    entries.entries = (NEW,)
    with pytest.raises(SealBroken, match="no key 'old'"):
        Sealer(entries).open(HERE, before)


def test_s24_a_blind_index_finds_equal_values_of_a_column_and_outlives_a_change_of_keys() -> None:
    index = new_entry(INDEX)
    one, other = Sealer(Entries(OLD, index)), Sealer(Entries(NEW, OLD, index))
    found = one.blind_index("kyc", "document", "X123")
    assert found == other.blind_index("kyc", "document", "X123")
    assert len({found, one.blind_index("kyc", "document", "X124"), one.blind_index("kyc", "iban", "X123")}) == 3
    assert found != Sealer(Entries(OLD, new_entry(INDEX))).blind_index("kyc", "document", "X123")
    with pytest.raises(SealBroken):
        Sealer(Entries(OLD)).blind_index("kyc", "document", "X123")


@pytest.mark.parametrize("text", ["", INDEX + OLD[3:], "a:AAAA", "a:####", OLD[3:], f"{OLD} {OLD}", "x" * 33 + OLD[3:]])
def test_s24_bad_keys_are_refused_without_being_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(there is no key|entry \d)") as refused:
        parse(text)
    assert OLD.partition(":")[2] not in str(refused.value)


async def test_s24_fields_are_encrypted_anew_beside_running_servers(connection: Connection, database_url: str) -> None:
    old = Sealer(Entries(OLD))
    users = [f"usr-{number}" for number in range(7)]
    for user in users:
        secret = old.seal(Place("totp_factors", "secret", user), user.encode())
        await connection.execute(
            "INSERT INTO users (user_id, email, email_key, password_hash) VALUES (%s, %s, %s, '')", (user, user, user)
        )
        await connection.execute("INSERT INTO totp_factors (user_id, secret) VALUES (%s, %s)", (user, secret))
    pool = await open_pool(database_url, application_name="test", role=SERVICES)
    both = Sealer(Entries(NEW, OLD))
    assert await count_by_key(pool) == {"old": 7}
    assert [await reencrypt(pool, both), await reencrypt(pool, both)] == [7, 0]
    assert await count_by_key(pool) == {"new": 7}
    rows = await (await connection.execute("SELECT user_id, secret FROM totp_factors ORDER BY 1")).fetchall()
    only_new = Sealer(Entries(NEW))
    assert [only_new.open(Place("totp_factors", "secret", user), secret) for user, secret in rows] == [
        user.encode() for user in users
    ]
    # One that was moved to another row stops the job, and stays as it is for a person to look at.
    await connection.execute(
        "UPDATE totp_factors SET secret = %s WHERE user_id = 'usr-3'", (secrets.token_bytes(0) + rows[0][1],)
    )
    with pytest.raises(SealBroken):
        await reencrypt(pool, Sealer(Entries(OLD, NEW)))
    await pool.close()


async def test_s24_the_re_encryption_knows_every_column_of_envelopes(database_url: str) -> None:
    """A column of envelopes has a constraint that looks at the envelope's version."""
    found = "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c'"
    async with (
        await open_pool(database_url, application_name="test", role=SERVICES) as pool,
        pool.connection() as connection,
    ):
        rows = await (await connection.execute(found)).fetchall()
    checked = {(table, match[1]) for table, text in rows if (match := re.search(r"get_byte\((\w+), 0\) = 1", text))}
    assert checked == {(each.table, each.column) for each in SEALED}
