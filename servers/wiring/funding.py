"""Money in and out, which runs in the process `api`: what FundingService is made of."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from db import session
from db.sealing import Sealer
from db.session import SERVICES, Pool
from servers.config import Settings
from servers.domain.money import parse
from servers.engine.client import Engines
from servers.engine.remote import RemoteEngine
from servers.funding.bank_transfer import BankTransfer
from servers.funding.beneficiaries import Beneficiaries
from servers.funding.create_deposit import Beginning
from servers.funding.credit_deposit import Bonus, Crediting
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
from servers.funding.settle_withdrawal import Settling
from servers.funding.stripe_client import Credentials, StripeClient
from servers.funding.stripe_payments import Stripe
from servers.funding.stripe_payouts import StripePayouts
from servers.funding.submit_kyc import Submitting
from servers.funding.sweep import Sweeper
from servers.funding.withdrawal_servicer import Outgoing
from servers.wiring.parts import Process, page_tokens

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

# How long the simulated company takes to pay.
PAYOUT_S = 0.5


@asynccontextmanager
async def funding(process: Process, pool: Pool, engines: Engines[RemoteEngine]) -> AsyncIterator[FundingServicer]:
    """FundingService, and the sweeper that goes on with what was left half done."""
    settings = process.settings
    database = session.engine(settings.database, application_name="venue funding", role=SERVICES)
    async with AsyncExitStack() as held:
        held.push_async_callback(database.dispose)
        client = stripe_of(settings, held)
        stripe = None if client is None else Stripe(client, settings.public_url or settings.gateway_url)
        manual = BankTransfer(settings.bank_instructions)
        providers: Mapping[str, Provider] = {
            each.name: each for each in (stripe, manual, Sandbox()) if each is not None
        }
        sealer = Sealer(settings.read_field_keys)
        letters = Letters(sealer)
        movements = Movements(engines, pool)
        crediting = Crediting(database, movements, bonuses(settings), letters, watch_of(settings))
        payouts = payouts_of(settings, client)
        settling = Settling(database, movements, payouts, sealer, letters)
        reversing = Reversing(database, movements, letters)
        sweeper = Sweeper(database, providers, crediting, reversing, settling, letters)
        sweeping = process.tasks.create_task(sweeper.keep_sweeping())
        held.callback(sweeping.cancel)
        rooms = Rooms(
            engine=database,
            beginning=Beginning(database, engines, providers, crediting),
            receiving=None
            if client is None or stripe is None
            else Receiving(database, client, stripe, crediting, settling, letters),
            page_tokens=page_tokens(settings),
            instructions=settings.bank_instructions,
            outgoing=outgoing(settings, database, engines, payouts, settling, sealer, letters),
        )
        yield FundingServicer(rooms)


def outgoing(
    settings: Settings,
    database: "AsyncEngine",
    engines: Engines[RemoteEngine],
    payouts: Mapping[str, PayoutProvider],
    settling: Settling,
    sealer: Sealer,
    letters: Letters,
) -> Outgoing:
    """What goes out, and who asks for it."""
    screener = Together([Rules(settings.risky_countries), NameList(settings.screened_names)])
    policy = policy_of(settings)
    return Outgoing(
        engine=database,
        submitting=Submitting(database, sealer, screener),
        beneficiaries=Beneficiaries(database, sealer, timedelta(seconds=settings.cooling_s), letters),
        requesting=Requesting(database, engines, payouts, policy, screener, sealer, letters),
        settling=settling,
        policy=policy,
        page_tokens=page_tokens(settings),
    )


def policy_of(settings: Settings) -> Policy:
    return Policy(
        limits={level: (parse(day), parse(month)) for level, (day, month) in settings.withdrawal_limits.items()},
        review=parse(settings.withdrawal_review),
        large=parse(settings.large_move),
        rates={asset: parse(rate) for asset, rate in settings.withdrawal_rates.items()},
    )


def watch_of(settings: Settings) -> Watch:
    rates: dict[str, int] = {asset: parse(rate) for asset, rate in settings.withdrawal_rates.items()}
    return Watch(large=parse(settings.large_move), rates=rates)


def payouts_of(settings: Settings, client: StripeClient | None) -> dict[str, PayoutProvider]:
    """People of the venue, Stripe where it has something to pay from, and in a demo venue a company that only seems to pay."""
    made: dict[str, PayoutProvider] = {"MANUAL": BankPayouts()}
    if client is not None and (settings.stripe_financial_account or settings.stripe_api_key is None):
        made["STRIPE"] = StripePayouts(client)
    if settings.default_environment == "DEMO":
        made["SANDBOX"] = SandboxPayouts()
    return made


def bonuses(settings: Settings) -> dict[str, Bonus]:
    return {asset: Bonus(parse(least), parse(given)) for asset, (least, given) in settings.signup_bonus.items()}


def stripe_of(settings: Settings, held: AsyncExitStack) -> StripeClient | None:
    """Stripe itself, its simulator in a demo venue, or nothing."""
    key = settings.stripe_api_key
    if key is None and settings.default_environment != "DEMO":
        return None

    async def own() -> Credentials:
        assert key is not None
        secrets = tuple(each.get_secret_value() for each in settings.stripe_webhook_secrets)
        account = settings.stripe_financial_account
        return Credentials(key.get_secret_value(), secrets, settings.stripe_url, account)

    async def simulated() -> Credentials:
        # Only who deposits pays for it.
        from servers.funding.simulator.outbound import FINANCIAL_ACCOUNT
        from servers.funding.simulator.stripe import StripeSimulator

        trust = settings.trust
        context = None if trust is None else ssl.create_default_context(cadata=trust.certificate.decode())
        simulator = StripeSimulator(f"{settings.gateway_url}/webhooks/stripe", trust=context, payout_s=PAYOUT_S)
        await simulator.start()
        held.push_async_callback(simulator.stop)
        return Credentials(simulator.api_key, (simulator.webhook_secret,), simulator.url, FINANCIAL_ACCOUNT)

    client = StripeClient(simulated if key is None else own)
    held.push_async_callback(client.close)
    return client
