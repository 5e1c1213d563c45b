"""Keys that sign (S14): a call holds as it was signed, once, within five seconds, and what signs never travels.

Signatures are made by `http-message-signatures`, which others wrote after RFC 9421.
"""

import asyncio
import secrets
import time
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from redis.asyncio import Redis

from db.counters import open_counters
from db.nonces import Nonces
from servers.transport import signatures
from servers.transport.signatures import WINDOW_S
from tests.integration.auth.conftest import Auth, Open, bearer
from tests.integration.auth.test_api_keys import EMAIL, NOBODY, READ, TRADE, token_of
from tests.signing import Signer, signed_headers
from venue.auth.v1 import auth_pb2 as pb

PATH = "/venue.auth.v1.AuthService/WhoAmI"
QUOTA = "/venue.auth.v1.AuthService/GetQuota"
BODY = pb.WhoAmIRequest().SerializeToString()
Change = Callable[[dict[str, str]], dict[str, str]]


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_counters(redis_url, 20.0)
    yield client
    await client.aclose()


async def hmac_key(auth: Auth, token: str) -> Signer:
    asked = pb.CreateApiKeyRequest(name="bot", scopes=[READ, TRADE], signing=pb.API_KEY_SIGNING_HMAC_SHA256)
    made = await auth.stub.CreateApiKey(asked, metadata=bearer(token))
    return Signer(made.api_key.api_key_id, "hmac-sha256", made.secret.encode())


async def ed25519_key(auth: Auth, token: str) -> Signer:
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    asked = pb.CreateApiKeyRequest(
        name="bot", scopes=[READ, TRADE], signing=pb.API_KEY_SIGNING_ED25519, public_key=public
    )
    made = await auth.stub.CreateApiKey(asked, metadata=bearer(token))
    assert (made.secret, made.api_key.public_key) == ("", public)
    return Signer(made.api_key.api_key_id, "ed25519", private.private_bytes_raw())


def headers(signer: Signer, **more: Any) -> dict[str, str]:
    return signed_headers(signer, **{"method": "POST", "path": PATH, "body": BODY, **more})


async def ask(auth: Auth, given: dict[str, str]) -> pb.WhoAmIResponse:
    return await auth.stub.WhoAmI(pb.WhoAmIRequest(), metadata=tuple(given.items()))


@pytest.mark.parametrize("make", [hmac_key, ed25519_key])
async def test_s14_a_signed_call_is_its_owners_and_good_once(auth: Auth, make: Any) -> None:
    token = await token_of(auth)
    signer = await make(auth, token)
    given = headers(signer)
    me = await ask(auth, given)
    assert (me.api_key_id, me.user.email) == (signer.key_id, EMAIL)
    assert await auth.refused(ask(auth, given)) == ("UNAUTHENTICATED", "SIGNATURE_REPLAYED")
    # Of many at once one is the first.
    twin = headers(signer)
    told = await asyncio.gather(*(ask(auth, twin) for _ in range(10)), return_exceptions=True)
    assert sum(isinstance(each, pb.WhoAmIResponse) for each in told) == 1
    # A refused call has not used its nonce up.
    again = headers(signer)
    assert await auth.refused(ask(auth, again | {"content-digest": "sha-256=:AAAA:"})) == NOBODY
    await ask(auth, again)
    assert await auth.refused(ask(auth, headers(signer) | {"authorization": f"Bearer {token}"})) == NOBODY


def tampered(name: str, change: Callable[[str], str]) -> Change:
    return lambda given: given | {name: change(given[name])}


def flipped(text: str) -> str:
    label, _, rest = text.partition("=:")
    raw = bytearray(b64decode(rest[:-1]))
    raw[secrets.randbelow(len(raw))] ^= 1 << secrets.randbelow(8)
    return f"{label}=:{b64encode(raw).decode()}:"


WRONG: dict[str, Change] = {
    "another bit of the signature": tampered("signature", flipped),
    "a shorter signature": tampered("signature", lambda text: text[:-5] + ":"),
    "an empty signature": tampered("signature", lambda text: "sig=::"),
    "another label": tampered("signature", lambda text: text.replace("sig", "other", 1)),
    "no base64": tampered("signature", lambda text: "sig=:***:"),
    "a later time": tampered("signature-input", lambda text: text.replace(";created=", ";created=1", 1)),
    "another nonce": tampered("signature-input", lambda text: text.replace('nonce="', 'nonce="x', 1)),
    "a short nonce": tampered("signature-input", lambda text: text[: text.index("nonce=")] + 'nonce="short"'),
    "another algorithm": tampered("signature-input", lambda text: text.replace("hmac-sha256", "rsa-pss-sha512")),
    "a digest less": tampered("signature-input", lambda text: text.replace(' "content-digest"', "")),
    "the query twice": tampered("signature-input", lambda text: text.replace('"@query"', '"@query" "@query"')),
    "a parameter more": tampered("signature-input", lambda text: text + ';tag="x"'),
    "two signatures": tampered("signature-input", lambda text: f"{text}, {text}"),
    "far too long": tampered("signature-input", lambda text: text + ";x=1" * 300),
    "another key": lambda given: given | {"x-api-key": "key-other"},
    "no signature": lambda given: {name: given[name] for name in given if name != "signature"},
    "no input": lambda given: {name: given[name] for name in given if name != "signature-input"},
    "no digest": lambda given: {name: given[name] for name in given if name != "content-digest"},
    "nothing signed": lambda given: {"x-api-key": given["x-api-key"]},
}  # fmt: skip


