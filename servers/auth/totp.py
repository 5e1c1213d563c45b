"""Codes of the second factor: time-based (RFC 6238: SHA-1, six digits, 30 s, what authenticator programs expect), and others.

A code is good in the 30 s it is of and in the 30 s after: people type slowly, and their clocks differ (RFC 6238, 5.2, allows one
step back). Good once only, and none of an earlier step after it: the database sees to that.
"""

import secrets
from base64 import b32encode
from hashlib import sha256
from typing import Final

import pyotp

ISSUER: Final = "venue"
STEP_S: Final = 30
SECRET_BYTES: Final = 20
RECOVERY_CODES: Final = 10
RECOVERY_BYTES: Final = 15
GROUP: Final = 4


def new_secret() -> str:
    """160 random bits in base32."""
    return b32encode(secrets.token_bytes(SECRET_BYTES)).decode()


def uri(secret: str, email: str) -> str:
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=ISSUER)


def step_of(secret: str, code: str, now_s: float) -> int | None:
    """The step that a code is of: the current one or the one before; None: of neither."""
    clock, current = pyotp.TOTP(secret, interval=STEP_S), int(now_s // STEP_S)
    same = [step for step in (current, current - 1) if pyotp.utils.strings_equal(code, clock.generate_otp(step))]
    return same[0] if same else None


def new_recovery_codes() -> list[str]:
    """Codes of 120 random bits, in groups of four characters."""
    return [_grouped(b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().lower()) for _ in range(RECOVERY_CODES)]


def recovery_hash(code: str) -> bytes:
    """What is stored of a recovery code; case, spaces and dashes do not count."""
    return sha256(code.lower().replace("-", "").replace(" ", "").encode()).digest()


def _grouped(code: str) -> str:
    return "-".join(code[start : start + GROUP] for start in range(0, len(code), GROUP))
