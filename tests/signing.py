"""Signed calls as a program of somebody else makes them: by the package http-message-signatures (RFC 9421)."""

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from http_message_signatures import HTTPMessageSigner, HTTPSignatureKeyResolver, algorithms

COMPONENTS = ("@method", "@path", "@query", "content-digest")


@dataclass(frozen=True, slots=True)
class Signer:
    """A key's id, its algorithm as RFC 9421 calls it, and what signs: the secret, or the 32 bytes of the private key."""

    key_id: str
    algorithm: str
    secret: bytes


class Resolver(HTTPSignatureKeyResolver):
    def __init__(self, signer: Signer) -> None:
        self._signer = signer

    def resolve_private_key(self, key_id: str) -> bytes:
        assert key_id == self._signer.key_id
        if self._signer.algorithm == "hmac-sha256":
            return self._signer.secret
        key = Ed25519PrivateKey.from_private_bytes(self._signer.secret)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def signed_headers(
    signer: Signer, *, method: str, path: str, body: bytes, query: str = "", created: int | None = None
) -> dict[str, str]:
    """The headers of a call; the path and query as they stand in its first line, the body as its bytes (gRPC: the message)."""
    url = f"http://venue.example{path}" + (f"?{query}" if query else "")
    message: Any = SimpleNamespace(method=method, url=url, headers={})
    algorithm = algorithms.HMAC_SHA256 if signer.algorithm == "hmac-sha256" else algorithms.ED25519
    HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=Resolver(signer)).sign(
        message,
        key_id=signer.key_id,
        created=datetime.fromtimestamp(time.time() if created is None else created, UTC),
        nonce=secrets.token_urlsafe(16),
        label="sig",
        covered_component_ids=COMPONENTS,
        body=body,
    )
    given = {name.lower(): str(value) for name, value in message.headers.items()}
    return given | {"x-api-key": signer.key_id}
