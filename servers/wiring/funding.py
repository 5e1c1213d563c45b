"""Money in and out, which runs in the process `api`: what FundingService is made of."""

import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from db import session, users
from db.outgoing import Letter
from db.sealing import Sealer
from db.session import SERVICES, Pool
from servers.config import Settings
from servers.domain.errors import Overloaded, PartUnavailable
from servers.domain.letters import Template
from servers.domain.money import parse
from servers.engine.client import Engines
from servers.engine.remote import RemoteEngine
from servers.funding.bank_transfer import BankTransfer
from servers.funding.beneficiaries import Beneficiaries
from servers.funding.create_deposit import Beginning
from servers.funding.credit_deposit import Bonus, Crediting, Tell
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
from servers.funding.stripe_payments import Credentials, Stripe
from servers.funding.submit_kyc import Submitting
from servers.funding.sweep import Sweeper
from servers.funding.withdrawal_servicer import Outgoing
from servers.wiring.parts import Process, page_tokens

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

log = structlog.get_logger()


@asynccontextmanager
async def funding(
    process: Process, pool: Pool, engines: Engines[RemoteEngine], post: Callable[[Letter], None]
) -> AsyncIterator[FundingServicer]:
    """FundingService, and the sweeper that goes on with what was left half done."""
    settings = process.settings
    database = session.engine(settings.database, application_name="venue funding", role=SERVICES)
    async with AsyncExitStack() as held:
        held.push_async_callback(database.dispose)
        stripe = stripe_of(settings, held)
        manual = BankTransfer(settings.bank_instructions)
        providers: Mapping[str, Provider] = {
            each.name: each for each in (stripe, manual, Sandbox()) if each is not None
        }
        tell = telling(database, post)
        movements = Movements(engines, pool)
        crediting = Crediting(database, movements, bonuses(settings), tell)
        payouts = payouts_of(settings)
        sealer = Sealer(settings.read_field_keys)
        settling = Settling(database, movements, payouts, sealer, tell)
        sweeper = Sweeper(database, providers, crediting, Reversing(database, movements, tell), settling)
        sweeping = process.tasks.create_task(sweeper.keep_sweeping())
        held.callback(sweeping.cancel)
        rooms = Rooms(
            engine=database,
            beginning=Beginning(database, engines, providers, crediting),
            receiving=None if stripe is None else Receiving(database, stripe, crediting),
            page_tokens=page_tokens(settings),
            instructions=settings.bank_instructions,
            outgoing=outgoing(settings, database, engines, payouts, settling, sealer, tell),
        )
        yield FundingServicer(rooms)


def outgoing(
    settings: Settings,
    database: "AsyncEngine",
    engines: Engines[RemoteEngine],
    payouts: Mapping[str, PayoutProvider],
    settling: Settling,
    sealer: Sealer,
    tell: Tell,
) -> Outgoing:
    """What goes out, and who asks for it."""
    screener = Together([Rules(settings.risky_countries), NameList(settings.screened_names)])
    policy = policy_of(settings)
    return Outgoing(
        engine=database,
        submitting=Submitting(database, sealer, screener),
        beneficiaries=Beneficiaries(database, sealer, timedelta(seconds=settings.cooling_s), tell),
        requesting=Requesting(database, engines, payouts, policy, screener, sealer),
        settling=settling,
        policy=policy,
        page_tokens=page_tokens(settings),
    )


def policy_of(settings: Settings) -> Policy:
    return Policy(
        limits={level: (parse(day), parse(month)) for level, (day, month) in settings.withdrawal_limits.items()},
        review=parse(settings.withdrawal_review),
        rates={asset: parse(rate) for asset, rate in settings.withdrawal_rates.items()},
    )


def payouts_of(settings: Settings) -> dict[str, PayoutProvider]:
    """People of the venue, and in a demo venue a company that only seems to pay."""
    made: dict[str, PayoutProvider] = {"MANUAL": BankPayouts()}
    if settings.default_environment == "DEMO":
        made["SANDBOX"] = SandboxPayouts()
    return made


def bonuses(settings: Settings) -> dict[str, Bonus]:
    return {asset: Bonus(parse(least), parse(given)) for asset, (least, given) in settings.signup_bonus.items()}


def telling(database: "AsyncEngine", post: Callable[[Letter], None]) -> Tell:
    """Mails to users by their id. It has happened by then: a mail that is not taken changes nothing."""

    async def tell(user_id: str, template: Template, values: Mapping[str, str]) -> None:
        try:
            user = await users.find_user(database, user_id)
            if user is not None:
                post(Letter(user.email, template, values, user_id))
        except (Overloaded, PartUnavailable):
            log.error("mail not taken", user_id=user_id, template=template.value)

    return tell


def stripe_of(settings: Settings, held: AsyncExitStack) -> Stripe | None:
    """Stripe itself, its simulator in a demo venue, or nothing."""
    key = settings.stripe_api_key
    if key is None and settings.default_environment != "DEMO":
        return None

    async def own() -> Credentials:
        assert key is not None
        secrets = tuple(each.get_secret_value() for each in settings.stripe_webhook_secrets)
        return Credentials(key.get_secret_value(), secrets, settings.stripe_url)

    async def simulated() -> Credentials:
        # Only who deposits pays for it.
        from servers.funding.simulator.stripe import StripeSimulator

        trust = settings.trust
        context = None if trust is None else ssl.create_default_context(cadata=trust.certificate.decode())
        simulator = StripeSimulator(f"{settings.gateway_url}/webhooks/stripe", trust=context)
        await simulator.start()
        held.push_async_callback(simulator.stop)
        return Credentials(simulator.api_key, (simulator.webhook_secret,), simulator.url)

    stripe = Stripe(simulated if key is None else own, settings.public_url or settings.gateway_url)
    held.push_async_callback(stripe.close)
    return stripe
