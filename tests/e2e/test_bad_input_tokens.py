"""Credentials that were tampered with, at the gateway and at a server itself."""

import base64
import json
import time
from typing import Any

import grpc
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from tests.e2e.launching import Venue
from tests.e2e.probe import GrpcProbe, RestProbe, Victim

ME = "auth.v1.AuthService.WhoAmI"


def encoded(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=")


def forgeries(token: str) -> dict[str, str]:
    """Tokens that carry a good token's claims, or changed ones, under a signature that does not hold."""
    head, body, signature = token.split(".")
    header = jwt.get_unverified_header(token)
    claims = jwt.decode(token, options={"verify_signature": False})
    stranger = ed25519.Ed25519PrivateKey.generate()
    public = stranger.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    richer = encoded(claims | {"role": "ADMIN", "scope": "admin read trade account"})
    kid = {"kid": header["kid"], "typ": header["typ"]}
    return {
        "no algorithm": f"{encoded({'alg': 'none', 'kid': header['kid']})}.{body}.",
        "no signature": f"{head}.{body}.",
        "two parts": f"{head}.{body}",
        "more rights": f"{head}.{richer}.{signature}",
        "another key": jwt.encode(claims, stranger, "EdDSA", headers=kid),
        "another key of its own": jwt.encode(claims, stranger, "EdDSA", headers=kid | {"kid": "stranger"}),
        "no key named": jwt.encode(claims, stranger, "EdDSA", headers={"typ": header["typ"]}),
        "a shared secret": jwt.encode(claims, base64.b64encode(public), "HS256", headers=kid),
        "RSA": jwt.encode(claims, rsa_key, "RS256", headers=kid),
        "a key it brings along": jwt.encode(claims, stranger, "EdDSA", headers=kid | {"jku": "http://127.0.0.1/keys"}),
        "expired": jwt.encode(claims | {"exp": int(time.time()) - 60}, stranger, "EdDSA", headers=kid),
        "not a token": "nonsense",
        "empty parts": "..",
        "very long": "a" * 8_000,
    }


@pytest.mark.usefixtures("untouched")
def test_forged_tokens_are_refused_over_rest(over_rest: RestProbe, victim: Victim) -> None:
    made = forgeries(victim.person.token)
    answers = {name: over_rest.ask(ME, {}, token).code for name, token in made.items()}
    assert answers == dict.fromkeys(made, "UNAUTHENTICATED")


@pytest.mark.usefixtures("untouched")
def test_forged_tokens_are_refused_over_grpc(over_grpc: GrpcProbe, victim: Victim) -> None:
    made = forgeries(victim.person.token)
    answers = {name: over_grpc.ask(ME, {}, token).code for name, token in made.items()}
    assert answers == dict.fromkeys(made, "UNAUTHENTICATED")


def test_b07_two_credentials_are_none(venue: Venue, victim: Victim) -> None:
    """Even where each of them is good, as who reads the other one of the two may come to another end."""
    good = ("authorization", f"Bearer {victim.person.token}")
    for pair in ([good, good], [good, ("authorization", "Bearer nonsense")], [("authorization", "Basic eDp5"), good]):
        answer = httpx.get(f"{venue.url}/v1/auth/me", headers=pair)
        assert (answer.status_code, answer.json()["code"]) == (401, 16), answer.text
        for target in (venue.target, f"127.0.0.1:{venue.port('API')}"):
            with grpc.insecure_channel(target) as channel:
                call: Any = channel.unary_unary("/venue.auth.v1.AuthService/WhoAmI")
                with pytest.raises(grpc.RpcError) as refused:
                    call(b"", metadata=tuple(pair), timeout=5)
                error: Any = refused.value
                assert error.code() == grpc.StatusCode.UNAUTHENTICATED, target


def test_each_server_looks_for_itself(venue: Venue, victim: Victim) -> None:
    # Who is past the gateway is not past the guard.
    for name, path in (
        ("API", "/venue.auth.v1.AuthService/WhoAmI"),
        ("ORDER", "/venue.order.v1.OrderService/ListOrders"),
    ):
        with grpc.insecure_channel(f"127.0.0.1:{venue.port(name)}") as channel:
            call: Any = channel.unary_unary(path)
            for forgery, token in forgeries(victim.person.token).items():
                with pytest.raises(grpc.RpcError) as refused:
                    call(b"", metadata=(("authorization", f"Bearer {token}"),), timeout=5)
                error: Any = refused.value
                assert error.code() == grpc.StatusCode.UNAUTHENTICATED, (name, forgery)


def test_what_a_customer_may_not_do(venue: Venue, victim: Victim) -> None:
    with grpc.insecure_channel(venue.target) as channel:
        call: Any = channel.unary_unary("/venue.engine.v1.EngineService/Query")
        with pytest.raises(grpc.RpcError) as refused:
            call(b"", metadata=(("authorization", f"Bearer {victim.person.token}"),), timeout=5)
        error: Any = refused.value
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED
