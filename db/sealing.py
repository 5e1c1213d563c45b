"""Fields that are stored encrypted: AES-256-GCM under keys that never lie in the database.

An envelope is a version byte, the key's id behind its length, a random 96-bit nonce, and the ciphertext with its tag. Table,
column and row are authenticated along: an envelope that was moved elsewhere does not open. New envelopes are made with the first
key, old ones open with any, so a key is changed by putting another before it and running the re-encryption. A key is good for
2^32 envelopes (NIST SP 800-38D, 8.3: random nonces), far more than there are rows.

What has to be looked up by its value has a blind index beside it: an HMAC under a key of its own, which a new key for envelopes
leaves alone.
"""

import secrets
from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg import sql

from db.session import Pool

VERSION: Final = 1
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
TAG_BYTES: Final = 16
ID_MAX: Final = 32
INDEX: Final = "index"
BATCH: Final = 500


class Place(NamedTuple):
    """Where a sealed value stands; `row_id` is the text of its primary key."""

    table: str
    column: str
    row_id: str

    @property
    def bound(self) -> bytes:
        """What is authenticated along. No name holds the separator, and the row's id is last."""
        return f"{self.table}|{self.column}|{self.row_id}".encode()


class Sealed(NamedTuple):
    """A column of envelopes, and the column of its table's primary key."""

    table: str
    key: str
    column: str


# Every column that holds envelopes: what the re-encryption goes through.
SEALED: Final[Sequence[Sealed]] = (
    Sealed("totp_factors", "user_id", "secret"),
    Sealed("kyc_submissions", "kyc_submission_id", "details"),
    Sealed("beneficiaries", "beneficiary_id", "details"),
    Sealed("webhook_secrets", "secret_id", "secret"),
    Sealed("outgoing", "message_id", "content"),
    Sealed("api_keys", "api_key_id", "secret"),
    Sealed("phone_numbers", "user_id", "number"),
)


class SealBroken(Exception):
    """An envelope that does not open: another place, a key that is not there, or bytes that were changed."""


class Keys(NamedTuple):
    """The keys by id, the one that seals first, and that of blind indexes (None where there is none)."""

    by_id: dict[str, bytes]
    blind: bytes | None

    @property
    def current(self) -> str:
        return next(iter(self.by_id))


def api_key_secret(api_key_id: str) -> Place:
    """Where the secret of an API key that signs is sealed."""
    return Place("api_keys", "secret", api_key_id)


def parse(text: str) -> Keys:
    """Read `id:base64` entries, divided by white space or commas. Raises ValueError, which names no key."""
    by_id: dict[str, bytes] = {}
    for number, entry in enumerate(text.replace(",", " ").split(), 1):
        name, _, encoded = entry.partition(":")
        try:
            key = b64decode(encoded, validate=True)
        except BadBase64:
            raise ValueError(f"entry {number} is not base64") from None
        if not 1 <= len(name) <= ID_MAX or not name.isascii() or not name.isprintable():
            raise ValueError(f"entry {number} has no id of 1 to {ID_MAX} characters")
        if len(key) != KEY_BYTES:
            raise ValueError(f"entry {number} is not {KEY_BYTES} bytes")
        if name in by_id:
            raise ValueError(f"entry {number} has an id that is there already")
        by_id[name] = key
    index = by_id.pop(INDEX, None)
    if not by_id:
        raise ValueError("there is no key")
    return Keys(by_id, index)


def new_entry(name: str = "") -> str:
    """An entry with a new key; without a name its id is the day and four random digits."""
    name = name or f"{datetime.now(UTC):%Y%m%d}-{secrets.token_hex(2)}"
    return f"{name}:{b64encode(secrets.token_bytes(KEY_BYTES)).decode()}"


