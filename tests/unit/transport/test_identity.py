"""Which tokens are believed."""

import base64
import json
import time
from typing import Any

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from servers.domain.errors import PartUnavailable
from servers.transport.identity import TYPE, TokenVerifier
from servers.transport.refusals import NotAuthenticated
from tests.unit.transport.conftest import KID, Bench, Keys
from venue.order.v1 import order_service_pb2 as wire


def later() -> int:
    """Ten minutes from now: the tests may run long after they were read."""
    return int(time.time()) + 600


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def unsigned(keys: Keys, alg: str) -> str:
    return f"{encoded({'alg': alg, 'typ': TYPE, 'kid': KID})}.{encoded(keys.claims())}."


def with_public_key_as_secret(keys: Keys) -> str:
    # Long enough that the library itself does not mind.
    secret = keys.private.public_key().public_bytes_raw() * 2
    return jwt.encode(keys.claims(), secret, "HS256", {"kid": KID, "typ": TYPE})


def of_another_key(keys: Keys) -> str:
    return jwt.encode(keys.claims(), Ed25519PrivateKey.generate(), "EdDSA", {"kid": KID, "typ": TYPE})


def tampered(keys: Keys) -> str:
    header, _, signature = keys.token().split(".")
    return f"{header}.{encoded(keys.claims(role='admin'))}.{signature}"


def critical(keys: Keys) -> str:
    return keys.token({"crit": ["venue"], "venue": 1})


REFUSED = {
    "expired": lambda keys: keys.token(exp=int(time.time()) - 60),
    "no exp": lambda keys: keys.token(exp=None),
    "lives too long": lambda keys: keys.token(exp=int(time.time()) + 910),
    "no iat": lambda keys: keys.token(iat=None),
    "not yet valid": lambda keys: keys.token(nbf=later()),
    "issued in the future": lambda keys: keys.token(iat=later(), exp=later() + 60),
    "wrong audience": lambda keys: keys.token(aud="venue-refresh"),
    "no audience": lambda keys: keys.token(aud=None),
    "two audiences": lambda keys: keys.token(aud=["venue-api", "other"]),
    "wrong issuer": lambda keys: keys.token(iss="somebody"),
    "no issuer": lambda keys: keys.token(iss=None),
    "no subject": lambda keys: keys.token(sub=None),
    "no session": lambda keys: keys.token(sid=None),
    "unknown role": lambda keys: keys.token(role="emperor"),
    "alg none": lambda keys: unsigned(keys, "none"),
    "stripped signature": lambda keys: unsigned(keys, "EdDSA"),
    "HS256 with the public key": with_public_key_as_secret,
    "kid of another key": of_another_key,
    "unknown kid": lambda keys: keys.token({"kid": "key-2"}),
    "no kid": lambda keys: jwt.encode(keys.claims(), keys.private, "EdDSA", {"typ": TYPE}),
    "tampered": tampered,
    "unknown crit": critical,
    "another type": lambda keys: keys.token({"typ": "JWT"}),
    "no type": lambda keys: keys.token({"typ": None}),
    "not a token": lambda keys: "x.y.z",
    "empty": lambda keys: "",
    "too long": lambda keys: keys.token(email="x" * 5000),
}


@pytest.mark.parametrize("forge", REFUSED.values(), ids=REFUSED.keys())
async def test_a_bad_token_is_refused_everywhere_alike(bench: Bench, order: wire.PlaceOrderRequest, forge: Any) -> None:
    token = forge(bench.keys)
    refused = await bench.refused("PlaceOrder", order, (("authorization", f"Bearer {token}"),))
    assert (refused.code, refused.info.reason, refused.message) == (
        grpc.StatusCode.UNAUTHENTICATED,
        "UNAUTHENTICATED",
        "a valid access token is needed",
    )
    assert bench.orders.calls == []


@pytest.mark.parametrize("scheme", ["bearer", "BEARER", "bEaReR"])
async def test_the_name_of_the_scheme_is_good_in_any_case(
    bench: Bench, order: wire.PlaceOrderRequest, scheme: str
) -> None:
    await bench.call("PlaceOrder", order, (("authorization", f"{scheme} {bench.keys.token()}"),))
    assert len(bench.orders.calls) == 1


@pytest.mark.parametrize(
    "metadata",
    [
        (),
        (("authorization", "Basic dXNlcjpwYXNz"),),
        (("x-api-key", "key.secret"),),
        (("x-jwt-payload", "e30"), ("x-user-id", "user-1")),
    ],
)
async def test_nothing_else_is_a_credential(
    bench: Bench, order: wire.PlaceOrderRequest, metadata: tuple[tuple[str, str], ...]
) -> None:
    refused = await bench.refused("PlaceOrder", order, metadata)
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


