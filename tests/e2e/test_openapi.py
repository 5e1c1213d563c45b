"""The REST interface as its OpenAPI document has it: asked by schemathesis, with good and with bad data, through the gateway."""

import json
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from tests.e2e.gateway import ROOT
from tests.e2e.launching import Venue
from tests.e2e.people import Person, join, log_in
from tests.e2e.ways import Rest

EXAMPLES = 2
# Streams do not end, a log-out ends the token, and what companies send is signed over. Limits that are proposed would wait for
# the next administrator. Log-ins are counted by address, which all tests share.
LEFT_OUT = (
    ":stream",
    "/stream",
    "POST /v1/admin/limits",
    "/v1/marketdata:subscribe",
    "/v1/auth/logout",
    "/webhooks/",
    "/v1/auth/step-up",
)
COUNTED_BY_ADDRESS = "BUCKET_LOGIN"
QUICKLY = settings(
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# A schema cannot say what holds between fields, so good data may be refused all the same; who may call is the access matrix's.
NOT_ASKED = [positive_data_acceptance, ignored_auth]


@pytest.fixture(scope="module")
def iris(rest: Rest) -> Person:
    return join(rest, "iris")


@pytest.fixture(scope="module")
def nora(venue: Venue, rest: Rest) -> str:
    """The token of an administrator who does nothing else: administration takes thirty calls of each at a time."""
    person = join(rest, "nora")
    done = venue.run("users", "role", person.email, "admin")
    assert done.returncode == 0, done.stderr
    desk = Rest(administration(venue))
    answer = desk.call("admin.v1.AdminService.CreateAdminToken", {}, log_in(rest, person.email))
    desk.close()
    token: str = answer["accessToken"]
    return token


def administration(venue: Venue) -> str:
    return f"http://127.0.0.1:{venue.port('ADMIN')}"


def document(name: str = "venue") -> Any:
    return json.loads((ROOT / "gen" / "openapi" / f"{name}.json").read_text())


def asked(
    described: Any, url: str, token: str, only: str = "", examples: int = EXAMPLES
) -> Iterator[tuple[str, int, str]]:
    """Operation, status, and what differs from the document, of each call made."""
    schema = schemathesis.openapi.from_dict(described)
    schema.config.update(base_url=url)
    # Credentials are the test's own.
    schema.config.generation.update(with_security_parameters=False)
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        label = operation.label
        told = operation.definition.raw["description"]
        if any(each in label for each in LEFT_OUT) or COUNTED_BY_ADDRESS in told or only not in label:
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            yield from answers(operation, mode, token, examples)


def answers(operation: Any, mode: GenerationMode, token: str, examples: int) -> list[tuple[str, int, str]]:
    """Some calls of one operation, with data that its schema allows or forbids."""
    seen: list[tuple[str, int, str]] = []

    @settings(QUICKLY, max_examples=examples)
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        answer, differs = case.call(headers={"authorization": f"Bearer {token}"}, timeout=20), ""
        try:
            case.validate_response(answer, excluded_checks=NOT_ASKED)
        except FailureGroup as failures:
            differs = "\n".join(str(each) for each in failures.exceptions)
        seen.append((operation.label, answer.status_code, differs))

    try:
        call()
    except Unsatisfiable:
        # What takes nothing cannot be asked wrongly.
        assert mode == GenerationMode.NEGATIVE, operation.label
    return seen


def test_each_port_serves_its_document(venue: Venue) -> None:
    for port, name in (("GATEWAY", "venue"), ("ADMIN", "administration")):
        answer = httpx.get(f"http://127.0.0.1:{venue.port(port)}/openapi.json")
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert answer.content == (ROOT / "gen" / "openapi" / f"{name}.json").read_bytes()
        page = httpx.get(f"http://127.0.0.1:{venue.port(port)}/reference")
        assert (page.status_code, "REST reference" in page.text) == (200, True)
        assert "script-src 'self'" in page.headers["content-security-policy"]


@pytest.mark.timeout(900)  # some seconds of processor; many times as long where others use it too
def test_what_is_served_is_what_the_document_says(venue: Venue, iris: Person) -> None:
    calls = list(asked(document(), venue.url, iris.token))
    assert [call for call in calls if call[2]] == []
    statuses = Counter(status for _, status, _ in calls)
    assert len({label for label, _, _ in calls}) > 50
    assert min(statuses[200], statuses[400], statuses[404]) > 5


@pytest.mark.timeout(900)
def test_what_administration_serves_is_what_its_document_says(venue: Venue, nora: str) -> None:
    calls = list(asked(document("administration"), administration(venue), nora, examples=1))
    assert [call for call in calls if call[2]] == []
    statuses = Counter(status for _, status, _ in calls)
    assert len({label for label, _, _ in calls}) > 25
    assert min(statuses[200], statuses[400], statuses[404]) > 3, statuses


def test_a_document_that_says_otherwise_is_found_out(venue: Venue, iris: Person) -> None:
    wrong = deepcopy(document())
    wrong["components"]["schemas"]["marketdata.v1.Market"]["properties"]["tickSize"] = {"type": "number"}
    wrong["components"]["schemas"]["google.rpc.Status"]["properties"]["code"] = {"type": "string"}
    found = {label: why for label, _, why in asked(wrong, venue.url, iris.token, only="/v1/markets") if why}
    assert "is not of type" in found["GET /v1/markets"]
    assert "is not of type" in found["GET /v1/markets/{symbol}"]
