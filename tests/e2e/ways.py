"""The ways to call the venue through its gateway, behind one interface: requests and answers are the contract's JSON.

So one story can be told in every way, and has to come out the same.
"""

import json
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import grpc
import httpx
from google.protobuf import json_format, message_factory
from google.protobuf.message import Message
from google.rpc import error_details_pb2 as _details  # noqa: F401  imported for what it registers with the pool
from grpc_status import rpc_status

from tests.contract.descriptors import methods
from tests.e2e.gateway import ROOT
from tests.e2e.launching import eventually
from tests.e2e.rest import Json, form

CODES = {code.value[0]: code.name for code in grpc.StatusCode}
CALL_S = 10.0


class Refused(Exception):
    """The code's name, the reason of ErrorInfo, and the details as JSON where the way shows them."""

    def __init__(self, code: str, reason: str, text: str = "", details: Sequence[Json] = ()) -> None:
        super().__init__(code, reason, text)
        self.code = code
        self.reason = reason
        self.text = text
        self.details = details

    @property
    def said(self) -> tuple[str, str]:
        return self.code, self.reason


class Heard:
    """The frames of a stream that have come so far; a thread of its own reads them."""

    def __init__(self, frames: Iterator[Json], hang_up: Callable[[], object]) -> None:
        self.frames: list[Json] = []
        self.ended = False
        self._incoming = frames
        self._hang_up = hang_up
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        # Hung up, or cut by a server that ended: both are the end.
        with suppress(grpc.RpcError, httpx.HTTPError, httpx.StreamError, ValueError, Refused):
            for frame in self._incoming:
                self.frames.append(frame)
        self.ended = True

    def of(self, kind: str) -> list[Json]:
        """The frames of a kind: ready, snapshot, event ..."""
        return [frame for frame in self.frames if kind in frame]

    def until(self, found: Callable[[list[Json]], bool], what: str) -> list[Json]:
        """The frames once they hold what is waited for. Raises AssertionError."""
        eventually(lambda: found(self.frames) or self.ended, what)
        assert found(self.frames), (what, self.frames[-3:])
        return list(self.frames)

    def close(self) -> None:
        self._hang_up()
        self._thread.join(CALL_S)


class Way(Protocol):
    """One kind of client."""

    def call(self, method: str, request: Json | None = None, token: str = "") -> Any:
        """The answer of a unary call, named like `order.v1.OrderService.PlaceOrder`. Raises Refused."""

    def listen(self, method: str, request: Json, token: str = "") -> Heard:
        """A stream; who opened it closes it."""


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


class Rest:
    """JSON over HTTP/1.1; streams as a JSON object a line, or as Server-Sent Events."""

    def __init__(self, url: str, *, events: bool = False) -> None:
        self.url = url
        self._client = httpx.Client(base_url=url, timeout=CALL_S)
        self._accept = {"accept": "text/event-stream"} if events else {}
        self._events = events

    def call(self, method: str, request: Json | None = None, token: str = "") -> Any:
        verb, path, query, body = form(methods()[f"venue.{method}"], request or {})
        answer = self._client.request(verb, path, params=query, json=body, headers=bearer(token))
        if answer.status_code != 200:
            raise refusal_of(answer.json(), answer.text)
        return answer.json()

    def listen(self, method: str, request: Json, token: str = "") -> Heard:
        verb, path, query, _ = form(methods()[f"venue.{method}"], request)
        stack = ExitStack()
        # A client of its own: closing it is what wakes the thread that reads.
        client = stack.enter_context(httpx.Client(base_url=self._client.base_url, timeout=None))
        headers = bearer(token) | self._accept
        answer = stack.enter_context(client.stream(verb, path, params=query, headers=headers))
        if answer.status_code != 200:
            raise refusal_of(json.loads(answer.read()), answer.text)
        kind = answer.headers["content-type"]
        assert kind.startswith("text/event-stream" if self._events else "application/json"), kind
        lines = (line.removeprefix("data: ") for line in answer.iter_lines() if line)
        connection = answer.extensions["network_stream"]
        return Heard((json.loads(line) for line in lines), lambda: hang_up(connection, stack))

    def close(self) -> None:
        self._client.close()


def hang_up(connection: Any, stack: ExitStack) -> None:
    connection.get_extra_info("socket").shutdown(2)
    stack.close()


def refusal_of(body: Json, text: str) -> Refused:
    reasons = [detail["reason"] for detail in body["details"] if "reason" in detail]
    return Refused(CODES[body["code"]], reasons[0] if reasons else "", text, body["details"])


