"""What costs a hash and needs no credential is counted by the gateway, of everybody together (F36)."""

import base64
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import status_pb2

from tests.e2e.gateway import Gateway, Ports, connection, gateway, http_filters
from tests.e2e.test_edge_limits import details
from venue.auth.v1 import auth_pb2, auth_pb2_grpc

AT_ONCE = 4
LOGIN = {"email": "nobody@example.com", "password": "quiet harbour lantern"}
WEB = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
OVERLOADED = ("OVERLOADED", 1.0, "venue")


@pytest.fixture
def narrow(edge: Gateway, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """Four at once, and no more of them for an hour. One proxy stands before it, so that calls have addresses."""
    ports = Ports.free()
    behind = replace(edge.ports, gateway=ports.gateway, admin=ports.admin, administration=ports.administration)

    def few(tree: Any) -> None:
        bucket = http_filters(tree)["logins"]["descriptors"][0]["token_bucket"]
        bucket |= {"max_tokens": AT_ONCE, "tokens_per_fill": 1, "fill_interval": "3600s"}
        connection(tree)["xff_num_trusted_hops"] = 1

    with gateway(behind, tmp_path_factory.mktemp("narrow"), change=few) as running:
        yield running


def test_f36_log_ins_of_everybody_are_counted_together_in_every_form(narrow: Gateway) -> None:
    places = iter(range(1, 250))

    def post(path: str, **how: Any) -> httpx.Response:
        return httpx.post(f"{narrow.url}{path}", headers={"x-forwarded-for": f"198.51.100.{next(places)}"}, **how)

    with grpc.insecure_channel(narrow.target) as channel:
        log_in: Any = auth_pb2_grpc.AuthServiceStub(channel).Login

        def over_grpc() -> Any:
            own = (("x-forwarded-for", f"198.51.100.{next(places)}"),)
            with pytest.raises(grpc.RpcError) as refused:
                log_in(auth_pb2.LoginRequest(**LOGIN), metadata=own, timeout=5)
            return refused.value

        # Each form takes one: what the server says to them is not this limit's word.
        assert post("/v1/auth/login", json=LOGIN).status_code != 429
        assert post("/v1/auth/login?pretty=1", json=LOGIN).status_code != 429
        assert post("/v1/auth/register", json=LOGIN).status_code != 429
        assert over_grpc().code() != grpc.StatusCode.RESOURCE_EXHAUSTED
        for path in ("/v1/auth/login", "/v1/auth/register", "//v1/auth/./login", "/v1/auth/login?again"):
            refused = post(path, json=LOGIN)
            assert (path, refused.status_code) == (path, 429)
            assert int(refused.headers["retry-after"]) > 0
            kinds = {part["@type"].rpartition(".")[2]: part for part in refused.json()["details"]}
            assert kinds["ErrorInfo"]["reason"] == "OVERLOADED"
        error = over_grpc()
    assert error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    packed = dict(error.trailing_metadata())["grpc-status-details-bin"]
    assert details(status_pb2.Status.FromString(packed)) == OVERLOADED
    for method in ("Login", "Register"):
        path = f"/venue.auth.v1.AuthService/{method}"
        frame = httpx.post(f"{narrow.url}{path}", headers=WEB, content=bytes(5)).content
        lines = dict(line.split(":", 1) for line in frame[5:].decode().split("\r\n")[:-1])
        assert lines["grpc-status"] == "8"
        told = status_pb2.Status.FromString(base64.b64decode(lines["grpc-status-details-bin"]))
        assert details(told) == OVERLOADED
    # Who is in already does not feel it: tokens are renewed, and everything else goes on.
    assert post("/v1/auth/refresh", json={"refreshToken": "r"}).status_code != 429
    assert httpx.get(f"{narrow.url}/v1/markets").status_code == 200
