"""Every RPC, called by everybody: who gets in is what the access option of the contract says, and nothing else (AUT-7, S16).

Asked of the servers themselves, behind the gateway, by bytes that are no message: whoever gets past identity and access is told
so, whoever does not is told why, and nothing is changed. What belongs to somebody is asked for by a second table, which has a
line for every RPC that anybody but an administrator may call: an RPC that has none fails here.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import grpc
import psycopg
import pytest
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor

from servers.embedded.addresses import postgres_url
from servers.embedded.state import State
from servers.transport.access import FRESH_S
from tests.contract.descriptors import methods
from tests.e2e.launching import Venue
from tests.e2e.owned import CASES, FOUND_BY_NOBODY, Owned
from tests.e2e.people import Person, join, log_in
from tests.e2e.rest import Json
from tests.e2e.ways import Refused, Rest, refusal_in
from venue.option.v1 import access_pb2

SERVERS: Final = {"order": "ORDER", "engine": "ORDER", "marketdata": "MARKETDATA"}
NO_MESSAGE: Final = b"\xff"
CALL_S: Final = 20.0
PASSED: Final = {"MALFORMED_MESSAGE", "NOT_IMPLEMENTED"}
SCOPE, ROLE = access_pb2.Scope.Value, access_pb2.Role.Value
OWN: Final = frozenset({"READ", "TRADE", "WITHDRAW", "ACCOUNT"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody with a credential, and what the test knows it is good for."""

    metadata: tuple[tuple[str, str], ...] = ()
    role: str = ""
    scopes: frozenset[str] = frozenset()
    fresh: bool = True
    bound: bool = False


def token(access_token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {access_token}"),)


class People:
    """Everybody who calls."""

    def __init__(self, venue: Venue, rest: Rest) -> None:
        self._venue, self._rest = venue, rest
        self.user, self.other = join(rest, "owner"), join(rest, "other")
        made = {"anonymous": Caller(), "user": self._person(self.user), "other": self._person(self.other)}
        made["stale user"] = self._stale()
        made["read key"] = self._key("READ")
        made["trade key"] = self._key("READ", "TRADE")
        made["bound key"] = self._key("READ", "TRADE", account=self.user.account_id)
        for role in ("MARKET_MAKER", "SUPPORT", "COMPLIANCE", "ADMIN"):
            access_token = self._with_role(role)
            made[role.lower()] = Caller(token(access_token), role, OWN)
            if role != "MARKET_MAKER":
                made[f"{role.lower()} administering"] = self._administering(access_token, role)
        self.callers = made

    def _person(self, person: Person) -> Caller:
        return Caller(token(log_in(self._rest, person.email)), "USER", OWN)

    def _stale(self) -> Caller:
        person = join(self._rest, "stale")
        self._sql(
            "UPDATE sessions s SET auth_time = auth_time - make_interval(secs => %s) FROM users u"
            " WHERE u.user_id = s.user_id AND u.email = %s",
            FRESH_S + 60,
            person.email,
        )
        fresh = self._rest.call("auth.v1.AuthService.Refresh", {"refreshToken": person.refresh_token})
        return Caller(token(fresh["accessToken"]), "USER", OWN, fresh=False)

    def _key(self, *scopes: str, account: str = "") -> Caller:
        request: Json = {"name": "matrix", "scopes": [f"SCOPE_{scope}" for scope in scopes], "accountId": account}
        made = self._rest.call("auth.v1.AuthService.CreateApiKey", request, self.user.token)
        metadata = (("x-api-key", f"{made['apiKey']['apiKeyId']}.{made['secret']}"),)
        return Caller(metadata, "USER", frozenset(scopes), bound=bool(account))

    def _with_role(self, role: str) -> str:
        person = join(self._rest, role.lower())
        self._sql("UPDATE users SET role = %s WHERE email = %s", role, person.email)
        return log_in(self._rest, person.email)

    def _administering(self, access_token: str, role: str) -> Caller:
        given = call(self._venue, methods()["venue.admin.v1.AdminService.CreateAdminToken"], token(access_token), {})
        return Caller(token(given["accessToken"]), role, frozenset({"ADMIN"}))

    def _sql(self, statement: str, *values: object) -> None:
        address = postgres_url(State(self._venue.state).secret("postgres"), self._venue.port("POSTGRES"))
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement, values)


def target(venue: Venue, method: MethodDescriptor) -> str:
    return f"127.0.0.1:{venue.port(SERVERS.get(method.full_name.split('.')[1], 'API'))}"


_channels: dict[str, grpc.Channel] = {}


