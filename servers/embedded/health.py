"""Whether a server is ready, asked the way its clients ask."""

import socket
from urllib.error import URLError
from urllib.request import urlopen

import grpc
from grpc_health.v1 import health_pb2

PROBE_S = 1.0
# Channels to one address share their connection and its back-off; a probe wants to try now.
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))


def serving(host: str, port: int) -> bool:
    """Whether the gRPC server says SERVING."""
    if not listening(host, port):
        return False
    with grpc.insecure_channel(f"{host}:{port}", options=OWN_CONNECTION) as channel:
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


def listening(host: str, port: int) -> bool:
    """Whether anything accepts connections there."""
    try:
        socket.create_connection((host, port), timeout=PROBE_S).close()
    except OSError:
        return False
    return True


def answers(url: str) -> bool:
    """Whether a GET of the address is answered with success."""
    try:
        with urlopen(url, timeout=PROBE_S) as answer:  # noqa: S310  # nosec B310  the caller's own http address
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