class Native:
    """gRPC over HTTP/2."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target)

    def call(self, method: str, request: Json | None = None, token: str = "") -> Any:
        path, read, parse = self._bound(method)
        try:
            made = self._channel.unary_unary(path, serialized, read)
            return as_json(made(parse(request or {}), metadata=tuple(bearer(token).items()), timeout=CALL_S))
        except grpc.RpcError as error:
            raise refusal_in(error) from None

    def listen(self, method: str, request: Json, token: str = "") -> Heard:
        path, read, parse = self._bound(method)
        made = self._channel.unary_stream(path, serialized, read)
        call = made(parse(request), metadata=tuple(bearer(token).items()))
        return Heard((as_json(frame) for frame in call), call.cancel)

    def _bound(self, method: str) -> tuple[str, Any, Callable[[Json], Message]]:
        described = methods()[f"venue.{method}"]
        asks = message_factory.GetMessageClass(described.input_type)
        answers = message_factory.GetMessageClass(described.output_type)
        path = f"/{described.containing_service.full_name}/{described.name}"
        return path, answers.FromString, lambda request: json_format.ParseDict(request, asks())

    def close(self) -> None:
        self._channel.close()


def serialized(message: Message) -> bytes:
    return message.SerializeToString()


def as_json(message: Message) -> Json:
    found: Json = json_format.MessageToDict(message, always_print_fields_with_no_presence=True)
    return found


def refusal_in(error: Any) -> Refused:
    status: Any = rpc_status.from_call(error)
    details = json_format.MessageToDict(status)["details"] if status else []
    reason = next((detail["reason"] for detail in details if "reason" in detail), "")
    return Refused(error.code().name, reason, f"{error.details()} {status}", details)


class Web:
    """gRPC-web, by the Connect client on Node that stands behind a pipe: a line of JSON in, lines of JSON out."""

    def __init__(self, url: str, script: Path) -> None:
        command = [str(ROOT / ".venv" / "node" / "node"), str(script), url]
        self._node = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._calls: dict[int, list[Json]] = {}
        self._come = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def call(self, method: str, request: Json | None = None, token: str = "") -> Any:
        number = self._send(method, request or {}, token, stream=False)
        said = self._next(number)
        if "refusal" in said:
            raise self._refusal(said)
        return said["answer"]

    def listen(self, method: str, request: Json, token: str = "") -> Heard:
        number = self._send(method, request, token, stream=True)
        return Heard(self._frames(number), lambda: self._write({"id": number, "cancel": True}))

    def _frames(self, number: int) -> Iterator[Json]:
        while True:
            said = self._next(number, within_s=None)
            if "frame" not in said:
                return
            yield said["frame"]

    def _send(self, method: str, request: Json, token: str, *, stream: bool) -> int:
        with self._come:
            number = len(self._calls)
            self._calls[number] = []
        name = f"venue.{method}"
        self._write({"id": number, "method": name, "request": request, "token": token, "stream": stream})
        return number

    def _write(self, line: Json) -> None:
        assert self._node.stdin is not None
        with self._come:
            self._node.stdin.write(json.dumps(line) + "\n")
            self._node.stdin.flush()

    def _read(self) -> None:
        assert self._node.stdout is not None
        for line in self._node.stdout:
            said = json.loads(line)
            with self._come:
                self._calls[said["id"]].append(said)
                self._come.notify_all()

    def _next(self, number: int, within_s: float | None = CALL_S) -> Json:
        with self._come:
            assert self._come.wait_for(lambda: self._calls[number], within_s), "no answer from Node"
            return self._calls[number].pop(0)

    @staticmethod
    def _refusal(said: Json) -> Refused:
        return Refused(said["refusal"]["code"], said["refusal"]["reason"], json.dumps(said))

    def close(self) -> None:
        assert self._node.stdin is not None
        self._node.stdin.close()
        self._node.wait(CALL_S)
        self._reader.join(CALL_S)
        assert self._node.stdout is not None
        self._node.stdout.close()


@contextmanager
def opened(name: str, url: str, target: str, script: Callable[[], Path]) -> Iterator[Way]:
    """The way of that name: grpc, rest, sse or web."""
    made: Native | Rest | Web
    match name:
        case "grpc":
            made = Native(target)
        case "web":
            made = Web(url, script())
        case _:
            made = Rest(url, events=name == "sse")
    try:
        yield made
    finally:
        made.close()
