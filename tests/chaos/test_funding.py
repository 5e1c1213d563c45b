"""The process that money comes in and goes out through, killed at each named place: no money and no letter is lost or doubled."""

import asyncio
import json
import signal
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import grpc
import pyotp
from google.api import httpbody_pb2

from db.crash_points import POINTS
from db.session import connect
from servers.funding.simulator.outbound import FINANCIAL_ACCOUNT
from servers.funding.simulator.stripe import StripeSimulator
from servers.transport.caller import channel_to
from tests.chaos.checker import FAULTS
from tests.chaos.driver import READY_S, Child, Venue, serves
from venue.account.v1 import account_pb2, account_pb2_grpc
from venue.auth.v1 import auth_pb2, auth_pb2_grpc
from venue.funding.v1 import funding_pb2 as pb
from venue.funding.v1 import funding_pb2_grpc, kyc_pb2, withdrawal_pb2

LIVE: Final = 1
NAME: Final = "Ulla Berg"
BANK: Final = {"holder_name": NAME, "account_number": "000123456789", "bank_code": "110000000", "country": "US"}
# Whoever claims a step has a while for it; nobody waits for that here.
DUE: Final = "UPDATE withdrawals SET next_time = clock_timestamp()"


@dataclass
class Customer:
    """Somebody who may do everything, and what he was told so far."""

    venue: Venue
    api: Child
    company: StripeSimulator
    metadata: tuple[tuple[str, str], ...] = ()
    account_id: str = ""
    beneficiary_id: str = ""
    ids: dict[str, str] = field(default_factory=lambda: {each: str(uuid.uuid4()) for each in ("in", "out")})

    async def rows(self, statement: str, *values: object) -> list[Any]:
        async with await connect(self.venue.database_url, application_name="chaos") as connection:
            cursor = await connection.execute(statement.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def ask(self, service: str, request: Any) -> Any:
        """Raises AioRpcError."""
        stubs: dict[str, Any] = {
            "auth": auth_pb2_grpc.AuthServiceStub,
            "account": account_pb2_grpc.AccountServiceStub,
            "funding": funding_pb2_grpc.FundingServiceStub,
        }
        async with channel_to(f"127.0.0.1:{self.venue.ports['api']}") as channel:
            method = getattr(stubs[service](channel), type(request).__name__.removesuffix("Request"))
            return await method(request, metadata=self.metadata, timeout=10)

    async def heard(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """The answer of a call that is made until it has one, or the process has ended: on what a crash left half done the next
        one goes on beside the first calls, and refuses a withdrawal while anything is owed. Raises AioRpcError.
        """
        deadline = time.monotonic() + READY_S
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError:
                if time.monotonic() > deadline or not self.api.runs:
                    raise
                await asyncio.sleep(0.1)

    async def log_in(self, email: str, password: str, **more: str) -> None:
        granted = await self.ask("auth", auth_pb2.LoginRequest(email=email, password=password, **more))
        self.metadata = (("authorization", f"Bearer {granted.access_token}"),)

    async def arrive(self) -> None:
        """Known, with a second factor, a trading account and a bank."""
        people = [f"{uuid.uuid4().hex}@example.com" for _ in range(2)]
        password = uuid.uuid4().hex
        for email in people:
            await self.ask("auth", auth_pb2.RegisterRequest(email=email, password=password))
        await self.rows("UPDATE users SET email_verified = true WHERE email = ANY(%s)", people)
        await self.log_in(people[0], password)
        begun = await self.ask("auth", auth_pb2.EnrollTotpRequest())
        await self.ask("auth", auth_pb2.ConfirmTotpRequest(code=pyotp.TOTP(begun.secret).now()))
        await self.log_in(people[0], password, totp_code=begun.recovery_codes[0])
        document = kyc_pb2.KycDocument(
            type=kyc_pb2.KYC_DOCUMENT_TYPE_PASSPORT, file_name="p.jpg", media_type="image/jpeg", size_bytes=9,
            sha256="ab" * 32,
        )  # fmt: skip
        about = kyc_pb2.KycDetails(full_name=NAME, birth_date="1990-12-31", country="US", documents=[document])
        submitted = await self.ask("funding", pb.SubmitKycRequest(level=kyc_pb2.KYC_LEVEL_BASIC, details=about))
        await self.rows(
            "UPDATE kyc_submissions SET state = 'APPROVED', decide_time = now(),"
            " decider = (SELECT user_id FROM users WHERE email = %s) WHERE kyc_submission_id = %s",
            people[1],
            submitted.submission.kyc_submission_id,
        )
        opened = account_pb2.CreateAccountRequest(type=account_pb2.ACCOUNT_TYPE_TRADING)
        self.account_id = (await self.ask("account", opened)).account.account_id
        added = await self.ask("funding", withdrawal_pb2.CreateBeneficiaryRequest(label="bank", **BANK))
        self.beneficiary_id = added.beneficiary.beneficiary_id
        await self.rows("UPDATE beneficiaries SET active_time = create_time")
        # What was mailed until here is of no interest.
        await self.rows("DELETE FROM outgoing")

    async def deposit(self) -> str:
        """Ask for the deposit, again as often as it takes: Stripe's session."""
        request = pb.CreateDepositRequest(
            account_id=self.account_id, asset="USD", amount="150", provider=pb.DEPOSIT_PROVIDER_STRIPE,
            request_id=self.ids["in"],
        )  # fmt: skip
        url: str = (await self.heard(lambda: self.ask("funding", request))).deposit.checkout_url
        return url.rpartition("/")[2]

    async def pay(self) -> None:
        await self.tell(self.company.complete(await self.deposit()))

    async def refund(self) -> None:
        ((session_id, _),) = self.company.sessions.items()
        await self.tell(self.company.refund(session_id, 2000))

    async def withdraw(self) -> None:
        request = withdrawal_pb2.CreateWithdrawalRequest(
            account_id=self.account_id, asset="USD", amount="100", beneficiary_id=self.beneficiary_id,
            provider=withdrawal_pb2.PAYOUT_PROVIDER_STRIPE, request_id=self.ids["out"],
        )  # fmt: skip
        await self.heard(lambda: self.ask("funding", request))

    async def post(self) -> None:
        ((payment_id, _),) = self.company.payouts.made.items()
        await self.tell(self.company.payout(payment_id, "posted"))

    async def tell(self, told: Any) -> None:
        """An event of Stripe's, told twice: the second time as if it had been lost."""
        for _ in range(2):
            body, signature = self.company.signed(told)
            request = pb.ReceiveStripeEventRequest(body=httpbody_pb2.HttpBody(data=body))
            metadata = (("stripe-signature", signature),)
            async with channel_to(f"127.0.0.1:{self.venue.ports['api']}") as channel:
                stub: Any = funding_pb2_grpc.FundingServiceStub(channel)
                await self.heard(partial(stub.ReceiveStripeEvent, request, metadata=metadata))

    async def usd(self) -> tuple[str, str]:
        """Available and held."""
        listed = await self.ask("account", account_pb2.ListBalancesRequest(account_id=self.account_id))
        return next(((each.available, each.held) for each in listed.balances if each.asset == "USD"), ("0", "0"))


@asynccontextmanager
async def arrived(venue: Venue, folder: Path) -> AsyncIterator[Customer]:
    """A customer of a process `api` of its own, with a company that is outside of it."""
    company = StripeSimulator("http://127.0.0.1:1/nobody-hears")
    await company.start()
    api = venue.process(
        "api",
        folder / "api.log",
        venue.ports,
        stripe_api_key=company.api_key,
        stripe_webhook_secrets=json.dumps([company.webhook_secret]),
        stripe_url=company.url,
        stripe_financial_account=FINANCIAL_ACCOUNT,
    )
    customer = Customer(venue, api, company)
    try:
        await asyncio.to_thread(venue.processes["api"].end, signal.SIGTERM)
        api.start()
        await asyncio.to_thread(venue.wait, lambda: serves(venue.ports["api"]), api)
        await customer.arrive()
        yield customer
    finally:
        if api.runs:
            await asyncio.to_thread(api.end, signal.SIGTERM)
        await company.stop()


async def killed_at(customer: Customer, point: str, act: Callable[[], Awaitable[object]] | None) -> None:
    """Start the process anew; it ends itself at a place, which it comes to by itself or when it is asked for something."""
    customer.venue.crash_points("api").write_text(f"{point} 1")
    await asyncio.to_thread(customer.api.end, signal.SIGKILL)
    await customer.rows(DUE)
    customer.api.start()
    if act is not None:
        await asyncio.to_thread(customer.venue.wait, lambda: serves(customer.venue.ports["api"]), customer.api)
        with suppress(grpc.aio.AioRpcError):
            await act()
    await asyncio.to_thread(customer.api.wait)


async def test_funding_killed_between_any_two_steps_loses_and_doubles_nothing(venue: Venue, tmp_path: Path) -> None:
    async with arrived(venue, tmp_path) as customer:
        # What no deed is named for is gone on with by the process itself.
        deeds: dict[str, Callable[[], Awaitable[object]]] = {
            "deposit-written": customer.deposit,
            "deposit-page-made": customer.deposit,
            "deposit-paid": customer.pay,
            "reversal-held": customer.refund,
            "withdrawal-written": customer.withdraw,
            "payout-told": customer.post,
        }
        for point in POINTS["api"]:
            await killed_at(customer, point, deeds.get(point))
        customer.api.start()
        await asyncio.to_thread(venue.wait, lambda: serves(venue.ports["api"]), customer.api)
        # Whoever was not answered asks again, and whoever was not heard tells again.
        await customer.deposit()
        await customer.withdraw()
        await customer.post()
        assert await customer.usd() == ("40", "0")
        assert (len(customer.company.sessions), len(customer.company.payouts.made)) == (1, 1)
        told = await customer.rows("SELECT template FROM outgoing")
        assert Counter(template for (template,) in told) == dict.fromkeys(
            ("deposit_credited", "bonus_credited", "deposit_reversed", "withdrawal_requested", "withdrawal_sent"), 1
        )
        asked = account_pb2.ListLedgerEntriesRequest(account_id=customer.account_id, asset="USD")
        async with asyncio.timeout(30):
            while len(entries := (await customer.ask("account", asked)).entries) < 4:  # noqa: ASYNC110  written elsewhere
                await asyncio.sleep(0.1)
        assert sorted(each.amount for each in entries) == ["-100", "-20", "10", "150"]
        for fault in ("ledger sums", "balances fold", "negatives"):
            async with await connect(venue.database_url, application_name="chaos") as connection:
                values: Any = {"p": LIVE} if "%(p)s" in FAULTS[fault] else [LIVE]
                assert await (await connection.execute(FAULTS[fault].encode(), values)).fetchall() == [], fault