class Sealer:
    """Seals and opens. `source` gives the entries; it is asked again where an envelope names a key that is not known yet, so that
    a server need not be started anew when a key was added.
    """

    def __init__(self, source: Callable[[], str]) -> None:
        self._source = source
        self._keys = parse(source())

    @property
    def current(self) -> str:
        """The id of the key that seals."""
        return self._keys.current

    def seal(self, place: Place, plain: bytes) -> bytes:
        name = self.current
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = AESGCM(self._keys.by_id[name]).encrypt(nonce, plain, place.bound)
        return bytes((VERSION, len(name))) + name.encode() + nonce + sealed

    def open(self, place: Place, envelope: bytes) -> bytes:
        """Raises SealBroken."""
        name = key_id(envelope)
        if name not in self._keys.by_id:
            self._keys = parse(self._source())
        key = self._keys.by_id.get(name)
        if key is None:
            raise SealBroken(f"no key {name!r} for {place.table}.{place.column}")
        start = 2 + len(name)
        nonce, sealed = envelope[start : start + NONCE_BYTES], envelope[start + NONCE_BYTES :]
        try:
            return AESGCM(key).decrypt(nonce, sealed, place.bound)
        except (InvalidTag, ValueError):
            raise SealBroken(f"{place.table}.{place.column} does not open") from None

    def blind_index(self, table: str, column: str, value: str) -> bytes:
        """What equal values of a column have in common: 32 bytes, by which they are found. Raises SealBroken without a key."""
        if self._keys.blind is None:
            raise SealBroken(f"there is no key {INDEX!r}")
        return hmac_digest(self._keys.blind, f"{table}|{column}|{value}".encode(), sha256)


def key_id(envelope: bytes) -> str:
    """The id of the key that an envelope was made with. Raises SealBroken."""
    length = envelope[1] if len(envelope) > 1 and envelope[0] == VERSION else 0
    if not length or len(envelope) < 2 + length + NONCE_BYTES + TAG_BYTES:
        raise SealBroken("this is no envelope")
    return envelope[2 : 2 + length].decode("ascii", "replace")


async def count_by_key(pool: Pool) -> dict[str, int]:
    """How many envelopes there are of each key."""
    counts: dict[str, int] = {}
    async with pool.connection() as connection:
        for each in SEALED:
            query = sql.SQL(
                "SELECT encode(substring({column} FROM 3 FOR get_byte({column}, 1)), 'escape'), count(*)"
                " FROM {table} WHERE {column} IS NOT NULL GROUP BY 1"
            ).format(column=sql.Identifier(each.column), table=sql.Identifier(each.table))
            for name, count in await (await connection.execute(query)).fetchall():
                counts[name] = counts.get(name, 0) + count
    return counts


async def reencrypt(pool: Pool, sealer: Sealer) -> int:
    """Seal anew what is not under the current key, beside running servers or not. Returns how many. Raises SealBroken."""
    done = 0
    for each in SEALED:
        names = {part: sql.Identifier(getattr(each, part)) for part in ("table", "key", "column")}
        stale = sql.SQL(
            "SELECT {key}::text, {column} FROM {table} WHERE {key}::text > %s"
            " AND substring({column} FROM 3 FOR get_byte({column}, 1)) <> %s ORDER BY {key}::text LIMIT %s"
        ).format(**names)
        # A row that was written meanwhile is left as it is: whoever wrote it sealed it.
        put = sql.SQL("UPDATE {table} SET {column} = %s WHERE {key}::text = %s AND {column} = %s").format(**names)
        last = ""
        while True:
            async with pool.connection() as connection:
                rows = await (await connection.execute(stale, (last, sealer.current.encode(), BATCH))).fetchall()
                for row_id, envelope in rows:
                    place = Place(each.table, each.column, row_id)
                    fresh = sealer.seal(place, sealer.open(place, bytes(envelope)))
                    done += (await connection.execute(put, (fresh, row_id, envelope))).rowcount
            if len(rows) < BATCH:
                break
            last = rows[-1][0]
    return done
