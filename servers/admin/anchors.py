"""Anchors: heads of the audit log, signed with a key of the venue and kept outside the database.

An anchor is a line of JSON: sequence, hash and time to read, and a JWS over them (EdDSA) to believe. It goes into the structured
log and into `audit/anchors.jsonl` of the state folder; copied to another machine, either shows later whether the log was cut or
written anew. The key is the venue's own for this, never one that tokens are signed with.
"""

import asyncio
import errno
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import jwt
import psycopg
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)
from psycopg_pool import PoolTimeout

from db import audit
from db.audit_chain import Head
from db.session import Pool

ALGORITHM: Final = "EdDSA"
TYPE: Final = "audit-head+jwt"
ISSUER: Final = "venue"
CLAIMS: Final = ("iss", "iat", "sequence", "hash")

log = structlog.get_logger()


class BadAnchorError(Exception):
    """An anchor that this venue did not sign, with the line it stands in."""


class Anchors:
    """The anchors of a state folder, `root`: its key, and the file they are appended to."""

    def __init__(self, root: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.file = root / "audit" / "anchors.jsonl"
        self.public_key = root / "audit" / "anchor-key.pem"
        self._private_key = root / "secrets" / "audit-anchor.pem"
        self._clock = clock

    def append(self, head: Head) -> dict[str, Any]:
        """Sign a head and keep it; it is on the disk when this returns. Returns the anchor.

        Raises OSError where there is no room for it; nothing of it is kept then.
        """
        anchor = self.sign(head)
        line = json.dumps(anchor).encode() + b"\n"
        self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # One write of one line: several processes may append.
        opened = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(opened, "ab", buffering=0) as file:
            before = file.tell()
            done = file.write(line)
            if done < len(line):
                # The last block of a full disk took its beginning, which nobody signed.
                file.truncate(before)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.file))
            os.fsync(file.fileno())
        return anchor

    def sign(self, head: Head) -> dict[str, Any]:
        private = self._key()
        said = {"sequence": head.sequence, "hash": head.hash.hex(), "iat": int(self._clock())}
        headers = {"typ": TYPE, "kid": key_id(private.public_key())}
        signed = jwt.encode({"iss": ISSUER, **said}, private, ALGORITHM, headers=headers)
        return {"sequence": head.sequence, "hash": head.hash.hex(), "time": said["iat"], "jws": signed}

    def last(self) -> int:
        """The sequence of the last anchor in the file, 0 where there is none."""
        try:
            lines = self.file.read_bytes().splitlines()
        except FileNotFoundError:
            return 0
        return int(json.loads(lines[-1])["sequence"]) if lines else 0

    def _key(self) -> Ed25519PrivateKey:
        """The venue's key, made on first use; its public half is laid beside the anchors."""
        if not self._private_key.exists():
            made = Ed25519PrivateKey.generate()
            pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            _put(self._private_key, pem)
        private = load_pem_private_key(self._private_key.read_bytes(), password=None)
        assert isinstance(private, Ed25519PrivateKey)
        if not self.public_key.exists():
            public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            _put(self.public_key, public)
        return private


def _put(path: Path, octets: bytes) -> None:
    """Write a file, unless it is there: of two processes at once the first one's stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(made)
    finally:
        made.unlink(missing_ok=True)


def key_id(key: Ed25519PublicKey) -> str:
    return sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def read_key(path: Path) -> Ed25519PublicKey:
    """Raises BadAnchorError where the file holds no public key of ours, FileNotFoundError."""
    try:
        key = load_pem_public_key(path.read_bytes())
    except ValueError:
        key = None
    if not isinstance(key, Ed25519PublicKey):
        raise BadAnchorError(f"{path} holds no Ed25519 public key")
    return key


def read_anchors(lines: Iterable[str], key: Ed25519PublicKey) -> list[Head]:
    """What the lines of a file of anchors say, each believed by its signature alone. Raises BadAnchorError."""
    found = []
    for number, line in enumerate(lines, 1):
        try:
            signed = str(json.loads(line)["jws"])
            if jwt.get_unverified_header(signed).get("typ") != TYPE:
                raise BadAnchorError(f"anchor {number} is something else that was signed")
            said = jwt.decode(signed, key, [ALGORITHM], issuer=ISSUER, options={"require": list(CLAIMS)})
            found.append(Head(int(said["sequence"]), bytes.fromhex(said["hash"])))
        except (ValueError, KeyError, TypeError, jwt.InvalidTokenError) as error:
            raise BadAnchorError(f"anchor {number} was not signed with this key: {error}") from None
    return found


async def keep_anchored(pool: Pool, anchors: Anchors, every_s: float) -> None:
    """Anchor the head of the audit log every so often, if it moved, for ever."""
    last = await asyncio.to_thread(anchors.last)
    while True:
        last = await anchor_once(pool, anchors, last)
        await asyncio.sleep(every_s)


async def anchor_once(pool: Pool, anchors: Anchors, last: int) -> int:
    """Anchor the head if it is not `last`. Returns the sequence of the last anchor now."""
    try:
        async with pool.connection() as connection:
            head = await audit.head(connection)
    except (psycopg.OperationalError, PoolTimeout) as error:
        log.warning("audit head not anchored", cause=str(error).partition("\n")[0])
        return last
    if head.sequence < last:
        log.error("audit log is shorter than it was", sequence=head.sequence, anchored=last)
        return last
    if head.sequence > last:
        try:
            anchor = await asyncio.to_thread(anchors.append, head)
        except OSError as error:
            # On a full disk the process goes on, and the next one has all that this one would have had.
            log.warning("audit head not anchored", cause=str(error))
            return last
        log.info("audit head", **anchor)
    return head.sequence
