"""Money moves once though the answer was lost (f22): who asks again under the same request_id gets the first answer.

Withdrawals, which need more of a customer, are asked for so in test_withdrawals.py.
"""

import uuid
from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.e2e.fault_proxy import Fault, FaultProxy
from tests.e2e.launching import Venue, eventually
from tests.e2e.lost_answers import lose
from tests.e2e.people import Person, join
from tests.e2e.rest import Json
from tests.e2e.ways import Native, Rest, Way

ACCOUNTS, FUNDING = "account.v1.AccountService", "funding.v1.FundingService"
Totals = dict[tuple[str, str], Decimal]


@pytest.fixture(scope="module")
def proxy(venue: Venue) -> Iterator[FaultProxy]:
    """Between a client and the gateway."""
    made = FaultProxy(venue.port("GATEWAY"))
    yield made
    made.close()


@pytest.fixture(params=["rest", "grpc"])
def way(proxy: FaultProxy, request: pytest.FixtureRequest) -> Iterator[Way]:
    address = f"127.0.0.1:{proxy.port}"
    made = Rest(f"http://{address}") if request.param == "rest" else Native(address)
    yield made
    proxy.fault = Fault.NONE
    made.close()


@pytest.fixture(scope="module")
def payer(rest: Rest) -> Person:
    return join(rest, "unheard")


@pytest.fixture(scope="module")
def second(rest: Rest, payer: Person) -> str:
    """Another account of the payer's."""
    asked = {"type": "ACCOUNT_TYPE_DEMO", "name": "second"}
    made: str = rest.call(f"{ACCOUNTS}.CreateAccount", asked, payer.token)["account"]["accountId"]
    return made


def totals(rest: Rest, payer: Person, *accounts: str) -> Totals:
    """By account and asset."""
    found: Totals = {}
    for account_id in accounts:
        listed = rest.call(f"{ACCOUNTS}.ListBalances", {"accountId": account_id}, payer.token)["balances"]
        found |= {(account_id, each["asset"]): Decimal(each["total"]) for each in listed}
    return found


def test_f22_money_moves_once_though_the_answer_was_lost(
    way: Way, proxy: FaultProxy, rest: Rest, payer: Person, second: str
) -> None:
    first = payer.account_id
    quoted = {"accountId": first, "fromAsset": "USD", "fromAmount": "100", "toAsset": "BTC"}

    def has() -> Totals:
        return totals(rest, payer, first, second)

    def quote() -> Json:
        found: Json = way.call(f"{ACCOUNTS}.QuoteConversion", quoted, payer.token)["quote"]
        return found

    sandbox = {"asset": "USD", "amount": "7", "provider": "DEPOSIT_PROVIDER_SANDBOX"}
    deposit: Json = {"accountId": first} | sandbox
    transfer: Json = {"fromAccountId": first, "toAccountId": second, "asset": "USD", "amount": "5"}
    for method, asked in (
        (f"{FUNDING}.CreateDeposit", deposit),
        (f"{ACCOUNTS}.CreateTransfer", transfer),
        (f"{ACCOUNTS}.CreateConversion", None),
    ):
        # Asked last, as a quote does not hold for long; and it makes the connection.
        offered = quote()
        sent = (asked or {"quoteId": offered["quoteId"]}) | {"requestId": str(uuid.uuid4())}
        before = has()
        lose(proxy, lambda: way.call(method, sent, payer.token), lambda: has() != before)  # noqa: B023  done in this turn
        after = has()
        again = [way.call(method, sent, payer.token) for _ in range(2)]
        assert [each["replayed"] for each in again] == [True, True], method
        assert has() == after, method
        moved = {place: after[place] - amount for place, amount in before.items() if after[place] != amount}
        assert (
            moved
            == {
                f"{FUNDING}.CreateDeposit": {(first, "USD"): Decimal(7)},
                f"{ACCOUNTS}.CreateTransfer": {(first, "USD"): Decimal(-5), (second, "USD"): Decimal(5)},
                f"{ACCOUNTS}.CreateConversion": {
                    (first, "USD"): Decimal(-100),
                    (first, "BTC"): Decimal(offered["toAmount"]),
                },
            }[method]
        )
        # The same answer each time; a deposit is written down as credited a moment after it is.
        if method.endswith("CreateDeposit"):
            named = {"depositId": again[0]["deposit"]["depositId"]}
            eventually(
                lambda: (
                    way.call(f"{FUNDING}.GetDeposit", named, payer.token)["deposit"]["state"]  # noqa: B023
                    == "DEPOSIT_STATE_SUCCEEDED"
                ),
                "the deposit is credited",
            )
            assert {each["deposit"]["depositId"] for each in again} == {named["depositId"]}
        else:
            assert again[0] == again[1], method
