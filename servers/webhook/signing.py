"""Secrets and signatures of Standard Webhooks 1.0 (specification: github.com/standard-webhooks, "Signature scheme").

What is signed is the message's id, the time in seconds since 1970 and the body, joined by full stops, so neither id nor time
holds one.
"""

import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from hmac import digest
from typing import Final

PREFIX: Final = "whsec_"
SECRET_BYTES: Final = 32


def new_secret() -> str:
    """`whsec_` and 32 random bytes in base64."""
    return PREFIX + b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature(secret: str, message_id: str, seconds: int, body: str) -> str:
    """A signature of version 1: HMAC-SHA256."""
    key = b64decode(secret.removeprefix(PREFIX), validate=True)
    return "v1," + b64encode(digest(key, f"{message_id}.{seconds}.{body}".encode(), "sha256")).decode()


def headers(known: Iterable[str], message_id: str, seconds: int, body: str) -> Mapping[str, str]:
    """What a message carries: a signature of each secret that holds, the newest first."""
    signatures = [signature(secret, message_id, seconds, body) for secret in known]
    return {"webhook-id": message_id, "webhook-timestamp": str(seconds), "webhook-signature": " ".join(signatures)}
