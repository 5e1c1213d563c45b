"""Streams over REST: Server-Sent Events for who asks for them, else a JSON message a line, each frame as it is sent."""

import itertools
import json
import time
from typing import Any

import httpx
import pytest

SUBSCRIBE = "/v1/marketdata:subscribe?channels=CHANNEL_BOOK&symbols="


def read(client: httpx.Client, path: str, headers: dict[str, str]) -> tuple[httpx.Response, list[tuple[float, bytes]]]:
    """The answer, and its pieces with the seconds after which each arrived."""
    begun, pieces = time.monotonic(), []
    with client.stream("GET", path, headers=headers) as answer:
        for piece in answer.iter_raw():
            pieces.append((time.monotonic() - begun, piece))  # noqa: PERF401  the time is that of the arrival
    return answer, pieces


def frames(pieces: list[tuple[float, bytes]], before: bytes, after: bytes) -> list[Any]:
    for _, piece in pieces:
        assert piece.startswith(before)
        assert piece.endswith(after)
    return [json.loads(piece.removeprefix(before)) for _, piece in pieces]


@pytest.mark.parametrize(
    ("accept", "kind", "before", "after"),
    [
        ("text/event-stream", "text/event-stream", b"data: ", b"\n\n"),
        ("application/json, text/event-stream;q=0.5", "text/event-stream", b"data: ", b"\n\n"),
        ("application/json", "application/json", b"", b"\n"),
        ("*/*", "application/json", b"", b"\n"),
    ],
)
def test_each_frame_arrives_when_it_is_sent(
    client: httpx.Client, accept: str, kind: str, before: bytes, after: bytes
) -> None:
    answer, pieces = read(client, SUBSCRIBE + "ETH-USD", {"accept": accept})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind
    got = frames(pieces, before, after)
    assert [next(name for name in ("ready", "event") if name in frame) for frame in got] == ["ready"] + ["event"] * 3
    assert [frame["sequence"] for frame in got] == ["0", "1", "2", "3"]
    arrived = [when for when, _ in pieces]
    assert min(later - earlier for earlier, later in itertools.pairwise(arrived)) > 0.15, arrived


def test_a_silent_stream_outlives_the_clock_of_unary_calls(client: httpx.Client, bearer: dict[str, str]) -> None:
    _, pieces = read(client, "/v1/accounts/demo-1/stream", {"accept": "text/event-stream", **bearer})
    got = frames(pieces, b"data: ", b"\n\n")
    assert ["ready" in got[0], "heartbeat" in got[-1]] == [True, True]


def test_a_call_that_hangs_is_cut(client: httpx.Client, bearer: dict[str, str]) -> None:
    begun = time.monotonic()
    answer = client.get("/v1/fills?accountId=demo-1", headers=bearer)
    assert (answer.status_code, answer.json()["code"]) == (504, 4)
    assert answer.json()["details"][0]["reason"] == "TIMED_OUT"
    assert 4.5 < time.monotonic() - begun < 6


def test_asking_for_events_changes_nothing_for_other_calls(client: httpx.Client) -> None:
    answer = client.get("/v1/markets/ETH-USD", headers={"accept": "text/event-stream"})
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["market"]["symbol"] == "ETH-USD"


@pytest.mark.parametrize("accept", ["text/event-stream", "*/*"])
def test_a_stream_that_is_refused_is_an_error_like_any_other(client: httpx.Client, accept: str) -> None:
    for path, status in ((SUBSCRIBE + "NO-SUCH", 404), ("/v1/orders:stream?accountId=a", 401), (SUBSCRIBE, 400)):
        answer = client.get(path, headers={"accept": accept})
        assert answer.status_code == status, path
        assert answer.headers["content-type"] == "application/json"


def test_every_stream_can_be_read_over_rest(client: httpx.Client, bearer: dict[str, str]) -> None:
    _, pieces = read(client, "/v1/orders:stream?accountId=demo-1", bearer)
    assert [frame["streamId"] for frame in frames(pieces, b"", b"\n")] == ["demo-1"]
