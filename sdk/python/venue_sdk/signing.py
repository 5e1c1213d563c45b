"""A credential that signs every call (RFC 9421; docs/signing.md of the venue): what signs never leaves the program."""

import secrets
import time
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Self

import grpc

from venue_sdk.credentials import Metadata


class SigningKey:
    """An API key that was made with `signing`: by HMAC with the secret that CreateApiKey showed once, or by Ed25519."""

    def __init__(self, api_key_id: str, sign: Callable[[bytes], bytes], algorithm: str) -> None:
        """`algorithm`: "hmac-sha256" or "ed25519"; `sign` gives the signature of bytes."""
        self.api_key_id = api_key_id
        self._sign = sign
        self._algorithm = algorithm

    @classmethod
    def hmac(cls, api_key_id: str, secret: str) -> Self:
        return cls(api_key_id, lambda base: hmac_digest(secret.encode(), base, sha256), "hmac-sha256")

    @classmethod
    def ed25519(cls, api_key_id: str, sign: Callable[[bytes], bytes]) -> Self:
        """`sign`: as the method of that name of cryptography's Ed25519PrivateKey, or of a device that keeps the key."""
        return cls(api_key_id, sign, "ed25519")

    async def metadata(self, channel: grpc.aio.Channel) -> Metadata:  # noqa: ARG002  as the protocol has it
        return (("x-api-key", self.api_key_id),)

    async def renew(self, channel: grpc.aio.Channel, refused: Metadata) -> bool:  # noqa: ARG002
        return False

    def signed(self, path: str, body: bytes) -> Metadata:
        """The headers that make one call hold; a repeat is another call."""
        return self.signed_http("POST", path, "", body)

    def signed_http(self, method: str, path: str, query: str, body: bytes) -> Metadata:
        """The same for REST: path and query (without `?`) as they are sent, the body as its bytes."""
        digest = f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"
        said = f'created={int(time.time())};keyid="{self.api_key_id}";alg="{self._algorithm}";nonce="{secrets.token_urlsafe(16)}"'
        signed = f'("@method" "@path" "@query" "content-digest");{said}'
        lines = (
            f'"@method": {method}',
            f'"@path": {path}',
            f'"@query": ?{query}',
            f'"content-digest": {digest}',
            f'"@signature-params": {signed}',
        )
        signature = b64encode(self._sign("\n".join(lines).encode())).decode()
        return (
            ("content-digest", digest),
            ("signature-input", f"sig={signed}"),
            ("signature", f"sig=:{signature}:"),
        )
