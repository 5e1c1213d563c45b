"""Second factor, API keys, sign-on and limits as clients meet them: through the gateway, over REST, gRPC and gRPC-web (AUT-3,
AUT-5, AUT-6, AUT-8, S14, S15).
"""

import json
import secrets
import threading
import time
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import grpc
import httpx
import psycopg
import pyotp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from google.protobuf import json_format
from typer.testing import CliRunner

from servers.auth import clients, field_keys
from servers.config import Settings
from servers.embedded.addresses import postgres_url
from servers.embedded.state import State
from servers.transport.identity import REVOKED_EVERY_S
from tests.e2e.launching import Venue, eventually
from tests.e2e.people import PASSWORD, Person, join, log_in
from tests.e2e.ways import Heard, Native, Refused, Rest, bearer, serialized
from tests.signing import Signer, signed_headers
from venue.auth.v1 import auth_pb2, auth_pb2_grpc

AUTH = "auth.v1.AuthService"


@pytest.fixture(scope="module")
def ada(rest: Rest) -> Person:
    return join(rest, "ada")


@pytest.fixture
def client(venue: Venue) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=venue.url, timeout=15) as made:
        yield made


def key_of(rest: Rest, person: Person, **more: object) -> tuple[str, str]:
    """A key's id and its credential."""
    asked = {"name": "bot", "scopes": ["SCOPE_READ", "SCOPE_TRADE"], **more}
    made = rest.call(f"{AUTH}.CreateApiKey", asked, person.token)
    key_id = made["apiKey"]["apiKeyId"]
    return key_id, f"{key_id}.{made['secret']}"


def test_aut5_a_person_enrolls_logs_in_steps_up_and_goes_back(rest: Rest) -> None:
    person = join(rest, "factor")
    begun = rest.call(f"{AUTH}.EnrollTotp", {}, person.token)
    assert begun["otpauthUri"].startswith("otpauth://totp/")
    clock = pyotp.TOTP(begun["secret"])
    rest.call(f"{AUTH}.ConfirmTotp", {"code": clock.now()}, person.token)
    with pytest.raises(Refused) as refused:
        log_in(rest, person.email)
    assert refused.value.said == ("UNAUTHENTICATED", "TOTP_REQUIRED")
    given = {"email": person.email, "password": PASSWORD, "totpCode": begun["recoveryCodes"][0]}
    token = rest.call(f"{AUTH}.Login", given)["accessToken"]
    with pytest.raises(Refused) as refused:
        rest.call(f"{AUTH}.Login", given)
    assert refused.value.said == ("UNAUTHENTICATED", "TOTP_INVALID")
    up = rest.call(f"{AUTH}.StepUp", {"totpCode": begun["recoveryCodes"][1]}, token)["accessToken"]
    assert rest.call(f"{AUTH}.WhoAmI", {}, up)["secondFactor"] is True
    rest.call(f"{AUTH}.DisableTotp", {}, up)
    log_in(rest, person.email)


def test_s14_a_key_trades_over_rest_grpc_and_grpc_web(
    venue: Venue, rest: Rest, client: httpx.Client, ada: Person
) -> None:
    key_id, key = key_of(rest, ada)
    headers = {"x-api-key": key}
    order = client.post("/v1/orders", json=ada.order("BUY", "1000", "0.01"), headers=headers).json()["order"]
    assert order["status"] == "ORDER_STATUS_OPEN"
    assert client.get(f"/v1/accounts/{ada.account_id}/balances", headers=headers).status_code == 200
    with grpc.insecure_channel(venue.target) as channel:
        stub = auth_pb2_grpc.AuthServiceStub(channel)
        me: Any = stub.WhoAmI(auth_pb2.WhoAmIRequest(), metadata=(("x-api-key", key),), timeout=10)
        assert me.api_key_id == key_id
    web = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", **headers}
    answer = client.post("/venue.auth.v1.AuthService/WhoAmI", headers=web, content=bytes(5)).content
    length = int.from_bytes(answer[1:5], "big")
    assert auth_pb2.WhoAmIResponse.FromString(answer[5 : 5 + length]).api_key_id == key_id
    assert client.get("/v1/auth/me", headers=headers).json()["user"]["email"] == ada.email
    assert client.get("/v1/api-keys", headers=headers).status_code == 403


