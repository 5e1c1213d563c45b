"""Every field of every request of administration made wrong, over REST and gRPC: the right code, and nothing changes (s20, s22).

What only the servicer can refuse counts against the 30 calls a minute, so it stands in the tests of the room.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.contract.descriptors import methods
from tests.e2e.launching import Venue
from tests.e2e.mutations import WRONG, Case, cases, changed, request_of
from tests.e2e.people import log_in
from tests.e2e.probe import RAW, GrpcProbe, RestProbe
from tests.e2e.test_bad_input_fields import right
from tests.e2e.ways import Native, Rest

ADMIN = "admin.v1.AdminService"
METHODS = sorted(name.removeprefix("venue.") for name in methods() if name.startswith(f"venue.{ADMIN}."))
LATE = {"asset", "page_token", "resume_after"}


def early(case: Case) -> bool:
    """Whether the guard refuses it, or the gateway."""
    return case.codes == WRONG and case.field.rpartition(".")[2] not in LATE


FIELDS = {method: list(filter(early, cases(method))) for method in METHODS}
MUTABLE = [method for method in METHODS if FIELDS[method]]


@pytest.fixture(scope="module")
def admin_token(venue: Venue, rest: Rest) -> Iterator[str]:
    native = Native(f"127.0.0.1:{venue.port('ADMIN')}")
    plain = log_in(rest, "admin@venue.local", venue.logins["admin@venue.local"])
    token: str = native.call(f"{ADMIN}.CreateAdminToken", {}, plain)["accessToken"]

    def state() -> list[Any]:
        asked = ("ListUsers", "ListPendingActions", "GetLimits")
        return [native.call(f"{ADMIN}.{name}", {}, token) for name in asked]

    before = state()
    yield token
    assert state() == before
    native.close()


@pytest.fixture(scope="module")
def over_rest(venue: Venue) -> Iterator[RestProbe]:
    made = RestProbe(f"http://127.0.0.1:{venue.port('ADMIN')}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def over_grpc(venue: Venue) -> Iterator[GrpcProbe]:
    made = GrpcProbe(f"127.0.0.1:{venue.port('ADMIN')}")
    yield made
    made.close()


@pytest.mark.parametrize("method", MUTABLE)
def test_s20_a_wrong_field_of_administration_is_refused(
    method: str, over_rest: RestProbe, over_grpc: GrpcProbe, admin_token: str
) -> None:
    good, wrong = request_of(method, "demo-none", "2-1"), []
    if method.endswith("SetLimits"):
        # In a market not all limits can be set.
        del good["rule"]["symbol"]
    for case in FIELDS[method]:
        if not case.raw:
            said = over_grpc.ask(method, changed(good, case.path, case.value), admin_token)
            wrong.append(right(case, said, case.codes))
        # An empty id in a path is another path.
        codes = case.codes | {"NOT_FOUND"} if case.value == "" else case.codes
        request = changed(good, case.path, RAW if case.raw else case.value)
        try:
            said = over_rest.ask(method, request, admin_token, case.value if case.raw else None)
        except LookupError:
            continue
        wrong.append(right(case, said, codes))
    assert not any(wrong), "\n".join(filter(None, wrong))


def test_mutations_are_many_and_of_every_method_that_asks_for_something() -> None:
    assert sum(map(len, FIELDS.values())) > 200
    assert {method.rpartition(".")[2] for method in METHODS} - {method.rpartition(".")[2] for method in MUTABLE} == {
        "CreateAdminToken",
        "GetSystemStatus",
        "StreamSystem",
    }
