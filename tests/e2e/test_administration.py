"""Administration through the gateway: a port of its own, its own tokens, two people, the log of it (ADM-1, ADM-2, ADM-4, S22)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e import node_client
from tests.e2e.gateway import ADMINISTRATION, Gateway, Ports, connection, gateway
from tests.e2e.launching import Venue, eventually
from tests.e2e.people import PASSWORD, join, log_in
from tests.e2e.rest import Json
from tests.e2e.ways import Native, Refused, Rest, Way, opened

ADMIN = "admin.v1.AdminService"
WHY = "as agreed"
NOT_PERMITTED = ("PERMISSION_DENIED", "NOT_PERMITTED")
PATH_NOT_FOUND = ("NOT_FOUND", "PATH_NOT_FOUND")


@dataclass(frozen=True, slots=True)
class Administrator:
    """Somebody with a token for the public port and one for administration."""

    way: Way
    plain: str
    token: str

    def ask(self, method: str, **request: Any) -> Json:
        answer: Json = self.way.call(f"{ADMIN}.{method}", request, self.token)
        return answer


def said(call: Any) -> tuple[str, str]:
    """Code and reason of a call that must be refused."""
    with pytest.raises(Refused) as refused:
        call()
    return refused.value.said


def seeded(venue: Venue, rest: Rest, way: Way, email: str) -> Administrator:
    plain = log_in(rest, email, venue.logins[email])
    return Administrator(way, plain, way.call(f"{ADMIN}.CreateAdminToken", {}, plain)["accessToken"])


@pytest.fixture(scope="module")
def desk(venue: Venue) -> Iterator[Rest]:
    """The port of administration over REST."""
    made = Rest(f"http://127.0.0.1:{venue.port('ADMIN')}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def native(venue: Venue) -> Iterator[Native]:
    made = Native(f"127.0.0.1:{venue.port('ADMIN')}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def ada(venue: Venue, rest: Rest, desk: Rest) -> Administrator:
    return seeded(venue, rest, desk, "admin@venue.local")


@pytest.fixture(scope="module")
def ben(venue: Venue, rest: Rest, native: Native) -> Administrator:
    """The second one, over gRPC."""
    return seeded(venue, rest, native, "checker@venue.local")


def test_s22_the_public_port_neither_serves_administration_nor_believes_its_tokens(
    rest: Rest, ada: Administrator
) -> None:
    assert said(lambda: rest.call(f"{ADMIN}.GetSystemStatus", {}, ada.plain)) == PATH_NOT_FOUND
    assert said(lambda: rest.call(f"{ADMIN}.CreateAdminToken", {}, ada.plain)) == PATH_NOT_FOUND
    assert said(lambda: rest.call("auth.v1.AuthService.WhoAmI", {}, ada.token)) == NOT_PERMITTED


def test_s22_the_port_of_administration_serves_that_alone_to_its_own_tokens(
    rest: Rest, desk: Rest, native: Native, ada: Administrator
) -> None:
    for way in (desk, native):
        assert said(lambda way=way: way.call(f"{ADMIN}.GetSystemStatus", {}, ada.plain)) == NOT_PERMITTED
        assert said(lambda way=way: way.call(f"{ADMIN}.CreateAdminToken", {}, ada.token)) == NOT_PERMITTED
        assert said(lambda way=way: way.call(f"{ADMIN}.GetSystemStatus"))[1] == "UNAUTHENTICATED"
    customer = join(rest, "ida")
    assert said(lambda: desk.call(f"{ADMIN}.CreateAdminToken", {}, customer.token)) == NOT_PERMITTED
    answer = httpx.get(f"{desk.url}/v1/markets", headers={"authorization": f"Bearer {ada.token}"})
    assert (answer.status_code, answer.headers["strict-transport-security"][:7]) == (404, "max-age")
    # The name of the scheme is good in any case here too.
    bought = httpx.post(f"{desk.url}/v1/admin/token", headers={"authorization": f"bearer {ada.plain}"})
    answer = httpx.get(f"{desk.url}/v1/admin/status", headers={"authorization": f"bearer {ada.token}"})
    assert (bought.status_code, answer.status_code) == (200, 200)


@pytest.fixture
def fenced(edge: Gateway, tmp_path: Path) -> Iterator[Gateway]:
    """A gateway that lets another network administrate than the one that tests come from."""
    free = Ports.free()
    ports = replace(edge.ports, gateway=free.gateway, admin=free.admin, administration=free.administration)

    def elsewhere(tree: Any) -> None:
        (policy,) = connection(tree, ADMINISTRATION)["http_filters"][0]["typed_config"]["rules"]["policies"].values()
        policy["principals"] = [{"direct_remote_ip": {"address_prefix": "198.51.100.0", "prefix_len": 24}}]

    with gateway(ports, tmp_path, change=elsewhere) as running:
        yield running


def test_s22_another_address_is_refused_whatever_it_says_of_itself(fenced: Gateway, bearer: dict[str, str]) -> None:
    at = f"127.0.0.1:{fenced.ports.administration}"
    lies = bearer | {"x-forwarded-for": "198.51.100.7", "x-real-ip": "198.51.100.7"}
    for headers in ({}, bearer, lies):
        answer = httpx.get(f"http://{at}/v1/admin/status", headers=headers)
        assert (answer.status_code, answer.json()["details"][0]["reason"]) == (403, "NOT_PERMITTED")
    native = Native(at)
    assert said(lambda: native.call(f"{ADMIN}.GetSystemStatus")) == NOT_PERMITTED
    native.close()
    assert httpx.get(f"{fenced.url}/v1/markets/ETH-USD/trades").status_code == 200, "the public port is as it was"


def test_s22_a_correction_is_proposed_over_rest_and_approved_over_grpc(
    rest: Rest, ada: Administrator, ben: Administrator
) -> None:
    customer = join(rest, "uma")
    wish = {"accountId": customer.account_id, "asset": "USD", "amount": "12.5", "reason": WHY}

    def proposed() -> Json | None:
        try:
            return ada.ask("ProposeAdjustment", **wish)
        except Refused as refused:
            if refused.code != "UNAVAILABLE":
                raise
            return None  # the tables do not have the account yet

    found: list[Json | None] = []

    def is_proposed() -> bool:
        found.append(proposed())
        return found[-1] is not None

    eventually(is_proposed, "the account is in the tables")
    assert found[-1] is not None
    action = found[-1]["pendingAction"]
    named = {"pendingActionId": action["pendingActionId"]}
    assert said(lambda: ada.ask("ApprovePendingAction", **named)) == ("PERMISSION_DENIED", "SECOND_PERSON_NEEDED")
    done = ben.ask("ApprovePendingAction", **named)["pendingAction"]
    assert done["state"] == "PENDING_ACTION_STATE_EXECUTED"
    listed = rest.call("account.v1.AccountService.ListBalances", {"accountId": customer.account_id}, customer.token)
    assert {each["asset"]: each["available"] for each in listed["balances"]}["USD"] == "100012.5"


def test_adm3_a_market_is_proposed_over_rest_approved_over_grpc_and_traded_on(
    rest: Rest, ada: Administrator, ben: Administrator
) -> None:
    def wanted(method: str, **request: Any) -> Json:
        action = ada.ask(method, reason=WHY, **request)["pendingAction"]
        assert action["state"] == "PENDING_ACTION_STATE_PROPOSED"
        done: Json = ben.ask("ApprovePendingAction", pendingActionId=action["pendingActionId"])["pendingAction"]
        assert done["state"] == "PENDING_ACTION_STATE_EXECUTED", done
        return done

    symbol, environment = "WISH-USD", "ENVIRONMENT_DEMO"
    wanted("CreateAsset", asset={"environment": environment, "symbol": "WISH", "scale": 6, "displayScale": 2})
    market = {"environment": environment, "symbol": symbol, "baseAsset": "WISH", "quoteAsset": "USD", "tickSize": "0.5"}
    market |= {"lotSize": "0.01", "maxQuantity": "100", "makerFeeRate": "0", "takerFeeRate": "0.001"}
    assert wanted("CreateMarket", market=market)["createMarket"]["minQuantity"] == "0.01"
    found: list[Json] = []

    def listed(state: str) -> bool:
        found[:] = rest.call("marketdata.v1.MarketDataService.ListMarkets")["markets"]
        return any(each["symbol"] == symbol and each["state"] == f"MARKET_STATE_{state}" for each in found)

    eventually(lambda: listed("PRE_OPEN"), "the market is listed")
    rule = {"environment": environment, "symbol": symbol, "tier": "default", "makerFeeRate": "0"}
    wanted("SetFees", rule={**rule, "takerFeeRate": "0.02"})
    rules = {(each["symbol"], each["tier"]): each["takerFeeRate"] for each in ben.ask("GetFees")["rules"]}
    assert rules[symbol, "default"] == "0.02"
    wanted("SetTradingHours", symbol=symbol, hours=[{"weekday": day, "closeSecond": 86_400} for day in range(1, 8)])
    eventually(lambda: listed("OPEN"), "its hours have opened it")
    seller, buyer = join(rest, "sue"), join(rest, "bea")
    granted = {"accountId": seller.account_id, "asset": "WISH", "amount": "3", "reason": WHY}
    eventually(lambda: is_proposed(ada, ben, granted), "the account is in the tables")
    placed = []
    for person, side in ((seller, "SELL"), (buyer, "BUY")):
        order = person.order(side, "100", "2", symbol=symbol)
        placed.append(rest.call("order.v1.OrderService.PlaceOrder", order, person.token)["order"])
    assert [(each["status"], each["fee"]) for each in placed] == [
        ("ORDER_STATUS_OPEN", "0"),
        ("ORDER_STATUS_FILLED", "4"),
    ]
    assert said(lambda: ada.ask("CreateMarket", market=market, reason=WHY)) == ("ALREADY_EXISTS", "DEFINITION_EXISTS")


def is_proposed(ada: Administrator, ben: Administrator, wish: Json) -> bool:
    """A correction is done, unless the tables do not have the account yet."""
    try:
        action = ada.ask("ProposeAdjustment", **wish)["pendingAction"]
    except Refused as refused:
        if refused.code != "UNAVAILABLE":
            raise
        return False
    done = ben.ask("ApprovePendingAction", pendingActionId=action["pendingActionId"])["pendingAction"]
    assert done["state"] == "PENDING_ACTION_STATE_EXECUTED"
    return True


def test_a_frozen_user_is_out_within_five_seconds_and_looks_like_a_wrong_password(
    rest: Rest, ada: Administrator, ben: Administrator
) -> None:
    customer = join(rest, "fay")
    user_id = rest.call("auth.v1.AuthService.WhoAmI", {}, customer.token)["user"]["userId"]
    stream = rest.listen("account.v1.AccountService.StreamAccount", {"accountId": customer.account_id}, customer.token)
    stream.until(lambda frames: any("ready" in frame for frame in frames), "the stream is ready")
    frozen = ada.ask("FreezeUser", userId=user_id, reason=WHY, cancelOrders=True)
    assert (frozen["user"]["status"], frozen["accountsCancelled"]) == ("USER_STATUS_FROZEN", 1)
    # Five seconds are promised; a busy machine gets more here.
    stream.until(lambda frames: any("goodbye" in frame for frame in frames), "the stream says goodbye")
    assert stream.of("goodbye")[0]["goodbye"]["reason"] == "SESSION_REVOKED"
    stream.close()

    def is_out() -> bool:
        try:
            rest.call("auth.v1.AuthService.WhoAmI", {}, customer.token)
        except Refused as refused:
            return refused.reason == "UNAUTHENTICATED"
        return False

    eventually(is_out, "the token is not good any more")
    told = [said(lambda word=word: log_in(rest, customer.email, word)) for word in (PASSWORD, "wrong horse 7")]
    assert told == [("UNAUTHENTICATED", "CREDENTIALS_INVALID")] * 2
    refresh = {"refreshToken": customer.refresh_token}
    assert said(lambda: rest.call("auth.v1.AuthService.Refresh", refresh))[1] == "REFRESH_TOKEN_INVALID"
    action = ben.ask("UnfreezeUser", userId=user_id, reason=WHY)["pendingAction"]
    ada.ask("ApprovePendingAction", pendingActionId=action["pendingActionId"])
    assert log_in(rest, customer.email)


def test_the_monitor_and_grpc_web_show_the_whole_venue(
    tmp_path: Path, ada: Administrator, ben: Administrator, desk: Rest
) -> None:
    watched = desk.listen(f"{ADMIN}.StreamSystem", {}, ada.token)
    watched.until(lambda frames: any("status" in frame for frame in frames), "the venue is shown")
    with opened("web", desk.url, "", lambda: node_client.bundle("bridge", tmp_path)) as web:
        status = web.call(f"{ADMIN}.GetSystemStatus", {}, ben.token)["status"]
    assert [each["led"] for each in status["partitions"]] == [True] * len(status["partitions"])
    answering = {each["process"]: each["answering"] for each in status["processes"]}
    assert {"order", "replica", "marketdata", "api"} <= {name for name, there in answering.items() if there}
    readers = {reader["reader"] for each in status["partitions"] for reader in each["readers"]}
    assert readers == {"tables", "bus"}
    watched.until(
        lambda frames: any(frame.get("entry", {}).get("object") == "rpc/GetSystemStatus" for frame in frames),
        "who looked is seen",
    )
    watched.close()


def test_s23_the_log_of_all_this_is_good(venue: Venue, ada: Administrator) -> None:
    entries = ada.ask("ListAuditEntries", pageSize=3)["entries"]
    assert len(entries) == 3
    done = venue.run("audit", "verify")
    assert done.returncode == 0, done.stderr
    assert "are good" in done.stdout
