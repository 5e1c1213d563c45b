"""Signatures of calls: HTTP Message Signatures (RFC 9421) in one strict shape, over REST, gRPC and gRPC-web alike.

Signed are exactly method, path, query and the digest of the body (RFC 9530), a time and a nonce. Of gRPC and gRPC-web the body is
the message without the five bytes that frame it, and nothing where the caller streams; the path is the method's.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from servers.transport.refusals import NotAuthenticated

SIGNATURE_INPUT: Final = "signature-input"
SIGNATURE: Final = "signature"
CONTENT_DIGEST: Final = "content-digest"
# How far the clocks of caller and venue may be apart.
WINDOW_S: Final = 5
# A nonce is remembered for longer than a signature can hold: from 5 s before its time to 5 s after the second that it names.
REMEMBERED_S: Final = 3 * WINDOW_S
LENGTH_MAX: Final = 1024
COMPONENTS: Final = frozenset({"@method", "@path", "@query", CONTENT_DIGEST})
# By the names that the tables have for them.
ALGORITHMS: Final = {"HMAC_SHA256": "hmac-sha256", "ED25519": "ed25519"}
_VALUE: Final = r'(?:"[!#-\[\]-~]*"|[0-9]+)'
_NAMES: Final = r'"[a-z@-]+"(?: "[a-z@-]+")*'
_INPUT: Final = re.compile(
    rf"(?P<label>[a-z][a-z0-9_-]{{0,31}})=(?P<signed>\((?P<names>{_NAMES})\)(?P<more>(?:;[a-z]+={_VALUE})+))", re.ASCII
)
_PARAMETER: Final = re.compile(r';([a-z]+)=(?:"([!#-\[\]-~]*)"|([0-9]+))', re.ASCII)
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}", re.ASCII)


class Requested(NamedTuple):
    """What was asked for, as its caller wrote it; `body_sha256` as 32 bytes."""

    method: str
    path: str
    query: str
    body_sha256: bytes


class Signed(NamedTuple):
    """A signature that is well-formed, and what it says of itself: `created` in seconds since 1970."""

    key_id: str
    algorithm: str
    created: int
    nonce: str
    base: bytes
    signature: bytes


def read(signature_input: str, signature: str, content_digest: str, requested: Requested) -> Signed:
    """The headers of a signed call, which must be about this request. Raises NotAuthenticated."""
    if len(signature_input) > LENGTH_MAX or (found := _INPUT.fullmatch(signature_input)) is None:
        raise NotAuthenticated("no signature, or in another shape")
    names = [name.strip('"') for name in found["names"].split(" ")]
    if len(names) != len(COMPONENTS) or set(names) != COMPONENTS:
        raise NotAuthenticated("not exactly method, path, query and digest are signed")
    said = {name: text or number for name, text, number in _PARAMETER.findall(found["more"])}
    numbers = [name for name, _, number in _PARAMETER.findall(found["more"]) if number]
    if not {"created", "keyid", "nonce"} <= said.keys() <= {"created", "keyid", "nonce", "alg"} or numbers != [
        "created"
    ]:
        raise NotAuthenticated("a parameter of the signature is missing, or too many")
    if found["more"].count(";") != len(said) or len(said["created"]) > 12 or _NONCE.fullmatch(said["nonce"]) is None:
        raise NotAuthenticated("a parameter of the signature is not as it should be")
    if not compare_digest(content_digest.encode(), f"sha-256=:{b64encode(requested.body_sha256).decode()}:".encode()):
        raise NotAuthenticated("the digest is not the body's")
    values = {
        "@method": requested.method,
        "@path": requested.path,
        "@query": f"?{requested.query}",
        CONTENT_DIGEST: content_digest,
    }
    lines = [f'"{name}": {values[name]}' for name in names]
    base = "\n".join([*lines, f'"@signature-params": {found["signed"]}'])
    given = _bytes_of(found["label"], signature)
    return Signed(said["keyid"], said.get("alg", ""), int(said["created"]), said["nonce"], base.encode(), given)


def _bytes_of(label: str, signature: str) -> bytes:
    """Raises NotAuthenticated."""
    begin, end = f"{label}=:", ":"
    if len(signature) > LENGTH_MAX or not signature.startswith(begin) or not signature.endswith(end):
        raise NotAuthenticated("no signature under that label")
    try:
        return b64decode(signature[len(begin) : -len(end)].encode(), validate=True)
    except (BadBase64, UnicodeEncodeError):
        raise NotAuthenticated("the signature is no base64") from None


def verify_hmac(secret: bytes, signed: Signed) -> bool:
    return compare_digest(hmac_digest(secret, signed.base, sha256), signed.signature)


def verify_ed25519(public_key: bytes, signed: Signed) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signed.signature, signed.base)
    except (InvalidSignature, ValueError):
        return False
    return True
