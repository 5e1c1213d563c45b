"""The conformance kit: a venue that keeps the contract passes it, and each check finds the venue that breaks its sentence."""

import itertools
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import httpx

from servers.conformance.kit import CHECKS, asked
from servers.conformance.visit import Visit
from tests.e2e.gateway import ROOT
from tests.e2e.launching import Venue
from tests.servers import free_port
from venue.marketdata.v1 import marketdata_pb2
from venue.order.v1 import order_service_pb2

RUN_S = 120.0
# What a broken venue says in place of an answer: changes status, headers and text of it.
Change = Callable[[httpx.Request, httpx.Response, str], tuple[int, str]]


def conformance(venue: Venue, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        venue.command("conformance", *arguments),
        cwd=ROOT,
        env=venue.environment() | {"COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=RUN_S,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout + done.stderr


def test_a_running_venue_keeps_the_contract(venue: Venue) -> None:
    """Without a target the configured gateway is asked."""
    status, printed = conformance(venue)
    assert status == 0, printed
    assert f"kept at {venue.target}" in printed
    assert [check.says for check in CHECKS if not re.search(re.escape(check.says) + r" +yes", printed)] == []
    assert f"{len(CHECKS)} of {len(CHECKS)} kept" in printed


def test_where_nobody_listens_it_says_so(venue: Venue) -> None:
    target = f"127.0.0.1:{free_port()}"
    status, printed = conformance(venue, "--target", target)
    assert (status, printed.strip().splitlines()[-1].startswith(f"nothing can be asked at {target}")) == (1, True)
    assert conformance(venue, "--target", "no port:x")[0] == 2


def said(old: str, new: str) -> Change:
    """Another text, wherever it stands."""
    return lambda _request, answer, text: (answer.status_code, re.sub(old, new, text))


def status(path: str, code: int) -> Change:
    return lambda request, answer, text: (code if request.url.path == path else answer.status_code, text)


def header(name: str, value: str | None) -> Change:
    """Another header, or none."""

    def change(_request: httpx.Request, answer: httpx.Response, text: str) -> tuple[int, str]:
        answer.headers.pop(name, None)
        if value is not None:
            answer.headers[name] = value
        return answer.status_code, text

    return change


def every_second(change: Change) -> Change:
    """The second answer, the fourth, and so on."""
    count = itertools.count(1)
    return lambda request, answer, text: (
        (answer.status_code, text) if next(count) % 2 else change(request, answer, text)
    )


OVER_REST: dict[str, Change] = {
    "Register answers a known address as a new one": every_second(said("Check your mail", "Welcome")),
    "Login answers a Bearer token that says who one is": said('"Bearer"', '"MAC"'),
    "a wrong password is 401 CREDENTIALS_INVALID": said("CREDENTIALS_INVALID", "NO_SUCH_USER"),
    "a refresh changes the token, and a repeat answers alike": said("REFRESH_TOKEN_INVALID", "UNAUTHENTICATED"),
    "without a token: 401 UNAUTHENTICATED": status("/v1/accounts", 403),
    "the public keys are published, and nothing private": said('"kid"', '"d":"x","kid"'),
    "a limit order rests, and is found by its label": said('"rests"', '""'),
    "the same request_id again is the same order": said('"replayed": ?true', '"replayed":false'),
    "reads wait for min_position; holds are to the digit": said('"held": ?"', '"held":"1'),
    "decimals are plain; others are refused by field": said('"field": ?"price"', '"field":"quantity"'),
    "a price off the tick is rejected, not rounded": said("ORDER_STATUS_REJECTED", "ORDER_STATUS_OPEN"),
    "an order beyond funds is OK with status REJECTED": said("ORDER_STATUS_REJECTED", "ORDER_STATUS_OPEN"),
    "a second cancel is FAILED_PRECONDITION": said("ORDER_CLOSED", "ORDER_NOT_FOUND"),
    "unknown orders and markets are NOT_FOUND": status("/v1/markets/NO-SUCH", 400),
    "pages hold everything once": said('"nextPageToken": ?"[^"]+"', '"nextPageToken":""'),
    "Server-Sent Events over REST": header("content-type", "application/json"),
    "gRPC and REST refuse with the same details": said('"field": ?"price"', '"field":"quantity"'),
    "unknown query parameters are refused": status("/v1/orders", 200),
    "limits are told in headers": header("ratelimit-reset", None),
    "request ids are the edge's own": header("x-request-id", "01234567-89ab-cdef-0123-456789abcdef"),
    "CORS: pages of other origins may not read": header("access-control-allow-origin", "*"),
    "answers are JSON and nosniff": header("x-content-type-options", None),
    "health over HTTP and gRPC": status("/healthz", 503),
}


def event_out_of_its_chain(message: Any) -> None:
    if isinstance(message, order_service_pb2.StreamOrdersResponse) and message.WhichOneof("frame") == "event":
        message.previous_sequence += 1


def position_unread(message: Any) -> None:
    if isinstance(message, order_service_pb2.StreamOrdersRequest):
        message.resume_after = ""


def checksum_wrong(message: Any) -> None:
    if isinstance(message, marketdata_pb2.SubscribeResponse) and message.WhichOneof("frame") == "snapshot":
        message.snapshot.book.checksum ^= 1


def description_missing(message: Any) -> None:
    if message.DESCRIPTOR.name == "ServerReflectionResponse":
        message.file_descriptor_response.Clear()


def untouched(_message: Any) -> None:
    return None


OVER_GRPC: dict[str, Callable[[Any], None]] = {
    "orders are told in a chain, and replayed after a position": event_out_of_its_chain,
    "a position of nowhere is POSITION_INVALID": position_unread,
    "books begin with a snapshot and have their checksum": checksum_wrong,
    "reflection describes the services": description_missing,
    # This one answers where another method would.
    "the engine's own service is not routed": untouched,
}


class Wrong(httpx.AsyncHTTPTransport):
    """The venue's answers, changed."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self._change = change

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await super().handle_async_request(request)
        if ":stream" in request.url.path:
            self._change(request, answer, "")
            return answer
        await answer.aread()
        status, text = self._change(request, answer, answer.text)
        headers = {
            name: value for name, value in answer.headers.items() if name not in {"content-length", "content-encoding"}
        }
        return httpx.Response(status, headers=headers, content=text.encode())


class WrongChannel:
    """The venue's messages, changed as they are read or written."""

    def __init__(self, channel: grpc.aio.Channel, change: Callable[[Any], None]) -> None:
        self._channel = channel
        self._change = change

    def __getattr__(self, kind: str) -> Callable[..., Any]:
        make = getattr(self._channel, kind)

        def made(path: str, request_serializer: Any = None, response_deserializer: Any = None, **more: Any) -> Any:
            def write(message: Any) -> bytes:
                self._change(message)
                written: bytes = request_serializer(message)
                return written

            def read(data: bytes) -> Any:
                message = response_deserializer(data)
                self._change(message)
                return message

            if request_serializer is None:
                return make("/venue.marketdata.v1.MarketDataService/ListMarkets")
            return make(path, request_serializer=write, response_deserializer=read, **more)

        return made


async def test_each_check_finds_the_venue_that_breaks_its_sentence(venue: Venue) -> None:
    assert {check.says for check in CHECKS} == set(OVER_REST) | set(OVER_GRPC)
    passed = []
    async with (
        grpc.aio.insecure_channel(venue.target) as channel,
        httpx.AsyncClient(base_url=venue.url, timeout=15) as rest,
    ):
        visit = Visit(rest, channel, "ETH-USD")
        await visit.prepare()
        for check in CHECKS:
            if check.says in OVER_REST:
                transport = Wrong(OVER_REST[check.says])
                async with httpx.AsyncClient(base_url=venue.url, timeout=15, transport=transport) as wrong:
                    why = await asked(replace(visit, rest=wrong), check)
            else:
                broken: Any = WrongChannel(channel, OVER_GRPC[check.says])
                why = await asked(replace(visit, channel=broken), check)
            if not why:
                passed.append(check.says)
            await visit.good("POST", "/v1/orders:cancelAll", {"accountId": visit.account_id})
    assert passed == []
