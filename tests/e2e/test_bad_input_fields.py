"""Every field of every request made wrong, over REST and over gRPC: the right code, and nothing changes."""

import re

import pytest

from tests.e2e.mutations import Case, cases, changed, public, request_of, unserved
from tests.e2e.probe import RAW, GrpcProbe, RestProbe, Said, Victim, has_rest
from tests.e2e.strong import TokenFor

UNSERVED = frozenset({"UNIMPLEMENTED"})
FIELDS = {method: list(cases(method)) for method in public()}
MUTABLE = [method for method in public() if FIELDS[method]]
# Rules of these fields speak of the whole message or of its first fault, so another field may be the one that is named.
ENTANGLED = re.compile(r"quote_amount|stop_price|post_only|expire_time")


def right(case: Case, said: Said, codes: frozenset[str]) -> str:
    """What is wrong with an answer, in words; empty where nothing is."""
    if said.code not in codes:
        return f"{case.name}: {said}"
    names_field = said.fields and said.reason == "INVALID_FIELD" and not ENTANGLED.search(case.field)
    if names_field and not any(case.field.startswith(field) or field.startswith(case.field) for field in said.fields):
        return f"{case.name} names {said.fields}"
    return ""


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("method", [method for method in MUTABLE if has_rest(method)])
def test_s20_a_wrong_field_is_refused_over_rest(
    method: str, over_rest: RestProbe, victim: Victim, token_for: TokenFor
) -> None:
    good = request_of(method, victim.person.account_id, victim.order_id)
    token = token_for(method)
    wrong = []
    for case in FIELDS[method]:
        request = changed(good, case.path, RAW if case.raw else case.value)
        codes = case.codes | UNSERVED if method in unserved() else case.codes
        # An empty id in a path is another path, and some signs no path may have.
        if case.value == "" or in_path(method, case):
            codes |= {"NOT_FOUND", "INVALID_ARGUMENT"}
        try:
            said = over_rest.ask(method, request, token, case.value if case.raw else None)
        except LookupError:
            continue
        wrong.append(right(case, said, codes))
    assert not any(wrong), "\n".join(filter(None, wrong))


def in_path(method: str, case: Case) -> bool:
    return case.path in {("accountId",), ("symbol",), ("orderId",)} and not method.endswith(("PlaceOrder", "Register"))


@pytest.mark.usefixtures("untouched")
@pytest.mark.parametrize("method", MUTABLE)
def test_s20_a_wrong_field_is_refused_over_grpc(
    method: str, over_grpc: GrpcProbe, victim: Victim, token_for: TokenFor
) -> None:
    good = request_of(method, victim.person.account_id, victim.order_id)
    token = token_for(method)
    wrong = []
    for case in FIELDS[method]:
        if case.raw:
            continue
        codes = UNSERVED if method in unserved() else case.codes
        said = over_grpc.ask(method, changed(good, case.path, case.value), token)
        wrong.append(right(case, said, codes))
    assert not any(wrong), "\n".join(filter(None, wrong))


def test_the_requests_that_were_made_wrong_were_right(
    over_grpc: GrpcProbe, over_rest: RestProbe, victim: Victim
) -> None:
    # Else they could be refused for another reason, and every test above would pass.
    reads = [method for method in MUTABLE if re.search(r"\.(Get|List|Stream|Subscribe|Session)", method)]
    refused = {}
    for method in reads:
        good = request_of(method, victim.person.account_id, victim.order_id)
        refused[method] = {over_grpc.ask(method, good, victim.person.token).reason}
        if has_rest(method):
            refused[method].add(over_rest.ask(method, good, victim.person.token).reason)
    absent = {
        method: {each for each in reasons if each and not each.endswith("_NOT_FOUND")}
        for method, reasons in refused.items()
    }
    assert {method: reasons for method, reasons in absent.items() if reasons} == {}
    assert len(reads) >= 15


def test_mutations_are_many_and_of_every_served_method() -> None:
    assert sum(len(found) for found in FIELDS.values()) > 2_000
    bodies = {method.rpartition(".")[2] for method in public()} - {method.rpartition(".")[2] for method in MUTABLE}
    # These ask for nothing.
    asking_nothing = {
        "DeletePhoneNumber",
        "DisableTotp",
        "EnrollTotp",
        "GetJwks",
        "GetKyc",
        "GetPhoneNumber",
        "GetPreferences",
        "GetQuota",
        "Logout",
        "WhoAmI",
    }
    assert bodies == asking_nothing