async def test_s14_whatever_is_changed_the_signature_does_not_hold(auth: Auth) -> None:
    signer = await hmac_key(auth, await token_of(auth))
    for what, change in WRONG.items():
        assert await auth.refused(ask(auth, change(headers(signer)))) == NOBODY, what
    others: dict[str, dict[str, Any]] = {
        "another method": {"method": "GET"},
        "another path": {"path": QUOTA},
        "a query": {"query": "x=1"},
        "another body": {"body": b"x"},
        "another secret": {},
    }
    for what, more in others.items():
        by = Signer(signer.key_id, signer.algorithm, b"guess") if not more else signer
        assert await auth.refused(ask(auth, headers(by, **more))) == NOBODY, what
    # The call is another one than the one that was signed.
    given = tuple(headers(signer).items())
    assert await auth.refused(auth.stub.GetQuota(pb.GetQuotaRequest(), metadata=given)) == NOBODY
    listing = tuple(headers(signer, path="/venue.auth.v1.AuthService/ListApiKeys").items())
    other = auth.stub.ListApiKeys(pb.ListApiKeysRequest(page_size=1), metadata=listing)
    assert await auth.refused(other) == NOBODY
    await ask(auth, headers(signer))


async def test_s14_the_secret_of_a_key_that_signs_is_no_credential_and_lies_sealed(auth: Auth) -> None:
    token = await token_of(auth)
    signer, other = await hmac_key(auth, token), await ed25519_key(auth, token)
    for sent in (signer.secret.decode(), sha256(signer.secret).hexdigest(), "x"):
        assert await auth.refused(ask(auth, {"x-api-key": f"{signer.key_id}.{sent}"})) == NOBODY
    rows = str(await auth.rows("SELECT * FROM api_keys")) + str(await auth.rows("SELECT * FROM audit_entries"))
    assert signer.secret.decode() not in rows
    stored = await auth.rows(
        "SELECT secret_hash, secret IS NULL, public_key IS NULL FROM api_keys ORDER BY create_time"
    )
    assert stored == [(None, False, True), (None, True, False)]
    # A key that is sent with its secret does not sign.
    plain = await auth.stub.CreateApiKey(pb.CreateApiKeyRequest(name="x", scopes=[READ]), metadata=bearer(token))
    given = headers(Signer(plain.api_key.api_key_id, "hmac-sha256", plain.secret.encode()))
    assert await auth.refused(ask(auth, given)) == NOBODY
    listed = await auth.stub.ListApiKeys(pb.ListApiKeysRequest(), metadata=bearer(token))
    assert [each.signing for each in listed.api_keys] == [0, other_signing(other), other_signing(signer)]


def other_signing(signer: Signer) -> int:
    return pb.API_KEY_SIGNING_ED25519 if signer.algorithm == "ed25519" else pb.API_KEY_SIGNING_HMAC_SHA256


async def test_s14_a_signature_holds_within_five_seconds_of_now(auth: Auth, monkeypatch: pytest.MonkeyPatch) -> None:
    signer = await hmac_key(auth, await token_of(auth))
    # The server's clock is this process's: it stands while the edges are tried.
    now = time.time()
    monkeypatch.setattr("servers.transport.api_keys.time.time", lambda: now)
    for apart in (-WINDOW_S - 1, WINDOW_S + 1, -3600, 3600):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await ask(auth, headers(signer, created=int(now) + apart))
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert "set the clock" in str(refused.value.details())
    for apart in (1 - WINDOW_S, WINDOW_S):
        await ask(auth, headers(signer, created=int(now) + apart))
    # Only who has the key is told what is wrong with the time.
    stranger = Signer(signer.key_id, "hmac-sha256", b"guess")
    assert await auth.refused(ask(auth, headers(stranger, created=1))) == NOBODY
    assert signatures.REMEMBERED_S > 2 * WINDOW_S + 1


async def test_s14_another_server_knows_the_nonce_and_one_alone_still_its_own(open_auth: Open, redis: Redis) -> None:
    one, two = await open_auth(nonces=Nonces(redis)), await open_auth(nonces=Nonces(redis))
    signer = await ed25519_key(one, await token_of(one))
    given = headers(signer)
    await ask(one, given)
    assert await one.refused(ask(two, given)) == ("UNAUTHENTICATED", "SIGNATURE_REPLAYED")
    async with open_counters("redis://127.0.0.1:1", 0.1) as nowhere:
        alone = await open_auth(nonces=Nonces(nowhere))
        given = headers(signer)
        await ask(alone, given)
        assert await one.refused(ask(alone, given)) == ("UNAUTHENTICATED", "SIGNATURE_REPLAYED")


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"signing": pb.API_KEY_SIGNING_ED25519}, "public_key"),
        ({"signing": pb.API_KEY_SIGNING_ED25519, "public_key": b"x" * 31}, "public_key"),
        ({"signing": pb.API_KEY_SIGNING_HMAC_SHA256, "public_key": b"x" * 32}, "public_key"),
        ({"public_key": b"x" * 32}, "public_key"),
        ({"public_key": b"x" * 33}, "public_key"),
        ({"signing": 9}, "signing"),
    ],
)
async def test_s14_a_signing_that_makes_no_sense_is_refused(auth: Auth, fields: dict[str, Any], field: str) -> None:
    token = await token_of(auth)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await auth.stub.CreateApiKey(pb.CreateApiKeyRequest(name="x", scopes=[READ], **fields), metadata=bearer(token))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert str(refused.value.details()).startswith(f"{field}: ")
    assert await auth.rows("SELECT 1 FROM api_keys") == []
