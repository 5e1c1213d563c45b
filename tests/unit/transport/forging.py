"""Forged and damaged tokens, made from a good one, without the key of the venue or with it, for something else."""

import base64
import hmac
import json
import random
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
JSON = dict[str, Any]
STRANGER = Ed25519PrivateKey.generate()
ODD_KIDS: list[Any] = [
    "",
    None,
    7,
    ["a"],
    {"a": 1},
    "../../secrets/pepper",
    "' OR 1=1 --",
    "key\0",
    "stranger",
    "x" * 500,
]
ODD_TYPES: list[Any] = ["JWT", "jwt", None, 1, "rt+jwt", "mfa+jwt", "email+jwt", "application/at+jwt", "AT+JWT "]
NONES = ["none", "None", "NONE", "nOnE", "", None, "EdDSA ", "eddsa", "ED25519", "HS256", "RS256", "ES256"]


def encode(part: JSON | bytes) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Forger:
    """Makes tokens that nobody may believe; `private` is the key of the venue that the good token was signed with."""

    def __init__(self, good: str, private: Ed25519PrivateKey, seed: int) -> None:
        self.good = good
        self.private = private
        self.draw = random.Random(seed)
        self.head, self.body, self.signature = good.split(".")
        self.header: JSON = json.loads(decode(self.head))
        self.claims: JSON = json.loads(decode(self.body))

    def damaged(self) -> Iterator[str]:
        """Without end: bits, characters and parts of the good token changed, no two in the same way but by chance."""
        deeds: list[Callable[[], str]] = [
            self._bit,
            self._letter,
            self._strange_letter,
            self._cut,
            self._parts,
            self._grown,
        ]
        while True:
            token = self.draw.choice(deeds)()
            if token != self.good:
                yield token

    def _bit(self) -> str:
        parts = [decode(part) for part in (self.head, self.body, self.signature)]
        which = self.draw.randrange(3)
        changed = bytearray(parts[which])
        changed[self.draw.randrange(len(changed))] ^= 1 << self.draw.randrange(8)
        parts[which] = bytes(changed)
        return ".".join(encode(part) for part in parts)

    def _letter(self) -> str:
        at = self.draw.randrange(len(self.good))
        return self.good[:at] + self.draw.choice(ALPHABET + ".") + self.good[at + 1 :]

    def _strange_letter(self) -> str:
        at = self.draw.randrange(len(self.good) + 1)
        return self.good[:at] + self.draw.choice("=+/! \t\n%*é\0\"'") + self.good[at:]

    def _cut(self) -> str:
        begin = self.draw.randrange(len(self.good))
        end = self.draw.randrange(begin + 1, len(self.good) + 1)
        return self.good[:begin] + self.good[end:] if self.draw.random() < 0.5 else self.good[begin:end]

    def _parts(self) -> str:
        parts = [
            self.draw.choice([self.head, self.body, self.signature, "", "e30"])
            for _ in range(self.draw.choice([2, 3, 4, 5]))
        ]
        return ".".join(parts)

    def _grown(self) -> str:
        return self.good + self.draw.choice([".", "=", "==", "A", ".e30", "." + self.good, " ", self.good])

    def unsigned(self) -> Iterator[str]:
        """What who has no key tries with algorithms, keys of his own, and headers that point at them."""
        public = self.private.public_key()
        secrets = [
            public.public_bytes_raw(),
            public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
            encode(public.public_bytes_raw()).encode(),
            b"",
        ]
        richer = self.claims | {"role": "admin", "scope": "admin read trade withdraw account"}
        own = {"kty": "OKP", "crv": "Ed25519", "x": encode(STRANGER.public_key().public_bytes_raw())}
        rsa_key, ec_key = rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP256R1())
        for claims in (self.claims, richer):
            for alg in NONES:
                for signature in ("", self.signature, encode(b"\0" * 64), "AA"):
                    yield f"{encode(self.header | {'alg': alg})}.{encode(claims)}.{signature}"
            for secret in secrets:
                for alg, digest in (("HS256", "sha256"), ("HS384", "sha384"), ("HS512", "sha512"), ("EdDSA", "sha512")):
                    text = f"{encode(self.header | {'alg': alg})}.{encode(claims)}"
                    yield f"{text}.{encode(hmac.digest(secret, text.encode(), digest))}"
            for more in (
                {},
                {"jku": "http://127.0.0.1/keys"},
                {"x5u": "http://127.0.0.1/keys"},
                {"jwk": own},
                {"x5c": ["AA"]},
                {"jwk": own, "kid": "stranger"},
                {"crit": ["exp"]},
                {"b64": False},
                {"zip": "DEF"},
            ):
                yield jwt.encode(claims, STRANGER, "EdDSA", headers=self.header | more)
            yield jwt.encode(claims, rsa_key, "RS256", headers=self.header | {"alg": "RS256"})
            yield jwt.encode(claims, ec_key, "ES256", headers=self.header | {"alg": "ES256"})
        for kid in ODD_KIDS:
            yield self.signed({}, STRANGER, kid=kid)

    def missigned(self) -> Iterator[tuple[str, str]]:
        """What the venue's own key might sign for another purpose, or with other times: what it is, and the token."""
        now = int(time.time())
        for name in ("exp", "iat", "iss", "aud", "sub", "sid", "role", "scope"):
            yield f"without {name}", self.signed({name: None})
        for audience in (
            "venue-refresh",
            "venue-mfa",
            "venue-mail",
            "",
            ["venue-api", "other"],
            "VENUE-API",
            "venue-api ",
        ):
            yield f"audience {audience}", self.signed({"aud": audience})
        for issuer in ("elsewhere", "", "Venue"):
            yield f"issuer {issuer}", self.signed({"iss": issuer})
        for what, changes in (
            ("expired", {"exp": now - 60}),
            ("expires in text", {"exp": "tomorrow"}),
            ("expires in digits", {"exp": str(now + 60)}),
            ("version in text", {"ver": "one"}),
            ("lives too long", {"exp": now + 90_000}),
            ("issued later", {"iat": now + 600, "exp": now + 1200}),
            ("not yet", {"nbf": now + 600}),
            ("unknown role", {"role": "emperor"}),
        ):
            yield what, self.signed(changes)
        for typ in ODD_TYPES:
            yield f"type {typ}", self.signed({}, typ=typ)
        for kid in ODD_KIDS:
            yield f"kid {kid}", self.signed({}, kid=kid)
        yield "critical header", self.signed({}, crit=["venue"], venue=1)

    def signed(self, changes: JSON, key: Ed25519PrivateKey | None = None, **headers: Any) -> str:
        """A token whose signature holds; None takes a claim or header away."""
        header = {name: value for name, value in (self.header | headers).items() if value is not None}
        claims = {name: value for name, value in (self.claims | changes).items() if value is not None}
        text = f"{encode(header)}.{encode(claims)}"
        return f"{text}.{encode((key or self.private).sign(text.encode()))}"