def call(venue: Venue, method: MethodDescriptor, metadata: Any, request: Json | bytes) -> Json:
    """The answer, or the first frame of a stream. Raises Refused."""
    where = target(venue, method)
    channel = _channels.setdefault(where, grpc.insecure_channel(where))
    kind = message_factory.GetMessageClass(method.input_type)
    raw = request if isinstance(request, bytes) else json_format.ParseDict(request, kind()).SerializeToString()
    path = f"/{method.containing_service.full_name}/{method.name}"
    read = message_factory.GetMessageClass(method.output_type).FromString
    try:
        if method.client_streaming:
            session = channel.stream_stream(path, bytes, read)(iter([raw]), metadata=metadata, timeout=CALL_S)
            answer = next(session)
            session.cancel()
        elif method.server_streaming:
            stream = channel.unary_stream(path, bytes, read)(raw, metadata=metadata, timeout=CALL_S)
            answer = next(stream)
            stream.cancel()
        else:
            answer = channel.unary_unary(path, bytes, read)(raw, metadata=metadata, timeout=CALL_S)
    except grpc.RpcError as error:
        raise refusal_in(error) from None
    return json_format.MessageToDict(answer)


def said(venue: Venue, method: MethodDescriptor, caller: Caller) -> tuple[str, str]:
    try:
        call(venue, method, caller.metadata, NO_MESSAGE)
    except Refused as refused:
        return ("", "PASSED") if refused.reason in PASSED else refused.said
    raise AssertionError(f"{method.full_name} took bytes that are no message")


def expected(method: MethodDescriptor, caller: Caller) -> tuple[str, str]:
    """Read from the option here once more, so that a server that reads it wrongly is found out."""
    option = method.GetOptions().Extensions[access_pb2.access]
    nobody, forbidden = ("UNAUTHENTICATED", "UNAUTHENTICATED"), ("PERMISSION_DENIED", "NOT_PERMITTED")
    if option.scope == SCOPE("SCOPE_PUBLIC"):
        return "", "PASSED"
    if option.scope == SCOPE("SCOPE_INTERNAL") or not caller.metadata:
        return nobody
    if option.scope not in {SCOPE(f"SCOPE_{name}") for name in caller.scopes}:
        return forbidden
    if option.roles and ROLE(f"ROLE_{caller.role}") not in option.roles:
        return forbidden
    if option.second_factor and option.scope == SCOPE("SCOPE_WITHDRAW"):
        return "FAILED_PRECONDITION", "SECOND_FACTOR_MISSING"  # nobody here has one
    if option.second_factor and not caller.fresh:
        return "PERMISSION_DENIED", "STEP_UP_REQUIRED"
    if caller.bound and not option.bound_keys and not names_an_account(method):
        return forbidden
    return "", "PASSED"


def names_an_account(method: MethodDescriptor) -> bool:
    waiting, seen = [method.input_type], set()
    while waiting:
        kind = waiting.pop()
        if kind.full_name in seen:
            continue
        seen.add(kind.full_name)
        if any(field.name.endswith("account_id") for field in kind.fields):
            return True
        waiting += [field.message_type for field in kind.fields if field.message_type is not None]
    return False


@pytest.fixture(scope="module")
def people(venue: Venue, rest: Rest) -> Iterator[People]:
    yield People(venue, rest)
    for channel in _channels.values():
        channel.close()
    _channels.clear()


def test_aut7_everybody_is_let_in_where_the_contract_says_so_and_nowhere_else(venue: Venue, people: People) -> None:
    wrong = {
        (name, who): (found, right)
        for name, method in methods().items()
        for who, caller in people.callers.items()
        if (found := said(venue, method, caller)) != (right := expected(method, caller))
    }
    assert wrong == {}


def owned_methods() -> dict[str, MethodDescriptor]:
    scopes = {SCOPE(f"SCOPE_{name}") for name in OWN}
    return {
        name.removeprefix("venue."): method
        for name, method in methods().items()
        if method.GetOptions().Extensions[access_pb2.access].scope in scopes
    }


def test_aut7_every_rpc_has_a_case() -> None:
    assert set(CASES) == set(owned_methods())


def outcome(venue: Venue, method: MethodDescriptor, metadata: Any, request: Json) -> str:
    """OK or the code; of a batch that of its one item."""
    try:
        answer = call(venue, method, metadata, request)
    except Refused as refused:
        return refused.code
    for item in answer.get("results", []):
        if "error" in item:
            return next(code.name for code in grpc.StatusCode if code.value[0] == item["error"]["code"])
    return "OK"


