"""Who comes in: the same rules for REST and gRPC, with keys that the gateway fetches from itself (AUT-2, AUT-7, S10)."""

import json
import time
from typing import Any

import grpc
import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from grpc_status import rpc_status

from servers.auth.keys import base64url
from tests.e2e.conftest import Tokens
from tests.e2e.gateway import Gateway
from venue.auth.v1 import auth_pb2, auth_pb2_grpc

REFUSED = {
    "code": 16,
    "message": "a valid access token is needed",
    "details": [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "UNAUTHENTICATED",
            "domain": "venue",
            "metadata": {},
        }
    ],
}


def test_a_token_that_the_venue_signed_is_good(client: httpx.Client, bearer: dict[str, str]) -> None:
    answer = client.get("/v1/auth/me", headers=bearer)
    assert answer.status_code == 200
    assert answer.json()["user"]["userId"] == "user-1"


def test_the_keys_are_served_to_everybody(client: httpx.Client, tokens: Tokens) -> None:
    answer = client.get("/.well-known/jwks.json")
    assert answer.status_code == 200
    assert answer.json() == {"keys": [tokens.key.jwk() | {"y": ""}]}


def encoded(part: dict[str, str]) -> str:
    return base64url(json.dumps(part).encode())


def bad_tokens(tokens: Tokens) -> dict[str, str]:
    now, good = int(time.time()), tokens.token()
    head, body, signature = good.split(".")
    other_key = ed25519.Ed25519PrivateKey.generate()
    public = tokens.key.jwk()["x"]
    return {
        "none": f"{encoded({'alg': 'none', 'kid': tokens.key.kid})}.{body}.",
        "expired": tokens.token(iat=now - 1000, nbf=now - 1000, exp=now - 60),
        "without an end": tokens.token(exp=None),
        "too long a life": tokens.token(exp=now + 1000),
        "not yet": tokens.token(nbf=now + 600),
        "another issuer": tokens.token(iss="elsewhere"),
        "another key of the same id": tokens.token(key=other_key),
        "another key": tokens.token(key=other_key, kid="unknown"),
        "another algorithm": tokens.token(key=ec.generate_private_key(ec.SECP256R1()), algorithm="ES256"),
        "signed with the public key": tokens.token(key=public.encode(), algorithm="HS256"),
        "tampered": f"{head}.{body[:-4]}AAAA.{signature}",
        "without a signature": f"{head}.{body}.",
        "not a token": "secret",
    }


def test_every_other_token_is_refused(client: httpx.Client, tokens: Tokens) -> None:
    for what, token in bad_tokens(tokens).items():
        answer = client.get("/v1/auth/me", headers={"authorization": f"Bearer {token}"})
        assert (answer.status_code, answer.json()) == (401, REFUSED), what


def test_a_token_for_somebody_else_is_forbidden(client: httpx.Client, tokens: Tokens) -> None:
    answer = client.get("/v1/auth/me", headers=tokens.bearer(aud="another-api"))
    assert (answer.status_code, answer.json()["code"]) == (403, 7)


def who(edge: Gateway, client: httpx.Client, authorization: str) -> list[str]:
    """Who the server takes the caller for, over REST, gRPC and gRPC-web; nobody where he is refused."""
    headers = {"authorization": authorization}
    over_rest = client.get("/v1/auth/me", headers=headers)
    found = [over_rest.json()["user"]["userId"] if over_rest.status_code == 200 else ""]
    with grpc.insecure_channel(edge.target) as channel:
        try:
            answer = auth_pb2_grpc.AuthServiceStub(channel).WhoAmI(
                auth_pb2.WhoAmIRequest(), metadata=tuple(headers.items()), timeout=5
            )
        except grpc.RpcError:
            answer = auth_pb2.WhoAmIResponse()
    found.append(answer.user.user_id)
    web = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", **headers}
    said = client.post("/venue.auth.v1.AuthService/WhoAmI", headers=web, content=bytes(5)).content
    # A frame of the answer, and the trailers; or these alone.
    size = int.from_bytes(said[1:5], "big") if said[:1] == b"\0" else 0
    return [*found, auth_pb2.WhoAmIResponse.FromString(said[5 : 5 + size]).user.user_id]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_the_name_of_the_scheme_is_good_in_any_case(
    edge: Gateway, client: httpx.Client, tokens: Tokens, scheme: str
) -> None:
    assert who(edge, client, f"{scheme} {tokens.token()}") == ["user-1"] * 3


