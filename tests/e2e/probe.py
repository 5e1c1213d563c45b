"""Sends what no honest client would, and sees that the answer is one that the contract knows."""

import json
import re
from dataclasses import dataclass
from typing import Any

import grpc
import httpx
from google.protobuf import json_format, message_factory

from tests.contract.descriptors import methods
from tests.e2e.people import Person, balances, ledger
from tests.e2e.rest import Json, form, rules
from tests.e2e.ways import CODES, Rest, Way, bearer, refusal_in, serialized

LEAKS = re.compile(r"Traceback|psycopg|asyncpg|<class|/site-packages/|SELECT |servers/|\.py\b|Error:|0x[0-9a-f]{6}")
FAULTS = {"INTERNAL", "UNKNOWN", "DATA_LOSS"}
STATUS = {
    "INVALID_ARGUMENT": {400},
    "UNAUTHENTICATED": {401},
    "PERMISSION_DENIED": {403},
    "NOT_FOUND": {404},
    "FAILED_PRECONDITION": {400},
    "RESOURCE_EXHAUSTED": {413, 429},
    "UNIMPLEMENTED": {405, 501},
}
RAW = "@raw@"
CALL_S = 10.0


@dataclass(frozen=True, slots=True)
class Said:
    """An answer: OK or the code's name, the reason, the fields that BadRequest names, and all its text."""

    code: str
    reason: str = ""
    fields: tuple[str, ...] = ()
    text: str = ""


class RestProbe:
    """Over REST: bodies and queries as bytes."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, timeout=CALL_S)

    def ask(self, method: str, request: Json, token: str, raw: str | None = None) -> Said:
        """With `raw`, JSON text in the place of the mark RAW."""
        verb, path, query, body = form(methods()[f"venue.{method}"], request)
        content = None
        if body is not None:
            content = json.dumps(body)
            content = content if raw is None else content.replace(f'"{RAW}"', raw)
        elif raw is not None:
            query = [(name, str(value).replace(RAW, raw.strip('"'))) for name, value in query]
        return self.send(verb, path, token, content, query)

    def send(self, verb: str, path: str, token: str, content: str | bytes | None, query: Any = None) -> Said:
        """Any bytes at all."""
        headers = bearer(token)
        with self._client.stream(verb, path, params=query or None, content=content, headers=headers) as answer:
            if answer.status_code == 200:
                return Said("OK")
            text = answer.read().decode()
        return read_json(answer, text)

    def close(self) -> None:
        self._client.close()


def read_json(answer: httpx.Response, text: str) -> Said:
    """Raises AssertionError where it is not the JSON of a status, or does not fit the HTTP status."""
    assert not LEAKS.search(f"{text} {answer.headers}"), text
    body = json.loads(text)
    assert set(body) == {"code", "message", "details"}, text
    code = CODES[body["code"]]
    assert answer.status_code in STATUS[code], (answer.status_code, text)
    fields = [each["field"] for detail in body["details"] for each in detail.get("fieldViolations", ())]
    reasons = [detail["reason"] for detail in body["details"] if "reason" in detail]
    return Said(code, reasons[0] if reasons else "", tuple(fields), text)


def same(raw: bytes) -> bytes:
    return raw


class GrpcProbe:
    """Over gRPC: bytes where a message belongs."""

    def __init__(self, target: str) -> None:
        self._channel = grpc.insecure_channel(target)

    def ask(self, method: str, request: Json, token: str) -> Said:
        kind = message_factory.GetMessageClass(methods()[f"venue.{method}"].input_type)
        return self.send(method, serialized(json_format.ParseDict(request, kind())), token)

    def send(self, method: str, raw: bytes, token: str) -> Said:
        """Any bytes at all; of a stream, what it begins with."""
        described = methods()[f"venue.{method}"]
        path = f"/{described.containing_service.full_name}/{described.name}"
        metadata = tuple(bearer(token).items())
        try:
            if described.client_streaming:
                both: Any = self._channel.stream_stream(path, same, same)
                self._first(both(iter([raw]), metadata=metadata, timeout=CALL_S))
            elif described.server_streaming:
                out: Any = self._channel.unary_stream(path, same, same)
                self._first(out(raw, metadata=metadata, timeout=CALL_S))
            else:
                unary: Any = self._channel.unary_unary(path, same, same)
                unary(raw, metadata=metadata, timeout=CALL_S)
        except grpc.RpcError as error:
            refused = refusal_in(error)
            assert not LEAKS.search(refused.text), refused.text
            return Said(refused.code, refused.reason, text=refused.text)
        return Said("OK")

    @staticmethod
    def _first(call: Any) -> None:
        for _ in call:
            break
        call.cancel()

    def close(self) -> None:
        self._channel.close()


def has_rest(method: str) -> bool:
    return bool(rules(methods()[f"venue.{method}"]))


@dataclass(frozen=True, slots=True)
class Victim:
    """Somebody whose order rests while others send nonsense in that name."""

    person: Person
    order_id: str

    def state(self, way: Way) -> tuple[Any, ...]:
        """All that bad input could have changed."""
        account = {"accountId": self.person.account_id}
        orders = way.call("order.v1.OrderService.ListOrders", account, self.person.token)["orders"]
        accounts = way.call("account.v1.AccountService.ListAccounts", {}, self.person.token)["accounts"]
        entries = ledger(way, self.person, page_size=500)
        return orders, accounts, balances(way, self.person), entries


def victim_of(way: Rest, person: Person) -> Victim:
    placed = way.call("order.v1.OrderService.PlaceOrder", person.order("BUY", "1", "1"), person.token)
    assert placed["order"]["status"] == "ORDER_STATUS_OPEN"
    return Victim(person, placed["order"]["orderId"])
