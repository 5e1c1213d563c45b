"""Streams over REST: Server-Sent Events for who asks for them, else a JSON message a line, each frame as it is sent."""

import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.e2e.backends import STEPPED

SUBSCRIBE = "/v1/marketdata:subscribe?channels=CHANNEL_BOOK&symbols="


def nothing() -> None:
    pass


def read(
    client: httpx.Client, path: str, headers: dict[str, str], after_each: Callable[[], object] = nothing
) -> tuple[httpx.Response, list[bytes]]:
    """The answer, and its pieces as they arrived, something done after each."""
    pieces = []
    with client.stream("GET", path, headers=headers) as answer:
        for piece in answer.iter_raw():
            pieces.append(piece)
            after_each()
    return answer, pieces


def frames(pieces: list[bytes], before: bytes, after: bytes) -> list[Any]:
    for piece in pieces:
        assert piece.startswith(before)
        assert piece.endswith(after)
    return [json.loads(piece.removeprefix(before)) for piece in pieces]


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
    # The next is made only when the one before it has arrived: one that was held back would never be followed.
    answer, pieces = read(
        client, SUBSCRIBE + STEPPED, {"accept": accept}, lambda: client.get(f"/v1/markets/{STEPPED}").raise_for_status()
    )
    assert answer.status_code == 200
    assert answer.headers["content-type"] == kind
    got = frames(pieces, before, after)
    assert [next(name for name in ("ready", "event") if name in frame) for frame in got] == ["ready"] + ["event"] * 3
    assert [frame["sequence"] for frame in got] == ["0", "1", "2", "3"]


def test_a_silent_stream_outlives_the_clock_of_unary_calls(client: httpx.Client, bearer: dict[str, str]) -> None:
    _, pieces = read(client, "/v1/accounts/demo-1/stream", {"accept": "text/event-stream", **bearer})
    got = frames(pieces, b"data: ", b"\n\n")
    assert ["ready" in got[0], "heartbeat" in got[-1]] == [True, True]


def test_a_call_that_hangs_is_cut(client: httpx.Client, bearer: dict[str, str]) -> None:
    begun = time.monotonic()
    answer = client.get("/v1/fills?accountId=demo-1", headers=bearer)
    assert (answer.status_code, answer.json()["code"]) == (504, 4)
    assert answer.json()["details"][0]["reason"] == "TIMED_OUT"
    # Not by its answer, which would have come after it; how much later a busy machine says so is not asked.
    assert 4.5 < time.monotonic() - begun < 20


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