def test_s14_a_signed_call_holds_over_rest_grpc_and_grpc_web(
    venue: Venue, rest: Rest, client: httpx.Client, ada: Person
) -> None:
    private = Ed25519PrivateKey.generate()
    public = b64encode(private.public_key().public_bytes_raw()).decode()
    asked = {"name": "bot", "scopes": ["SCOPE_READ", "SCOPE_TRADE"]}
    made = rest.call(f"{AUTH}.CreateApiKey", asked | {"signing": "API_KEY_SIGNING_HMAC_SHA256"}, ada.token)
    signers = [Signer(made["apiKey"]["apiKeyId"], "hmac-sha256", made["secret"].encode())]
    made = rest.call(
        f"{AUTH}.CreateApiKey", asked | {"signing": "API_KEY_SIGNING_ED25519", "publicKey": public}, ada.token
    )
    signers.append(Signer(made["apiKey"]["apiKeyId"], "ed25519", private.private_bytes_raw()))
    for signer in signers:
        body = json.dumps(ada.order("BUY", "1000", "0.01"), indent=1).encode()
        headers = signed_headers(signer, method="POST", path="/v1/orders", body=body)
        as_json = {"content-type": "application/json"}
        order = client.post("/v1/orders", content=body, headers=headers | as_json).json()["order"]
        assert order["status"] == "ORDER_STATUS_OPEN"
        again = client.post("/v1/orders", content=body, headers=headers | as_json)
        assert (again.status_code, again.json()["details"][0]["reason"]) == (401, "SIGNATURE_REPLAYED")
        # The bytes are signed, not what they mean; and nobody else's word is taken for them.
        headers = signed_headers(signer, method="POST", path="/v1/orders", body=body)
        forged = {"x-venue-body-sha256": headers["content-digest"].removeprefix("sha-256=:").removesuffix(":")}
        other = client.post("/v1/orders", content=body.replace(b"0.01", b"0.02"), headers=headers | as_json | forged)
        assert (other.status_code, other.json()["details"][0]["reason"]) == (401, "UNAUTHENTICATED")
        query = f"accountId={ada.account_id}&pageSize=1"
        headers = signed_headers(signer, method="GET", path="/v1/orders", body=b"", query=query)
        assert client.get(f"/v1/orders?{query}0", headers=headers).status_code == 401
        listed = client.get(f"/v1/orders?{query}", headers=headers).json()["orders"]
        assert [each["orderId"] for each in listed] == [order["orderId"]]
        path = f"/v1/orders/{order['orderId']}"
        headers = signed_headers(signer, method="DELETE", path=path, body=b"")
        assert client.get(path, headers=headers).status_code == 401
        assert client.delete(path, headers=headers).json()["order"]["status"] == "ORDER_STATUS_CANCELLED"
        stale = signed_headers(signer, method="GET", path="/v1/auth/me", body=b"", created=int(time.time()) - 60)
        refused = client.get("/v1/auth/me", headers=stale).json()["details"][0]
        assert refused["reason"] == "SIGNATURE_STALE"
        assert abs(int(refused["metadata"]["server_time"]) - time.time()) < 60
        path = "/venue.auth.v1.AuthService/WhoAmI"
        headers = signed_headers(signer, method="POST", path=path, body=b"")
        web = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
        answer = client.post(path, headers=headers | web, content=bytes(5)).content
        length = int.from_bytes(answer[1:5], "big")
        assert auth_pb2.WhoAmIResponse.FromString(answer[5 : 5 + length]).api_key_id == signer.key_id
        again = client.post(path, headers=headers | web, content=bytes(5))
        assert (again.headers["grpc-status"], again.content) == ("16", b"")
        path = f"/v1/orders:stream?accountId={ada.account_id}"
        headers = signed_headers(
            signer, method="GET", path="/v1/orders:stream", query=f"accountId={ada.account_id}", body=b""
        )
        with client.stream("GET", path, headers=headers) as streamed:
            assert "ready" in next(streamed.iter_lines())


