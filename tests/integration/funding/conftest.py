"""FundingService as process `api` serves it, with engines, projectors, accounts and a simulated Stripe around it."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.api import httpbody_pb2
from prometheus_client import CollectorRegistry
from sqlalchemy.ext.asyncio import AsyncEngine

from db import crash_points
from db.audit import Action
from db.kyc import level_at
from db.sealing import Place, Sealer
from db.session import SERVICES, Pool, connect, engine, open_pool
from db.streams import open_bus
from servers.admin.executors import CONFIRM_DEPOSIT, DECIDE_WITHDRAWAL, Kind, done_by
from servers.admin.pending_actions import PendingActions
from servers.domain.letters import Template
from servers.domain.money import parse
from servers.engine.client import Engines
from servers.engine.remote import RemoteEngine
from servers.engine.replica import run as project
from servers.funding.bank_transfer import BankTransfer
from servers.funding.beneficiaries import Beneficiaries
from servers.funding.compliance import ComplianceDesk
from servers.funding.create_deposit import Beginning
from servers.funding.credit_deposit import Bonus, Crediting
from servers.funding.desk import DepositDesk
from servers.funding.letters import Letters
from servers.funding.monitor_deposits import Watch
from servers.funding.movements import Movements
from servers.funding.payouts import BankPayouts, PayoutProvider, SandboxPayouts
from servers.funding.provider import Provider
from servers.funding.receive_event import Receiving
from servers.funding.request_withdrawal import Policy, Requesting
from servers.funding.reverse_deposit import Reversing
from servers.funding.sandbox import Sandbox
from servers.funding.screening import NameList, Rules, Together
from servers.funding.servicer import FundingServicer, Rooms
from servers.funding.settle_withdrawal import Pace, Settling
from servers.funding.simulator.outbound import FINANCIAL_ACCOUNT
from servers.funding.simulator.stripe import StripeSimulator
from servers.funding.stripe_client import Credentials, StripeClient
from servers.funding.stripe_payments import Stripe
from servers.funding.stripe_payouts import StripePayouts
from servers.funding.submit_kyc import Submitting
from servers.funding.sweep import Sweeper
from servers.funding.withdrawal_servicer import Outgoing
from servers.notify.writing import write
from servers.transport.errors import from_call
from servers.transport.guard import Guard
from servers.transport.identity import ANONYMOUS, TokenVerifier
from servers.transport.limits import Limits
from servers.transport.paging import PageTokens
from servers.transport.server import build_server
from servers.transport.telemetry import Metrics
from tests.integration.account.conftest import PARTITIONS, Floor, User, measures, routes_of
from tests.integration.admin.conftest import KEYS, add_people, user_id
from tests.servers import free_port
from tests.unit.transport.conftest import Keys
from venue.account.v1 import account_pb2, account_pb2_grpc
from venue.funding.v1 import funding_pb2 as pb
from venue.funding.v1 import funding_pb2_grpc
from venue.order.v1 import order_service_pb2_grpc

BONUS = Bonus(parse("100"), parse("10"))
POLICY = Policy(
    limits={1: (parse("2000"), parse("3000")), 2: (parse("100000"), parse("500000"))},
    review=parse("1000"),
    large=parse("1500"),
    rates={"USD": parse("1"), "EUR": parse("1.25")},
)


# Nothing waits: a sweep does what it can.
AT_ONCE = Pace(claim=timedelta(0), first_s=0.0, longest_s=0.0, waiting=timedelta(0))


class Killed(BaseException):
    """In place of the end of the process: nothing behind it is done, and the database rolls back what was not committed."""


@dataclass(kw_only=True)
class Till:
    """The running service, and what tests look at beside it."""

    keys: Keys
    engine: AsyncEngine
    stub: "funding_pb2_grpc.FundingServiceAsyncStub"
    customer: Callable[[str], User]
    stripe: StripeSimulator
    beginning: Beginning
    receiving: Receiving
    sweeper: Sweeper
    desk: DepositDesk
    sandbox: SandboxPayouts
    out: Outgoing
    compliance: ComplianceDesk
    pending: PendingActions
    database_url: str

    async def mails(self) -> list[Template]:
        """The letters to users that are stored, in order; each could be written."""
        found = await self.rows("SELECT message_id, user_id, template, content FROM outgoing ORDER BY create_time")
        for message_id, user, template, content in found:
            plain = json.loads(Sealer(lambda: KEYS).open(Place("outgoing", "content", message_id), bytes(content)))
            assert write(plain["address"], Template(template), plain["values"]).text
            assert plain["address"].partition("@")[0] in user
        return [Template(row[2]) for row in found]

    def metadata(self, name: str) -> tuple[tuple[str, str], ...]:
        """Of a session with a second factor just now."""
        claims: dict[str, Any] = {"auth_time": int(time.time()), "amr": ["pwd", "otp"]}
        token = self.keys.token(sub=user_id(name), sid=f"ses-{name}", scope="read trade account withdraw", **claims)
        return (("authorization", f"Bearer {token}"),)

    def call(self, name: str) -> Any:
        """What a deed sees of a call, where it is called without one."""
        user = user_id(name)
        identity = replace(ANONYMOUS, user_id=user, session_id=f"ses-{name}")
        return SimpleNamespace(user_id=user, identity=identity, peer="127.0.0.1", request_id="test")

    async def ask(self, name: str, request: Any) -> Any:
        method = getattr(self.stub, type(request).__name__.removesuffix("Request"))
        return await method(request, metadata=self.metadata(name))

    async def refused(self, call: Awaitable[Any]) -> tuple[str, str]:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await call
        error = from_call(failed.value)
        return error.code, error.reason

    async def deposit(self, name: str, account_id: str, amount: str = "250.5", **more: Any) -> pb.Deposit:
        fields: dict[str, Any] = {"asset": "USD", "provider": pb.DEPOSIT_PROVIDER_STRIPE} | more
        made = await self.ask(name, pb.CreateDepositRequest(account_id=account_id, amount=amount, **fields))
        found: pb.Deposit = made.deposit
        return found

    async def get(self, name: str, deposit_id: str) -> pb.Deposit:
        found: pb.Deposit = (await self.ask(name, pb.GetDepositRequest(deposit_id=deposit_id))).deposit
        return found

    def session_of(self, deposit: pb.Deposit) -> str:
        return deposit.checkout_url.rpartition("/")[2]

    async def tell(self, told: Any, **how: Any) -> pb.ReceiveStripeEventResponse:
        """An event of Stripe, as it comes."""
        body, signature = self.stripe.signed(told, **how)
        return await self.send(body, signature)

    async def send(self, body: bytes, signature: str) -> pb.ReceiveStripeEventResponse:
        request = pb.ReceiveStripeEventRequest(body=httpbody_pb2.HttpBody(data=body))
        metadata = (("stripe-signature", signature),) if signature else ()
        return await self.stub.ReceiveStripeEvent(request, metadata=metadata)

    async def usd(self, name: str, account_id: str) -> tuple[str, str, str]:
        """Available, held and total."""
        return (await self.customer(name).balances(account_id)).get("USD", ("0", "0", "0"))

    async def rows(self, statement: str, *arguments: object) -> list[Any]:
        async with await connect(self.database_url, application_name="test") as connection:
            cursor = await connection.execute(statement.encode(), arguments)
            return await cursor.fetchall() if cursor.description else []

    async def live(self, name: str) -> str:
        """A trading account."""
        opened = await self.customer(name).open(account_pb2.ACCOUNT_TYPE_TRADING)
        return opened.account.account_id


def killing(monkeypatch: pytest.MonkeyPatch, point: str) -> None:
    """The next passing of a place ends what is being done."""

    def kill(pid: int, signal: int) -> None:
        raise Killed

    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(crash_points._Asked, "name", point)
    monkeypatch.setattr(crash_points._Asked, "left", 1)


def spared(monkeypatch: pytest.MonkeyPatch) -> bool:
    """Nobody is ended any more. Whether it came to that."""
    ended = crash_points._Asked.left <= 0
    monkeypatch.setattr(crash_points._Asked, "name", "")
    return ended


@dataclass(frozen=True)
class Ground:
    """What runs beside funding: engines, projectors, accounts."""

    floor: Floor
    keys: Keys
    guard: Guard
    pool: Pool
    address: str
    account_port: int


async def grounded(stack: AsyncExitStack, database_url: str, redis_url: str) -> Ground:
    await add_people(database_url)
    keys = Keys()
    verifier = TokenVerifier(keys.public, keys.revoked_ids)
    await verifier.fetch_keys()
    pool = await open_pool(database_url, application_name="test", role=SERVICES)
    stack.push_async_callback(pool.close)
    guard = Guard(verifier, Limits({}), Metrics(CollectorRegistry()), kyc_levels=partial(level_at, pool))
    bus = open_bus(redis_url)
    stack.push_async_callback(bus.aclose)
    floor = Floor(stack, pool, database_url, bus, guard, 15.0)
    address = f"127.0.0.1:{free_port()}"
    await floor.lead(address)
    tails = {number: each.tail for number, each in floor.remote.items()}
    floor.begin(project(PARTITIONS, database_url, redis_url, 1000, tails.__getitem__, measures()))
    _, account_port = await floor.account_server()
    return Ground(floor, keys, guard, pool, address, account_port)


async def stripes(stack: AsyncExitStack) -> tuple[StripeSimulator, StripeClient]:
    """A simulated company, and how it is reached; nobody hears what it says by itself."""
    simulator = StripeSimulator("http://127.0.0.1:1/webhooks/stripe")
    await simulator.start()
    stack.push_async_callback(simulator.stop)

    async def credentials() -> Credentials:
        return Credentials(simulator.api_key, ("whsec_old", simulator.webhook_secret), simulator.url, FINANCIAL_ACCOUNT)

    client = StripeClient(credentials)
    stack.push_async_callback(client.close)
    return simulator, client


def outgoing(
    tables: AsyncEngine, engines: Engines[RemoteEngine], movements: Movements, tokens: PageTokens, client: StripeClient
) -> tuple[Outgoing, SandboxPayouts]:
    """What goes out, and the company that seems to pay."""
    sealer, sandbox = Sealer(lambda: KEYS), SandboxPayouts(look_s=0)
    letters = Letters(sealer)
    payouts: dict[str, PayoutProvider] = {
        "MANUAL": BankPayouts(), "SANDBOX": sandbox, "STRIPE": StripePayouts(client),
    }  # fmt: skip
    screener = Together([Rules(["KP"]), NameList(["Ivan Listed"])])
    made = Outgoing(
        engine=tables,
        submitting=Submitting(tables, sealer, screener),
        beneficiaries=Beneficiaries(tables, sealer, timedelta(hours=1), letters),
        requesting=Requesting(tables, engines, payouts, POLICY, screener, sealer, letters),
        settling=Settling(tables, movements, payouts, sealer, letters, AT_ONCE),
        policy=POLICY,
        page_tokens=tokens,
    )
    return made, sandbox


async def customers(stack: AsyncExitStack, keys: Keys, account_port: int, address: str) -> Callable[[str], User]:
    """Makes customers of the accounts and orders beside funding."""
    to_accounts = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{account_port}"))
    to_orders = await stack.enter_async_context(grpc.aio.insecure_channel(address))
    accounts = account_pb2_grpc.AccountServiceStub(to_accounts)
    orders = order_service_pb2_grpc.OrderServiceStub(to_orders)

    def customer(name: str) -> User:
        claims: dict[str, Any] = {"sub": user_id(name), "sid": f"ses-{name}", "scope": "read trade account"}
        return User(token=keys.token(email_verified=True, **claims), accounts=accounts, orders=orders)

    return customer


@pytest.fixture
async def till(database_url: str, redis_url: str) -> AsyncIterator[Till]:
    async with AsyncExitStack() as stack:
        ground = await grounded(stack, database_url, redis_url)
        floor, keys, pool = ground.floor, ground.keys, ground.pool
        tables = engine(database_url, application_name="test funding", role=SERVICES)
        stack.push_async_callback(tables.dispose)
        simulator, client = await stripes(stack)
        stripe = Stripe(client, "http://127.0.0.1")
        letters = Letters(Sealer(lambda: KEYS))
        engines = routes_of(floor.remote)
        manual = BankTransfer({"USD": "IBAN 1"})
        providers: dict[str, Provider] = {"STRIPE": stripe, "MANUAL": manual, "SANDBOX": Sandbox()}
        movements = Movements(engines, pool)
        crediting = Crediting(
            tables, movements, {"USD": BONUS}, letters, Watch(large=parse("1500"), rates=POLICY.rates)
        )
        beginning = Beginning(tables, engines, providers, crediting)
        out, sandbox = outgoing(tables, engines, movements, floor.tokens, client)
        receiving = Receiving(tables, client, stripe, crediting, out.settling, letters)
        rooms = Rooms(
            engine=tables,
            beginning=beginning,
            receiving=receiving,
            page_tokens=floor.tokens,
            instructions={"USD": "IBAN 1"},
            outgoing=out,
        )
        server = build_server(
            [(pb.DESCRIPTOR.services_by_name["FundingService"], FundingServicer(rooms))], ground.guard
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await floor.serve(server)
        desk = DepositDesk(tables, floor.tokens)
        compliance = ComplianceDesk(tables, Sealer(lambda: KEYS), floor.tokens)
        kinds = {
            CONFIRM_DEPOSIT: Kind(done_by(desk.confirm), Action.DEPOSIT_CONFIRM, lambda payload: "deposit"),
            DECIDE_WITHDRAWAL: Kind(done_by(compliance.decide), Action.WITHDRAWAL_DECIDE, lambda payload: "withdrawal"),
        }

        customer = await customers(stack, keys, ground.account_port, ground.address)
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        yield Till(
            keys=keys,
            engine=tables,
            stub=funding_pb2_grpc.FundingServiceStub(channel),
            customer=customer,
            stripe=simulator,
            beginning=beginning,
            receiving=receiving,
            sweeper=Sweeper(tables, providers, crediting, Reversing(tables, movements, letters), out.settling, letters),
            desk=desk,
            sandbox=sandbox,
            out=out,
            compliance=compliance,
            pending=PendingActions(tables, kinds, life=timedelta(hours=1)),
            database_url=database_url,
        )


async def eventually(holds: Callable[[], Awaitable[bool]], within_s: float = 20.0) -> None:
    """Raises TimeoutError where it does not come true."""
    async with asyncio.timeout(within_s):
        while not await holds():  # noqa: ASYNC110  # no event tells it
            await asyncio.sleep(0.05)