@pytest.mark.parametrize("scheme", ["", "Basic ", "Token ", "Bearer, Bearer ", "BearerBearer ", "Bearer"])
def test_a_token_is_a_bearer_token(edge: Gateway, client: httpx.Client, tokens: Tokens, scheme: str) -> None:
    assert who(edge, client, scheme + tokens.token()) == [""] * 3
    # Also where a caller needs none.
    assert client.get("/v1/markets", headers={"authorization": scheme + tokens.token()}).status_code == 401


def test_no_token_is_no_entry_but_to_what_is_public(client: httpx.Client) -> None:
    assert client.get("/v1/auth/me").json() == REFUSED
    assert client.post("/v1/orders", json={}).json() == REFUSED
    assert client.get("/v1/markets").status_code == 200


def test_two_tokens_are_none(client: httpx.Client, tokens: Tokens) -> None:
    good = ("authorization", f"Bearer {tokens.token()}")
    for headers in ([good, ("authorization", "Bearer x")], [("authorization", "Bearer x"), good], [good, good]):
        assert client.get("/v1/auth/me", headers=headers).status_code == 401


def test_a_token_in_the_address_is_refused(edge: Gateway, client: httpx.Client, tokens: Tokens) -> None:
    token = tokens.token()
    answer = client.get("/v1/auth/me", params={"access_token": token})
    assert (answer.status_code, answer.json()["code"]) == (400, 3)
    path = "/venue.auth.v1.AuthService/WhoAmI"
    grpc_headers = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
    answer = client.post(f"{path}?access_token={token}", headers=grpc_headers, content=bytes(5))
    assert b"grpc-status:16\r\n" in answer.content
    assert token not in edge.access_log.read_text()


def test_a_key_passes_the_door_and_the_server_looks_at_it(client: httpx.Client, bearer: dict[str, str]) -> None:
    with_key = client.get("/v1/auth/me", headers={"x-api-key": "id.secret"})
    assert with_key.status_code == 401
    # Answered by the server: only servers give the id of the call.
    assert "RequestInfo" in with_key.text
    assert client.get("/v1/auth/me", headers={"x-api-key": "id.secret", **bearer}).status_code == 401


def test_a_public_method_does_not_swallow_a_bad_token(client: httpx.Client, tokens: Tokens) -> None:
    assert client.get("/v1/markets", headers=tokens.bearer()).json()["nextPageToken"] == "user-1"
    forged = tokens.token(key=ed25519.Ed25519PrivateKey.generate())
    assert client.get("/v1/markets", headers={"authorization": f"Bearer {forged}"}).status_code == 401


def who_am_i(edge: Gateway, *metadata: tuple[str, str]) -> grpc.RpcError:
    with grpc.insecure_channel(edge.target) as channel, pytest.raises(grpc.RpcError) as refused:
        auth_pb2_grpc.AuthServiceStub(channel).WhoAmI(auth_pb2.WhoAmIRequest(), metadata=metadata, timeout=5)
    return refused.value


def test_grpc_callers_get_a_status_with_a_reason(edge: Gateway, tokens: Tokens) -> None:
    for token, code, reason in (
        (None, grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
        (tokens.token(iss="elsewhere"), grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED"),
        (tokens.token(aud="another-api"), grpc.StatusCode.PERMISSION_DENIED, "NOT_PERMITTED"),
    ):
        error: Any = who_am_i(edge, *([("authorization", f"Bearer {token}")] if token else []))
        assert error.code() == code
        status: Any = rpc_status.from_call(error)
        assert status.message == error.details()
        assert reason.encode() in status.details[0].value


def test_headers_of_the_edge_cannot_be_sent_by_a_client(client: httpx.Client, bearer: dict[str, str]) -> None:
    answer = client.get("/v1/auth/me", headers={"x-forwarded-for": "203.0.113.9", **bearer})
    # The address that limits count: the gateway wrote it.
    assert answer.json()["user"]["displayName"] == "127.0.0.1"