def test_s14_the_gateway_hashes_bodies_of_every_length(rest: Rest, client: httpx.Client, ada: Person) -> None:
    asked = {"name": "bot", "scopes": ["SCOPE_TRADE"], "signing": "API_KEY_SIGNING_HMAC_SHA256"}
    made = rest.call(f"{AUTH}.CreateApiKey", asked, ada.token)
    signer = Signer(made["apiKey"]["apiKeyId"], "hmac-sha256", made["secret"].encode())
    for size in (2, 54, 55, 56, 57, 63, 64, 65, 119, 120, 1000, 100_000, 262_144):
        # Spaces belong to the body; what is no order is refused behind the door alone.
        body = f"{{{' ' * (size - 2)}}}".encode()
        headers = signed_headers(signer, method="POST", path="/v1/orders", body=body)
        answer = client.post("/v1/orders", content=body, headers=headers | {"content-type": "application/json"})
        assert (answer.status_code, answer.json()["details"][0]["reason"]) == (400, "INVALID_FIELD"), size
    headers = signed_headers(signer, method="POST", path="/v1/orders:cancelAll", body=b"")
    assert client.post("/v1/orders:cancelAll", headers=headers).status_code == 400


def test_s14_what_passes_the_door_and_what_does_not(rest: Rest, client: httpx.Client, ada: Person) -> None:
    _, key = key_of(rest, ada)
    good, bad, with_key = bearer(ada.token), bearer("x.y.z"), {"x-api-key": key}
    tried: tuple[dict[str, str], ...] = (
        {},
        with_key,
        bad,
        good,
        with_key | bad,
        with_key | good,
        {"x-api-key": f"{key}x"},
    )
    codes = [client.get("/v1/auth/me", headers=headers).status_code for headers in tried]
    assert codes == [401, 200, 401, 200, 401, 401, 401]


def test_s14_the_address_is_the_gateways_word(venue: Venue, rest: Rest, client: httpx.Client, ada: Person) -> None:
    _, here = key_of(rest, ada, ipAllowlist=["127.0.0.1"])
    _, elsewhere = key_of(rest, ada, ipAllowlist=["203.0.113.0/24"])
    forged = {"x-forwarded-for": "203.0.113.7", "x-venue-gateway": "guess"}
    assert client.get("/v1/auth/me", headers={"x-api-key": here} | forged).status_code == 200
    assert client.get("/v1/auth/me", headers={"x-api-key": elsewhere} | forged).status_code == 401
    # Past the gateway a server believes nobody about it.
    with grpc.insecure_channel(f"127.0.0.1:{venue.port('API')}") as channel:
        who_am_i = auth_pb2_grpc.AuthServiceStub(channel).WhoAmI
        metadata = (("x-api-key", elsewhere), *forged.items())
        with pytest.raises(grpc.RpcError) as refused:
            who_am_i(auth_pb2.WhoAmIRequest(), metadata=metadata, timeout=10)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_s14_a_revoked_key_ends_with_its_streams_within_5_s(
    venue: Venue, rest: Rest, client: httpx.Client, ada: Person
) -> None:
    key_id, key = key_of(rest, ada)
    native = Native(venue.target)
    described = native._bound("order.v1.OrderService.StreamOrders")
    path, read, parse = described
    streaming = native._channel.unary_stream(path, serialized, read)(
        parse({"accountId": ada.account_id}), metadata=(("x-api-key", key),)
    )
    heard = Heard((json_format.MessageToDict(frame) for frame in streaming), streaming.cancel)
    heard.until(lambda frames: any("ready" in frame for frame in frames), "ready")
    rest.call(f"{AUTH}.RevokeApiKey", {"apiKeyId": key_id}, ada.token)
    # Five seconds are promised, servers ask every two (REVOKED_EVERY_S); a busy machine gets more here.
    assert REVOKED_EVERY_S <= 2
    paths = ("/v1/auth/me", f"/v1/orders?accountId={ada.account_id}")
    eventually(lambda: {client.get(each, headers={"x-api-key": key}).status_code for each in paths} == {401}, "refused")
    frames = heard.until(lambda frames: any("goodbye" in frame for frame in frames), "goodbye")
    assert frames[-1]["goodbye"]["reason"] == "SESSION_REVOKED"
    heard.close()
    native.close()