def test_s16_what_is_somebody_elses_is_not_there(venue: Venue, rest: Rest, people: People) -> None:
    owned = Owned(rest, people.user)
    found = {}
    for name, case in CASES.items():
        if isinstance(case, str):
            continue
        method, request = owned_methods()[name], case(owned)
        to_other = outcome(venue, method, people.callers["other"].metadata, request)
        to_owner = outcome(venue, method, people.callers["user"].metadata, request)
        found[name] = (to_other, to_owner)
    assert found == {name: ("NOT_FOUND", "NOT_FOUND" if name in FOUND_BY_NOBODY else "OK") for name in found}


def test_s14_a_bound_key_sees_its_own_account_alone(venue: Venue, rest: Rest, people: People) -> None:
    owned = Owned(rest, people.user)
    key = people.callers["bound key"].metadata
    second = rest.call(
        "order.v1.OrderService.PlaceOrder", owned.order() | {"accountId": owned.second_id}, people.user.token
    )["order"]["orderId"]
    orders = {
        name: owned_methods()[f"order.v1.OrderService.{name}"] for name in ("GetOrder", "CancelOrder", "AmendOrder")
    }
    for name, method in orders.items():
        request = {"orderId": second} | ({"quantity": "0.02"} if name == "AmendOrder" else {})
        assert outcome(venue, method, key, request) == "NOT_FOUND", name
        assert outcome(venue, method, key, request | {"accountId": owned.second_id}) == "NOT_FOUND", name
    assert outcome(venue, orders["CancelOrder"], key, {"orderId": owned.order_id()}) == "OK"
    replaced = {"orderId": second, "order": owned.order()}
    assert outcome(venue, owned_methods()["order.v1.OrderService.ReplaceOrder"], key, replaced) != "OK"
    listed = call(venue, owned_methods()["account.v1.AccountService.ListAccounts"], key, {})
    assert [account["accountId"] for account in listed["accounts"]] == [people.user.account_id]
    transfer = owned_methods()["account.v1.AccountService.GetTransfer"]
    assert outcome(venue, transfer, key, {"transferId": owned.transfer_id()}) == "OK"
    still = rest.call("order.v1.OrderService.GetOrder", {"orderId": second}, people.user.token)
    assert still["order"]["status"] == "ORDER_STATUS_OPEN"


def test_s16_no_field_of_a_request_sets_what_is_not_the_callers_to_set(rest: Rest, people: People) -> None:
    """Fields that the contract does not have are dropped by REST; the rows stay as they are."""
    person = people.other
    before = rest.call("auth.v1.AuthService.WhoAmI", {}, person.token)["user"]
    account = rest.call("account.v1.AccountService.GetAccount", {"accountId": person.account_id}, person.token)
    client = rest._client
    sneaked = {
        "role": "ROLE_ADMIN",
        "emailVerified": True,
        "balance": "1000000",
        "tier": "market_maker",
        "feeTier": "vip",
    }
    sneaked |= {"userId": "usr-1", "status": "ACTIVE"}
    headers = {"authorization": f"Bearer {person.token}"}
    email = f"sneak.{time.monotonic_ns()}@example.com"
    body = {"email": email, "password": "correct horse battery 7", "displayName": "x", **sneaked}
    client.post("/v1/auth/register", json=body)
    sneak = rest.call("auth.v1.AuthService.Login", {"email": email, "password": body["password"]})
    assert (sneak["user"]["role"], sneak["user"]["emailVerified"]) == ("ROLE_USER", False)
    made = client.post("/v1/accounts", json={"type": "ACCOUNT_TYPE_DEMO", "name": "x", **sneaked}, headers=headers)
    opened = made.json()["account"]
    balances = rest.call("account.v1.AccountService.ListBalances", {"accountId": opened["accountId"]}, person.token)
    assert {each["asset"]: float(each["total"]) for each in balances["balances"]} == {
        "USD": 100_000,
        "BTC": 10,
        "ETH": 100,
    }
    placed = client.post(
        "/v1/orders",
        json=person.order("BUY", "1000", "0.01") | sneaked | {"status": "ORDER_STATUS_FILLED"},
        headers=headers,
    )
    assert placed.json()["order"]["status"] == "ORDER_STATUS_OPEN"
    named = {"name": account["account"]["name"], **sneaked}
    assert client.patch(f"/v1/accounts/{person.account_id}", json=named, headers=headers).status_code == 200
    assert rest.call("auth.v1.AuthService.WhoAmI", {}, person.token)["user"] == before
    after = rest.call("account.v1.AccountService.GetAccount", {"accountId": person.account_id}, person.token)
    assert after == account
