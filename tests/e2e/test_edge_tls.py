"""TLS at the edge (OPS-7; S17 of the security checklist) and of both sides between the gateway and the servers."""

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest

from servers.embedded import certificates
from servers.embedded.certificates import Certificate
from servers.embedded.errors import StartError
from servers.transport.papers import INNER_NAME
from tests.e2e.conftest import has_keys
from tests.e2e.gateway import ROOT, STOP_S, Gateway, Ports, Shown, gateway, wait_until
from tests.e2e.test_gateway_grpc import ORDER
from venue.auth.v1 import auth_pb2, auth_pb2_grpc
from venue.marketdata.v1 import marketdata_pb2, marketdata_pb2_grpc
from venue.order.v1 import order_service_pb2_grpc


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def sealed(signing_key_file: Path, folder: Path) -> Iterator[Gateway]:
    """TLS at the edge and of both sides behind it, with the small servers."""
    ports, own = Ports.free(), folder / "own"
    papers = Shown(certificates.self_signed(own), certificates.issued(own, "envoy"))
    listening = [str(port) for port in (ports.order, ports.api, ports.marketdata)]
    log = folder / "backends.log"
    with log.open("wb") as output:
        command = [sys.executable, "-m", "tests.e2e.backends", str(signing_key_file), *listening, str(own)]
        backends = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT)
    try:
        with gateway(ports, folder, papers=papers) as running:
            wait_until(has_keys(ports), backends, log)
            yield running
    finally:
        backends.terminate()
        backends.wait(STOP_S)


@pytest.fixture(scope="module")
def edge_certificate(sealed: Gateway) -> Certificate:
    assert sealed.trust is not None
    return sealed.trust


@pytest.fixture(scope="module")
def believing(edge_certificate: Certificate) -> ssl.SSLContext:
    """Believes the certificate, and looks at the name in it."""
    return ssl.create_default_context(cafile=str(edge_certificate.chain))


def channel_of(sealed: Gateway, certificate: Certificate) -> grpc.Channel:
    return grpc.secure_channel(sealed.target, grpc.ssl_channel_credentials(certificate.chain.read_bytes()))


@pytest.mark.parametrize("http2", [False, True])
def test_s17_rest_over_tls(sealed: Gateway, believing: ssl.SSLContext, bearer: dict[str, str], http2: bool) -> None:
    with httpx.Client(base_url=sealed.url, verify=believing, http2=http2) as client:
        mine = client.get("/v1/auth/me", headers=bearer)
        nobody = client.get("/v1/auth/me")
        assert (mine.status_code, nobody.status_code) == (200, 401)
        assert mine.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
        for answer in (mine, nobody, client.get("/")):
            assert answer.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"


def test_s17_grpc_and_grpc_web_over_tls(
    sealed: Gateway, edge_certificate: Certificate, believing: ssl.SSLContext, bearer: dict[str, str]
) -> None:
    metadata = tuple(bearer.items())
    with channel_of(sealed, edge_certificate) as channel:
        orders = order_service_pb2_grpc.OrderServiceStub(channel)
        assert orders.PlaceOrder(ORDER, metadata=metadata, timeout=5).order.order_id == "1-7"
        asked = marketdata_pb2.SubscribeRequest(symbols=["ETH-USD"], channels=[marketdata_pb2.CHANNEL_BOOK])
        frames = marketdata_pb2_grpc.MarketDataServiceStub(channel).Subscribe(asked, timeout=10)
        assert [frame.WhichOneof("frame") for frame in frames] == ["ready", "event", "event", "event"]
        with pytest.raises(grpc.RpcError) as refused:
            auth_pb2_grpc.AuthServiceStub(channel).WhoAmI(auth_pb2.WhoAmIRequest(), timeout=5)
        error: Any = refused.value
        assert error.code() == grpc.StatusCode.UNAUTHENTICATED
    web = {"content-type": "application/grpc-web+proto", "x-grpc-web": "1", **bearer}
    with httpx.Client(base_url=sealed.url, verify=believing) as client:
        answer = client.post("/venue.auth.v1.AuthService/WhoAmI", headers=web, content=bytes(5))
    size = int.from_bytes(answer.content[1:5], "big")
    assert auth_pb2.WhoAmIResponse.FromString(answer.content[5 : 5 + size]).user.user_id == "user-1"


def handshake(sealed: Gateway, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(
        socket.create_connection(("127.0.0.1", sealed.ports.gateway), timeout=10), server_hostname="localhost"
    )


def test_s17_tls_1_2_is_refused_by_its_alert(sealed: Gateway, edge_certificate: Certificate) -> None:
    old = ssl.create_default_context(cafile=str(edge_certificate.chain))
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError) as refused:
        handshake(sealed, old)
    assert refused.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"