def test_s15_no_credential_in_a_url(venue: Venue, rest: Rest, client: httpx.Client, ada: Person) -> None:
    _, key = key_of(rest, ada)
    for name, value in (
        ("access_token", ada.token),
        ("x-api-key", key),
        ("api_key", key),
        ("authorization", f"Bearer {ada.token}"),
    ):
        assert client.get("/v1/auth/me", params={name: value}).status_code == 400, name
        web = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1"}
        answer = client.post("/venue.auth.v1.AuthService/WhoAmI", params={name: value}, headers=web, content=bytes(5))
        assert b"grpc-status:16\r\n" in answer.content, name
        native = httpx.Client(http2=False, base_url=venue.url)
        with native:
            grpc_headers = {"content-type": "application/grpc", "te": "trailers"}
            direct = native.post(
                "/venue.auth.v1.AuthService/WhoAmI", params={name: value}, headers=grpc_headers, content=bytes(5)
            )
        assert direct.headers.get("grpc-status") == "16", name


class Desk(HTTPServer):
    """A small client program: a web server that signs its visitors on, and keeps what it was given."""

    def __init__(self, venue_url: str) -> None:
        super().__init__(("127.0.0.1", 0), Visit)
        self.venue_url = venue_url
        self.redirect_uri = f"http://127.0.0.1:{self.server_port}/back"
        self.verifiers: dict[str, str] = {}

    def begin(self) -> dict[str, str]:
        """What the terminal has to ask for."""
        state, verifier = secrets.token_urlsafe(16), secrets.token_urlsafe(48)
        self.verifiers[state] = verifier
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")
        return {"clientId": "desk", "redirectUri": self.redirect_uri, "codeChallenge": challenge, "state": state}