async def test_two_credentials_are_none(bench: Bench, order: wire.PlaceOrderRequest) -> None:
    refused = await bench.refused("PlaceOrder", order, bench.metadata() * 2)
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


async def test_the_servicer_learns_who_calls(bench: Bench, order: wire.PlaceOrderRequest) -> None:
    await bench.call("PlaceOrder", order)
    (call,) = bench.orders.calls
    assert (call.user_id, call.identity.session_id, call.identity.email_verified) == ("user-1", "session-1", True)


async def test_a_scope_that_is_missing_is_named(bench: Bench, order: wire.PlaceOrderRequest) -> None:
    refused = await bench.refused("PlaceOrder", order, bench.metadata(bench.keys.token(scope="read")))
    assert (refused.code, refused.info.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED")
    assert dict(refused.info.metadata) == {"scope": "trade"}


async def test_scopes_that_this_version_does_not_know_permit_nothing(
    bench: Bench, order: wire.PlaceOrderRequest
) -> None:
    refused = await bench.refused("PlaceOrder", order, bench.metadata(bench.keys.token(scope="everything public")))
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED


async def test_a_revoked_session_ends_remembered_tokens(bench: Bench, order: wire.PlaceOrderRequest) -> None:
    metadata = bench.metadata()
    await bench.call("PlaceOrder", order, metadata)
    bench.keys.revoked.add("session-1")
    await bench.verifier.fetch_revoked()
    refused = await bench.refused("PlaceOrder", order, metadata)
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


async def test_a_remembered_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = Keys()
    verifier = TokenVerifier(keys.public)
    token = keys.token()
    identity = await verifier.verify(token)
    assert verifier.remembered(token) is identity
    monkeypatch.setattr(time, "time", lambda: identity.expires)
    assert verifier.remembered(token) is None


async def test_what_is_remembered_is_bounded() -> None:
    keys = Keys()
    verifier = TokenVerifier(keys.public, cache_size=2)
    tokens = [keys.token(jti=str(n)) for n in range(3)]
    for token in tokens:
        await verifier.verify(token)
    assert [verifier.remembered(token) is not None for token in tokens] == [False, True, True]


async def test_a_new_key_is_fetched_when_first_seen() -> None:
    old, new = Keys(), Keys()
    current = old

    async def source() -> dict[str, Any]:
        found = await current.public()
        found["keys"][0]["kid"] = "old" if current is old else "new"
        return found

    verifier = TokenVerifier(source)
    await verifier.fetch_keys()
    current = new
    verifier._fetched -= 60
    assert (await verifier.verify(new.token({"kid": "new"}))).user_id == "user-1"


async def test_without_any_key_the_venue_is_unavailable_and_with_old_ones_it_goes_on() -> None:
    keys, away = Keys(), True

    async def source() -> dict[str, Any]:
        if away:
            raise PartUnavailable("auth")
        return await keys.public()

    verifier = TokenVerifier(source)
    with pytest.raises(PartUnavailable):
        await verifier.verify(keys.token())
    away = False
    await verifier.fetch_keys()
    away = True
    await verifier.fetch_keys()
    assert (await verifier.verify(keys.token())).user_id == "user-1"


async def test_a_key_set_with_keys_of_other_kinds_uses_only_ours() -> None:
    keys = Keys()

    async def source() -> dict[str, Any]:
        found = await keys.public()
        found["keys"].append({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256", "kid": "symmetric"})
        return found

    verifier = TokenVerifier(source)
    await verifier.start()
    with pytest.raises(NotAuthenticated):
        await verifier.verify(jwt.encode(keys.claims(), "s" * 32, "HS256", {"kid": "symmetric", "typ": TYPE}))
    await verifier.stop()


async def test_a_changed_role_ends_tokens_of_a_lower_version(bench: Bench, order: wire.PlaceOrderRequest) -> None:
    before = bench.metadata()
    await bench.call("PlaceOrder", order, before)
    bench.keys.versions["user-1"] = 3
    await bench.verifier.fetch_revoked()
    for metadata in (before, bench.metadata(bench.keys.token(ver=2))):
        assert (await bench.refused("PlaceOrder", order, metadata)).code is grpc.StatusCode.UNAUTHENTICATED
    for version in (3, 4):
        await bench.call("PlaceOrder", order, bench.metadata(bench.keys.token(ver=version)))
    await bench.call("PlaceOrder", order, bench.metadata(bench.keys.token(sub="user-2")))
