"""The keys that access tokens are signed with: files `jwt-<creation second>.pem` in the secrets folder.

A key is published from the moment it exists and signs once it has been published for `publish_s`, so every cache of the key set
has it by then. It stays published until the last token signed with it has expired. So a rotation is one more file.
The first key has creation second 0 and signs at once.
"""

import json
import os
import re
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

# Longer than the gateway and the servers cache the key set.
PUBLISH_S: Final = 120.0
# What the clocks of those who sign and who verify may differ.
CLOCKS_S: Final = 120.0
# An access token's life of 15 minutes, and that.
RETIRE_S: Final = 900.0 + CLOCKS_S
READ_AGAIN_S: Final = 5.0
_FILE: Final = re.compile(r"jwt-([0-9]{10})\.pem", re.ASCII)


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key pair; `x` is the public half in base64url, `created` the second since 1970 it was made in."""

    created: int
    kid: str
    x: str
    private: Ed25519PrivateKey = field(repr=False)

    @property
    def file(self) -> str:
        return f"jwt-{self.created:010d}.pem"

    def jwk(self) -> dict[str, str]:
        """The public half as RFC 7517 and RFC 8037 write it."""
        return {"kty": "OKP", "crv": "Ed25519", "x": self.x, "kid": self.kid, "alg": "EdDSA", "use": "sig"}


class RotationUnderWay(Exception):
    """The newest key does not sign before the second `signs_from`: another one would only be in its way."""

    def __init__(self, signs_from: float) -> None:
        super().__init__("the last key that was added does not sign yet")
        self.signs_from = signs_from


class SigningKeys:
    """The keys of a folder, read again every 5 s so that a key added by any process is seen by all."""

    def __init__(
        self,
        folder: Path,
        *,
        publish_s: float = PUBLISH_S,
        retire_s: float = RETIRE_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._folder = folder
        self._publish_s = publish_s
        self._retire_s = retire_s
        self._clock = clock
        self._keys: dict[str, SigningKey] = {}
        self._read_at = float("-inf")

    def published(self) -> list[SigningKey]:
        """The key that signs first, then the others whose tokens may still live or are about to. Makes the first key."""
        now = self._clock()
        # A clock that was set back must not stop the reading for as long as it was set back.
        if abs(now - self._read_at) >= READ_AGAIN_S:
            self._read()
            self._read_at = now
        keys = sorted(self._keys.values(), key=lambda key: (key.created, key.kid), reverse=True)
        ready = [place for place, key in enumerate(keys) if key.created + self._publish_s <= now]
        signer = ready[0] if ready else len(keys) - 1
        kept = keys[: signer + 1]
        for newer, key in zip(keys[signer:], keys[signer + 1 :], strict=False):
            if newer.created + self._publish_s + self._retire_s <= now:
                break
            kept.append(key)
        return [keys[signer], *(key for key in kept if key is not keys[signer])]

    def current(self) -> SigningKey:
        """The key that signs."""
        return self.published()[0]

    def jwks(self) -> list[dict[str, str]]:
        """The public keys, the one that signs first."""
        return [key.jwk() for key in self.published()]

    def rotate(self) -> SigningKey:
        """Add a key that signs once it was published for long enough, and delete those that nobody needs any more.

        Raises RotationUnderWay where the last one added does not sign yet.
        """
        self._read()
        published = self.published()
        newest = max(published, key=lambda key: key.created)
        if newest is not published[0]:
            raise RotationUnderWay(self.signs_from(newest))
        created = int(self._clock())
        add_key(self._folder, created=created)
        for name in set(self._keys) - {key.file for key in published}:
            (self._folder / name).unlink(missing_ok=True)
        return read_key(self._folder / f"jwt-{created:010d}.pem")

    def signs_from(self, key: SigningKey) -> float:
        """The second from which a key signs, until a newer one does."""
        return key.created + self._publish_s if key.created else 0.0

    def _read(self) -> None:
        names = key_files(self._folder)
        if not names:
            add_key(self._folder, created=0)
            names = key_files(self._folder)
        found = {}
        for name in names:
            with suppress(FileNotFoundError):  # deleted since the folder was looked at
                found[name] = self._keys.get(name) or read_key(self._folder / name)
        self._keys = found


def key_files(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if _FILE.fullmatch(path.name)] if folder.is_dir() else []


def add_key(folder: Path, *, created: int) -> None:
    """Add a key, unless one of that second is there. Of two processes that do so at once one wins; both then read it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    made = folder / f".jwt-{secrets.token_hex(8)}"
    with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):
        (folder / f"jwt-{created:010d}.pem").hardlink_to(made)
    made.unlink()


def read_key(path: Path) -> SigningKey:
    name = _FILE.fullmatch(path.name)
    private = load_pem_private_key(path.read_bytes(), password=None)
    if name is None or not isinstance(private, Ed25519PrivateKey):
        raise ValueError(f"{path.name} is not an Ed25519 key of this venue")
    x = base64url(private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    return SigningKey(int(name[1]), thumbprint(x), x, private)


def thumbprint(x: str) -> str:
    """RFC 7638: the digest of the members that define the key, in the order of their names."""
    canonical = json.dumps({"crv": "Ed25519", "kty": "OKP", "x": x}, separators=(",", ":"))
    return base64url(sha256(canonical.encode()).digest())


def base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