class Visit(BaseHTTPRequestHandler):
    server: Desk

    def do_GET(self) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        verifier = self.server.verifiers.pop(asked.get("state", ""), "")
        body = {
            "code": asked.get("code", ""),
            "codeVerifier": verifier,
            "clientId": "desk",
            "redirectUri": self.server.redirect_uri,
        }
        given = httpx.post(f"{self.server.venue_url}/v1/auth/exchange", json=body)
        self.send_response(given.status_code)
        self.end_headers()
        self.wfile.write(given.content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its own name
        """Codes do not belong into a log."""


Command = Callable[..., str]


@pytest.fixture
def command(venue: Venue, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command of the terminal on the venue's settings, in this process: a new one takes seconds to start."""
    for name, value in venue.environment().items():
        if name.startswith("VENUE_"):
            monkeypatch.setenv(name, value)
    settings, apps = Settings.load(), {"keys": field_keys.app, "clients": clients.app}

    def run(group: str, *arguments: str) -> str:
        ran = CliRunner().invoke(apps[group], list(arguments), obj=settings)
        assert ran.exit_code == 0, ran.output
        return ran.output

    return run


@pytest.fixture
def desk(venue: Venue, command: Command) -> Iterator[Desk]:
    with Desk(venue.url) as made:
        command("clients", "add", "desk", "--redirect-uri", made.redirect_uri, "--scope", "read", "--scope", "trade")
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()
        thread.join(10)


def test_aut3_a_client_program_signs_a_user_on(rest: Rest, client: httpx.Client, desk: Desk, ada: Person) -> None:
    given = rest.call(f"{AUTH}.Authorize", desk.begin(), ada.token)
    visited = httpx.get(given["redirectUri"])
    tokens = visited.json()
    me = rest.call(f"{AUTH}.WhoAmI", {}, tokens["accessToken"])
    assert (me["user"]["email"], me["scopes"]) == (ada.email, ["SCOPE_READ", "SCOPE_TRADE"])
    placed = rest.call("order.v1.OrderService.PlaceOrder", ada.order("BUY", "1000", "0.01"), tokens["accessToken"])
    assert placed["order"]["status"] == "ORDER_STATUS_OPEN"
    assert client.get("/v1/api-keys", headers=bearer(tokens["accessToken"])).status_code == 403
    # A second visit with the same code is refused, and ends what the first one gave.
    again = httpx.get(given["redirectUri"])
    assert (again.status_code, again.json()["details"][0]["reason"]) == (400, "INVALID_FIELD")  # the verifier is gone
    assert rest.call(f"{AUTH}.WhoAmI", {}, tokens["accessToken"])["user"]["email"] == ada.email


def test_aut8_every_answer_tells_what_is_left_and_get_quota_all_of_it(
    rest: Rest, client: httpx.Client, ada: Person
) -> None:
    _, key = key_of(rest, ada)
    headers = {"x-api-key": key}
    answers = [client.get("/v1/auth/me", headers=headers) for _ in range(2)]
    limit = int(answers[0].headers["ratelimit-limit"])
    assert limit >= int(answers[0].headers["ratelimit-remaining"]) >= limit - 10
    assert int(answers[0].headers["ratelimit-reset"]) >= 0
    placed = client.post("/v1/orders", json=ada.order("BUY", "1000", "0.01"), headers=headers)
    assert int(placed.headers["ratelimit-limit"]) > 0
    refused = client.get("/v1/accounts/nothing/balances", headers=headers)
    assert (refused.status_code, "ratelimit-remaining" in refused.headers) == (404, True)
    quotas = client.get("/v1/auth/quota", headers=headers).json()["quotas"]
    named = {(quota["server"], quota["bucket"].removeprefix("BUCKET_")) for quota in quotas if not quota["accountId"]}
    buckets = ("PUBLIC", "LOGIN", "READ", "ORDER", "CANCEL", "STREAM", "ADMIN")
    assert named == {(server, bucket) for server in ("api", "order", "marketdata") for bucket in buckets}
    accounts = {(quota["accountId"], quota["bucket"]) for quota in quotas if quota["accountId"]}
    assert accounts == {(ada.account_id, "BUCKET_ORDER"), (ada.account_id, "BUCKET_CANCEL")}
    assert all(0 <= quota["remaining"] <= quota["limit"] for quota in quotas)


def test_s24_keys_of_fields_are_changed_from_the_terminal(rest: Rest, venue: Venue, command: Command) -> None:
    person = join(rest, "sealed")
    begun = rest.call(f"{AUTH}.EnrollTotp", {}, person.token)
    assert "seals" in command("keys", "list")
    command("keys", "add")
    done = int(command("keys", "reencrypt").split()[0])
    assert done >= 1
    key = (venue.state / "secrets" / "field-keys").read_text().partition(":")[0]
    with psycopg.connect(postgres_url(State(venue.state).secret("postgres"), venue.port("POSTGRES"))) as connection:
        entries = connection.execute(
            "SELECT action, object, after->'fields' FROM audit_entries WHERE actor_kind = 'OPERATOR' AND action LIKE 'FIELD%'"
            " ORDER BY sequence DESC LIMIT 2"
        ).fetchall()
    assert entries == [("FIELD_KEYS_REENCRYPT", "", done), ("FIELD_KEY_ADD", f"field-key/{key}", None)]
    # The server runs since before the change, and reads the new key when it meets it.
    rest.call(f"{AUTH}.ConfirmTotp", {"code": pyotp.TOTP(begun["secret"]).now()}, person.token)
