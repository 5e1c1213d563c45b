"""Whether a server is ready, asked the way its clients ask."""

import re
import socket
import ssl
from http import HTTPStatus
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import grpc
from grpc_health.v1 import health_pb2

from servers.embedded.certificates import Certificate
from servers.transport.papers import INNER_NAME, Papers

PROBE_S = 1.0
QUOTES = re.compile(r'^venue_bot_quotes\{symbol="([^"]+)"\} (\S+)$', re.MULTILINE)
UNTRIED = re.compile(r"^venue_bot_untried (\S+)$", re.MULTILINE)
# Channels to one address share their connection and its back-off; a probe wants to try now.
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))


def serving(host: str, port: int, papers: Papers | None = None) -> bool:
    """Whether the gRPC server says SERVING."""
    if not listening(host, port):
        return False
    with probing(f"{host}:{port}", papers) as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = check(health_pb2.HealthCheckRequest(), timeout=PROBE_S)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def probing(target: str, papers: Papers | None) -> grpc.Channel:
    if papers is None:
        return grpc.insecure_channel(target, options=OWN_CONNECTION)
    named = [*OWN_CONNECTION, ("grpc.ssl_target_name_override", INNER_NAME)]
    return grpc.secure_channel(target, papers.to_ask(), options=named)


def listening(host: str, port: int) -> bool:
    """Whether anything accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=PROBE_S).close()
    except OSError:
        return False
    return True


def answers(url: str, trust: Certificate | None = None) -> bool:
    """Whether a GET of the address is answered with success."""
    return status_of(url, trust) == HTTPStatus.OK


def responds(url: str, trust: Certificate | None = None) -> bool:
    """Whether a GET of the address is answered, be it with a refusal."""
    return status_of(url, trust) is not None


def status_of(url: str, trust: Certificate | None) -> int | None:
    """What a GET of the address is answered with; None for no answer."""
    context = None
    if trust is not None:
        # The certificate itself is what is believed; the name in it need not lead to this machine.
        context = ssl.create_default_context(cafile=str(trust.chain))
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.check_hostname = False
    try:
        with urlopen(url, timeout=PROBE_S, context=context) as answer:  # noqa: S310  # nosec B310  the caller's own http address
            return int(answer.status)
    except HTTPError as refused:
        with refused:
            return refused.code
    except (URLError, OSError):
        return None


def quotes(host: str, metrics_port: int) -> tuple[bool, list[str]]:
    """Whether every market has answered the market maker's quotes, and the markets that have none of them."""
    try:
        with urlopen(f"http://{host}:{metrics_port}/metrics", timeout=PROBE_S) as answer:  # nosec B310  our own
            page = answer.read().decode()
    except (URLError, OSError):
        return False, []
    untried = UNTRIED.search(page)
    answered = untried is not None and float(untried[1]) == 0
    return answered, [symbol for symbol, resting in QUOTES.findall(page) if float(resting) == 0]