@pytest.mark.parametrize(
    ("offered", "chosen"), [(["h2", "http/1.1"], "h2"), (["http/1.1"], "http/1.1"), (["spdy/3"], None)]
)
def test_s17_tls_1_3_with_both_protocols_by_alpn(
    sealed: Gateway, edge_certificate: Certificate, offered: list[str], chosen: str | None
) -> None:
    context = ssl.create_default_context(cafile=str(edge_certificate.chain))
    context.set_alpn_protocols(offered)
    with handshake(sealed, context) as connection:
        assert (connection.version(), connection.selected_alpn_protocol()) == ("TLSv1.3", chosen)


def test_s17_who_speaks_plainly_gets_nothing(sealed: Gateway) -> None:
    with socket.create_connection(("127.0.0.1", sealed.ports.gateway), timeout=10) as connection:
        connection.sendall(b"GET /v1/markets HTTP/1.1\r\nhost: a\r\n\r\n")
        with suppress(ConnectionResetError):
            assert b"HTTP/" not in connection.recv(1000)


def test_s17_the_page_cannot_be_another_machines(sealed: Gateway, believing: ssl.SSLContext) -> None:
    raw = socket.create_connection(("127.0.0.1", sealed.ports.gateway), timeout=10)
    with raw, pytest.raises(ssl.SSLCertVerificationError):
        believing.wrap_socket(raw, server_hostname="venue.example")


def test_s17_servers_take_only_those_with_papers(sealed: Gateway, folder: Path) -> None:
    """Plain connections, TLS without a certificate, and a certificate of another authority get no answer."""
    authority, _ = certificates.issued(folder / "own", "server")
    _, stranger = certificates.issued(folder / "other", "server")
    good = certificates.papers(authority, certificates.issued(folder / "own", "operator")[1])
    roots = authority.read_bytes()
    foreign = grpc.ssl_channel_credentials(roots, stranger.key.read_bytes(), stranger.chain.read_bytes())
    named = [("grpc.ssl_target_name_override", INNER_NAME)]
    for port in (sealed.ports.order, sealed.ports.api, sealed.ports.marketdata):
        target = f"127.0.0.1:{port}"
        with grpc.secure_channel(target, good.to_ask(), named) as known:
            grpc.channel_ready_future(known).result(10)
        for shut in (
            grpc.insecure_channel(target),
            grpc.secure_channel(target, grpc.ssl_channel_credentials(roots), named),
            grpc.secure_channel(target, foreign, named),
        ):
            with shut:
                call: Any = shut.unary_unary("/grpc.health.v1.Health/Check")
                with pytest.raises(grpc.RpcError) as refused:
                    call(b"", timeout=5)
                error: Any = refused.value
                assert error.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED}


def test_s17_the_gateway_asks_only_servers_of_its_own_authority(signing_key_file: Path, folder: Path) -> None:
    """The same servers, under another authority: health checks fail and nothing is sent to them."""
    ports = Ports.free()
    (folder / "apart").mkdir()
    papers = Shown(None, certificates.issued(folder / "another", "envoy"))
    listening = [str(port) for port in (ports.order, ports.api, ports.marketdata)]
    command = [sys.executable, "-m", "tests.e2e.backends", str(signing_key_file), *listening, str(folder / "own")]
    with subprocess.Popen(command, cwd=ROOT) as backends:
        try:
            with gateway(ports, folder / "apart", papers=papers, behind=False) as running:
                good = certificates.papers(*certificates.issued(folder / "own", "operator"))
                named = [("grpc.ssl_target_name_override", INNER_NAME)]
                with grpc.secure_channel(f"127.0.0.1:{ports.order}", good.to_ask(), named) as known:
                    grpc.channel_ready_future(known).result(15)
                assert not running.healthy()
                assert httpx.get(f"{running.url}/v1/markets").status_code == 503
        finally:
            backends.terminate()


def test_a_certificate_is_made_once_and_again_before_it_runs_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = certificates.self_signed(folder / "renewed")
    first = made.chain.read_bytes()
    assert certificates.self_signed(folder / "renewed").chain.read_bytes() == first
    assert {path.stat().st_mode & 0o077 for path in (made.key, made.chain, made.key.parent)} == {0}
    monkeypatch.setattr(certificates, "RENEWED_BEFORE", certificates.LIFE)
    assert certificates.self_signed(folder / "renewed").chain.read_bytes() != first


def test_a_key_that_is_not_the_certificates_is_named(folder: Path) -> None:
    one, other = certificates.self_signed(folder / "one"), certificates.self_signed(folder / "two")
    with pytest.raises(StartError, match=r"is not the key of"):
        Certificate(one.chain, other.key).check()
    with pytest.raises(StartError, match=r"not a certificate and its key"):
        Certificate(one.key, one.key).check()
    with pytest.raises(StartError, match=r"not a certificate and its key"):
        Certificate(folder / "nothing.crt", one.key).check()
