"""What all that bad input left behind in the logs: lines of JSON, one a call, and no fault among them. Runs after the others."""

import json
import re
from typing import Any

import pytest

from servers.embedded.state import State
from tests.e2e.launching import Venue
from tests.e2e.people import join
from tests.e2e.probe import RestProbe
from tests.e2e.ways import Rest

SERVERS = ("order", "api", "marketdata")
FORGED = 'x\r\n{"event": "forged", "level": "info"}\r\n\x1b[31mred'


def lines(venue: Venue, name: str) -> list[Any]:
    """Raises ValueError for a line that is no JSON."""
    return [json.loads(line) for line in State(venue.state).log(name).read_text().splitlines()]


def calls(venue: Venue) -> list[Any]:
    """The gateway's lines about calls, which stand among those about itself. Raises ValueError for one that is no JSON."""
    written = State(venue.state).log("envoy").read_text().splitlines()
    return [json.loads(line) for line in written if line.startswith("{")]


@pytest.fixture(scope="module", autouse=True)
def _traffic(rest: Rest, over_rest: RestProbe) -> None:
    """Input that would like to write into logs, so the tests have something to look at when run alone."""
    mole = join(rest, "mole")
    for method, request in (
        ("account.v1.AccountService.GetAccount", {"accountId": FORGED}),
        ("order.v1.OrderService.ListOrders", {"accountId": FORGED}),
        ("order.v1.OrderService.CancelAllOrders", {"accountId": FORGED}),
        ("marketdata.v1.MarketDataService.Subscribe", {"symbols": [FORGED], "channels": ["CHANNEL_BOOK"]}),
        ("auth.v1.AuthService.Login", {"email": FORGED, "password": FORGED}),
    ):
        assert over_rest.ask(method, request, mole.token).code in {"NOT_FOUND", "INVALID_ARGUMENT", "UNAUTHENTICATED"}


@pytest.mark.parametrize("name", [*SERVERS, "envoy"])
def test_b06_no_line_was_forged(venue: Venue, name: str) -> None:
    said = calls(venue) if name == "envoy" else lines(venue, name)
    assert said != []
    assert [line for line in said if line.get("event") == "forged"] == []


@pytest.mark.parametrize("name", SERVERS)
def test_s20_nothing_was_a_fault_of_the_venue(venue: Venue, name: str) -> None:
    faults = [line for line in lines(venue, name) if line.get("code") in {"INTERNAL", "UNKNOWN"} or "exception" in line]
    assert faults == []


def test_no_secret_stands_in_a_log(venue: Venue) -> None:
    written = "".join(State(venue.state).log(name).read_text() for name in (*SERVERS, "replica", "bot", "envoy"))
    assert "correct horse" not in written
    # Signed heads of the audit log are written down for everybody to see; any other token is somebody's.
    assert "eyJ" not in re.sub(r'"jws": "[^"]+"', "", written)
    assert not any(password in written for password in venue.logins.values())
