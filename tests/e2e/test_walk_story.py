"""Two strangers trade, in each of the ways to call the venue: the same story, and the same to the last digit."""

import itertools
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.e2e import node_client
from tests.e2e.launching import Venue, eventually
from tests.e2e.people import FUNDS, MARKET, PASSWORD, Person, balances, ledger, sums, totals
from tests.e2e.rest import Json
from tests.e2e.story import ACCOUNTS, FIRST, MAKER_RATE, MARKET_DATA, OFFERED, ORDERS, SECOND, Story, told
from tests.e2e.ways import Refused, Way, opened

AUTH = "auth.v1.AuthService"


@pytest.fixture(scope="module", params=["grpc", "rest", "sse", "web"])
def story(request: pytest.FixtureRequest, venue: Venue, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    def script() -> Any:
        return node_client.bundle("bridge", tmp_path_factory.mktemp("bridge"))

    with opened(request.param, venue.url, venue.target, script) as way, venue.paused("bot"), told(way) as happened:
        yield happened


def refused(way: Way, method: str, request: Json, token: str = "") -> tuple[str, str]:
    with pytest.raises(Refused) as refusal:
        way.call(method, request, token)
    return refusal.value.said


def test_a_token_says_who_one_is(story: Story) -> None:
    alice = story.alice
    me = story.way.call(f"{AUTH}.WhoAmI", {}, alice.token)
    assert (me["user"]["email"], me["user"]["displayName"], me["user"]["role"]) == (alice.email, "alice", "ROLE_USER")
    assert refused(story.way, f"{AUTH}.WhoAmI", {}) == ("UNAUTHENTICATED", "UNAUTHENTICATED")


def test_an_order_rests_where_everybody_sees_it(story: Story) -> None:
    order = story.placed["order"]
    assert (order["status"], order["remainingQuantity"], order["clientOrderId"]) == (
        "ORDER_STATUS_OPEN",
        OFFERED,
        "offer",
    )
    assert story.resting["asks"] == [{"price": story.price, "quantity": OFFERED, "orderCount": 1}]
    assert story.alice_held["ETH"] == {"asset": "ETH", "available": "98.7655", "held": OFFERED, "total": "100"}


def test_they_trade_with_each_other_at_the_price_of_who_was_there_first(story: Story) -> None:
    assert story.price == story.first["fills"][0]["price"] == story.second["fills"][0]["price"]
    for answer, quantity in ((story.first, FIRST), (story.second, SECOND)):
        order, fill = answer["order"], answer["fills"][0]
        fee = format(story.taker_fee(quantity).normalize(), "f")
        assert (order["status"], order["filledQuantity"]) == ("ORDER_STATUS_FILLED", quantity)
        assert (fill["quantity"], fill["liquidity"], fill["fee"]) == (quantity, "LIQUIDITY_TAKER", fee)
    rest = story.cancelled["order"]
    assert (rest["status"], rest["filledQuantity"], rest["remainingQuantity"]) == (
        "ORDER_STATUS_CANCELLED",
        "0.7348",
        "0",
    )
    assert rest["cancelReason"] == "CANCEL_REASON_REQUESTED"


def test_both_sides_have_the_same_fills(story: Story) -> None:
    mine, theirs = (fills(story, person) for person in (story.alice, story.bob))
    assert [fill["tradeId"] for fill in mine] == [fill["tradeId"] for fill in theirs]
    assert [Decimal(fill["fee"]) for fill in reversed(mine)] == story.fees(MAKER_RATE)
    assert {(fill["side"], fill["liquidity"]) for fill in mine} == {("SIDE_SELL", "LIQUIDITY_MAKER")}
    assert {(fill["side"], fill["liquidity"]) for fill in theirs} == {("SIDE_BUY", "LIQUIDITY_TAKER")}
    assert [Decimal(fill["quantity"]) for fill in reversed(mine)] == [Decimal(FIRST), Decimal(SECOND)]

    def told_to_all() -> list[str]:
        trades = story.way.call(f"{MARKET_DATA}.ListTrades", {"symbol": MARKET, "pageSize": 2})["trades"]
        return [trade["tradeId"] for trade in trades]

    # An answer of a moment before may be told again.
    eventually(lambda: told_to_all() == [fill["tradeId"] for fill in mine], "trades are told to all")


def fills(story: Story, person: Person) -> list[Json]:
    request = {"accountId": person.account_id, "minPosition": story.position}
    listed: list[Json] = story.way.call(f"{ORDERS}.ListFills", request, person.token)["fills"]
    return listed


def test_balances_agree_to_the_last_digit(story: Story) -> None:
    price, traded = Decimal(story.price), Decimal(FIRST) + Decimal(SECOND)
    alice_usd = 100_000 + price * traded - sum(story.fees(MAKER_RATE))
    bob_usd = 100_000 - price * traded - story.taker_fee(FIRST) - story.taker_fee(SECOND)
    assert totals(story.alice_has) == {"USD": alice_usd, "BTC": 10, "ETH": 100 - traded}
    assert totals(story.bob_has) == {"USD": bob_usd, "BTC": 10, "ETH": 100 + traded}
    for balance in (*story.alice_has.values(), *story.bob_has.values()):
        assert (balance["held"], balance["available"]) == ("0", balance["total"])


def test_the_ledger_adds_up_to_the_balances(story: Story) -> None:
    for entries, has in ((story.alice_ledger, story.alice_has), (story.bob_ledger, story.bob_has)):
        assert sums(entries) == totals(has)
        assert len({entry["entryId"] for entry in entries}) == len(entries)
        opening = {entry["asset"]: entry["amount"] for entry in entries if entry["kind"] == "ENTRY_KIND_PAPER"}
        assert opening == FUNDS
    names = [fill["tradeId"] for fill in fills(story, story.alice)]
    trades = {entry["reference"] for entry in story.alice_ledger if entry["kind"] == "ENTRY_KIND_TRADE"}
    assert trades == set(names)


def test_what_one_has_nobody_else_sees(story: Story) -> None:
    account, order = {"accountId": story.alice.account_id}, {"orderId": story.placed["order"]["orderId"]}
    token = story.bob.token
    for method in ("ListBalances", "ListLedgerEntries", "GetAccount"):
        assert refused(story.way, f"{ACCOUNTS}.{method}", account, token) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    for method in ("ListOrders", "ListFills", "CancelAllOrders"):
        assert refused(story.way, f"{ORDERS}.{method}", account, token) == ("NOT_FOUND", "ACCOUNT_NOT_FOUND")
    for method in ("GetOrder", "CancelOrder"):
        assert refused(story.way, f"{ORDERS}.{method}", order, token) == ("NOT_FOUND", "ORDER_NOT_FOUND")


def test_a_repeated_request_gets_the_first_answer(story: Story) -> None:
    way, token = story.way, story.alice.token
    again = way.call(f"{ORDERS}.PlaceOrder", story.request, token)
    assert again == story.placed | {"replayed": True}
    outcome = {"accountId": story.alice.account_id, "requestId": story.request["requestId"]}
    assert way.call(f"{ORDERS}.GetRequestOutcome", outcome, token) == {"placed": again}
    other = story.request | {"quantity": "1"}
    assert refused(way, f"{ORDERS}.PlaceOrder", other, token) == ("INVALID_ARGUMENT", "REQUEST_ID_REUSED")
    over = {"orderId": story.placed["order"]["orderId"]}
    assert refused(way, f"{ORDERS}.CancelOrder", over, token) == ("FAILED_PRECONDITION", "ORDER_CLOSED")


def test_orders_are_found_by_id_label_and_state(story: Story) -> None:
    way, token, account = story.way, story.alice.token, {"accountId": story.alice.account_id}
    last = story.cancelled["order"]
    named = {"orderId": last["orderId"], "minPosition": story.position}
    assert way.call(f"{ORDERS}.GetOrder", named, token)["order"] == last
    labelled = account | {"clientOrderId": "offer", "minPosition": story.position}
    assert way.call(f"{ORDERS}.GetOrder", labelled, token)["order"] == last
    done = account | {"status": ["ORDER_STATUS_CANCELLED"], "minPosition": story.position}
    assert way.call(f"{ORDERS}.ListOrders", done, token)["orders"] == [last]


def test_the_stream_of_orders_tells_every_change(story: Story) -> None:
    heard = story.streams["orders"]
    frames = heard.until(lambda frames: len(changes(frames)) >= 4, "four changes of the order")
    assert changes(frames) == [
        ("ORDER_STATUS_OPEN", "0", 0),
        ("ORDER_STATUS_PARTIALLY_FILLED", FIRST, 1),
        ("ORDER_STATUS_PARTIALLY_FILLED", "0.7348", 1),
        ("ORDER_STATUS_CANCELLED", "0.7348", 0),
    ]
    assert "ready" in frames[0]
    assert_no_gap(frames)


def changes(frames: list[Json]) -> list[tuple[str, str, int]]:
    updates = [update for frame in frames if "event" in frame for update in frame["event"]["updates"]]
    return [(each["order"]["status"], each["order"]["filledQuantity"], len(each["fills"])) for each in updates]


def assert_no_gap(frames: list[Json]) -> None:
    """Each event names the one before it."""
    numbered = [frame for frame in frames if "snapshot" in frame or "event" in frame]
    for before, after in itertools.pairwise(numbered):
        assert after["previousSequence"] == before["sequence"], (before, after)


def test_the_stream_of_balances_ends_where_the_balances_are(story: Story) -> None:
    heard = story.streams["account"]
    frames = heard.until(lambda frames: known(frames) == story.alice_has, "the last balances")
    assert_no_gap(frames)
    held = [frame["event"]["balances"] for frame in frames if "event" in frame]
    assert any(balance["held"] == OFFERED for changed in held for balance in changed)


def known(frames: list[Json]) -> dict[str, Json]:
    """The balances that a reader knows after the frames."""
    state: dict[str, Json] = {}
    for frame in frames:
        for balance in (frame.get("snapshot") or frame.get("event") or {}).get("balances", ()):
            state[balance["asset"]] = balance
    return state


def test_market_data_tells_everybody(story: Story) -> None:
    names = {fill["tradeId"] for fill in fills(story, story.alice)}
    heard = story.streams["market"]
    frames = heard.until(lambda frames: names <= seen(frames), "the trades")
    assert {next(iter(frame["snapshot"].keys() - {"symbol"})) for frame in frames if "snapshot" in frame} == {
        "trades",
        "book",
    }
    levels = [
        level
        for frame in frames
        if "event" in frame and "book" in frame["event"]
        for level in frame["event"]["book"]["asks"]
    ]
    # There, and gone again.
    assert [level["quantity"] for level in levels if level["price"] == story.price][-1] == "0"


def seen(frames: list[Json]) -> set[str]:
    events = [frame["event"]["trades"]["trades"] for frame in frames if "trades" in frame.get("event", {})]
    return {trade["tradeId"] for trades in events for trade in trades}


def test_a_stream_takes_more_subscriptions_and_gives_some_up(story: Story) -> None:
    heard = story.streams["market"]
    stream_id = heard.frames[0]["streamId"]
    ticker = {"symbol": "BTC-USD", "channel": "CHANNEL_TICKER", "depth": 0, "interval": "CANDLE_INTERVAL_UNSPECIFIED"}
    method = f"{MARKET_DATA}.UpdateSubscriptions"
    after = story.way.call(method, {"streamId": stream_id, "add": [ticker]})["subscriptions"]
    assert ticker in after
    assert len(after) == 3
    heard.until(lambda frames: any("ticker" in frame.get("snapshot", {}) for frame in frames), "the ticker")
    after = story.way.call(method, {"streamId": stream_id, "remove": [ticker]})["subscriptions"]
    assert ticker not in after
    unknown = {"streamId": "0" * 32, "add": [ticker]}
    assert refused(story.way, method, unknown) == ("NOT_FOUND", "STREAM_NOT_FOUND")
    nowhere = {"streamId": stream_id, "add": [ticker | {"symbol": "NO-SUCH"}]}
    assert refused(story.way, method, nowhere) == ("NOT_FOUND", "MARKET_NOT_FOUND")


def test_a_batch_has_an_outcome_for_each_and_can_be_taken_back_at_once(story: Story) -> None:
    way, bob = story.way, story.bob
    orders = [
        bob.order("BUY", "1.5", "1"),
        bob.order("BUY", "1.5", "1", symbol="NO-SUCH"),
        bob.order("BUY", "1.505", "1"),
        bob.order("BUY", "2.5", "1", clientOrderId="last"),
    ]
    results = way.call(f"{ORDERS}.PlaceOrders", {"orders": orders}, bob.token)["results"]
    assert [outcome(result) for result in results] == [
        "ORDER_STATUS_OPEN",
        "MARKET_NOT_FOUND",
        "REJECT_REASON_PRICE_OFF_TICK",
        "ORDER_STATUS_OPEN",
    ]
    held = balances(way, bob, results[-1]["placed"]["position"])["USD"]
    assert Decimal(held["held"]) == 4 * Decimal("1.002")
    gone = way.call(f"{ORDERS}.CancelAllOrders", {"accountId": bob.account_id, "symbol": MARKET}, bob.token)
    assert [order["status"] for order in gone["orders"]] == ["ORDER_STATUS_CANCELLED"] * 2
    assert balances(way, bob, gone["position"]) == story.bob_has
    assert sums(ledger(way, bob, gone["position"])) == totals(story.bob_has)


def outcome(result: Json) -> str:
    if "error" in result:
        return str(result["error"]["details"][0]["reason"])
    order = result["placed"]["order"]
    return str(order["rejectReason"] if order["status"] == "ORDER_STATUS_REJECTED" else order["status"])


def test_who_logged_out_is_out(story: Story) -> None:
    way, bob = story.way, story.bob
    session = way.call(f"{AUTH}.Login", {"email": bob.email, "password": PASSWORD})
    way.call(f"{AUTH}.Logout", {}, session["accessToken"])
    spent = {"refreshToken": session["refreshToken"]}
    assert refused(way, f"{AUTH}.Refresh", spent) == ("UNAUTHENTICATED", "REFRESH_TOKEN_INVALID")
    wrong = {"email": bob.email, "password": "correct horse battery 8"}
    assert refused(way, f"{AUTH}.Login", wrong) == ("UNAUTHENTICATED", "CREDENTIALS_INVALID")
