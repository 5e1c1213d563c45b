"""Process `api`: who somebody is, and what he has."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from fractions import Fraction
from functools import partial
from typing import Any, Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from db import session, user_sessions
from db.counters import open_counters
from db.guesses import TIMEOUT_S, Guesses
from db.kyc import level_at
from db.sealing import Sealer
from db.session import SERVICES
from servers.account.bus_feed import BusFeed
from servers.account.conversions import Terms
from servers.account.quotes import Quotes
from servers.account.servicer import AccountServicer
from servers.account.views import accounts_of
from servers.admin.anchors import Anchors, keep_anchored
from servers.auth.attempts import Attempts
from servers.auth.credential_servicer import Elsewhere
from servers.auth.keys import CLOCKS_S, SigningKeys
from servers.auth.passwords import Passwords
from servers.auth.quota import Quotas
from servers.auth.seed_users import seed_users
from servers.auth.servicer import AuthRules, AuthServicer
from servers.auth.tokens import RefreshTokens
from servers.config import Settings
from servers.domain.errors import PartUnavailable
from servers.domain.money import ATTO, parse
from servers.engine.client import Engines
from servers.engine.fence import Fence
from servers.engine.markets import Markets
from servers.engine.missed import Past
from servers.engine.remote import RemoteEngine
from servers.notify.phones import Phones
from servers.notify.servicer import NotificationServicer
from servers.transport.call import Call
from servers.transport.identity import KeySource
from servers.webhook.addresses import Guard
from servers.webhook.servicer import WebhookServicer
from servers.wiring.administration import administration
from servers.wiring.funding import funding
from servers.wiring.parts import Process, bus_of, guard_of, internal_key, page_tokens, pool_of, remote_engines, serving
from venue.account.v1 import account_pb2
from venue.admin.v1 import admin_pb2
from venue.auth.v1 import auth_pb2
from venue.funding.v1 import funding_pb2
from venue.marketdata.v1 import marketdata_pb2
from venue.notify.v1 import notify_pb2
from venue.order.v1 import order_service_pb2
from venue.webhook.v1 import webhook_pb2

# The gateway asks this process for reflection: it tells of what other processes serve too.
ELSEWHERE: Final = (
    order_service_pb2.DESCRIPTOR.services_by_name["OrderService"].full_name,
    marketdata_pb2.DESCRIPTOR.services_by_name["MarketDataService"].full_name,
)


# Log-ins that wait for each hashing process, where it is not slower than that.
QUEUE_EACH: Final = 16
FORGET_FIRST_S: Final = 60.0
FORGET_EVERY_S: Final = 86_400.0
FORGET_RETRY_S: Final = 300.0

log = structlog.get_logger()


@asynccontextmanager
async def auth(process: Process, engines: Engines[RemoteEngine]) -> AsyncIterator[AuthServicer]:
    """AuthService with the secrets of the state folder, and the first users of an embedded venue."""
    settings = process.settings
    state = settings.state
    database = session.engine(settings.database, application_name="venue auth", role=SERVICES)
    passwords = Passwords(
        pepper=state.secret("pepper"),
        cost=settings.bcrypt_cost,
        workers=settings.hashing,
        queue_max=QUEUE_EACH * settings.hashing,
        share=settings.auth_share,
    )
    sealer = Sealer(settings.read_field_keys)
    redis = open_counters(settings.redis, TIMEOUT_S)
    quotas = Quotas(counting(settings), internal_key(settings), settings.papers())
    try:
        if settings.seed_users:
            await seed_users(database, passwords, state.logins)
        forgetting = process.tasks.create_task(forget_daily(database))
        servicer = AuthServicer(
            engine=database,
            passwords=passwords,
            keys=signing_keys(settings),
            refresh_tokens=RefreshTokens(secret=state.secret("refresh-tokens")),
            attempts=Attempts(Guesses(redis), secret=state.secret("guesses")),
            page_tokens=page_tokens(settings),
            sealer=sealer,
            elsewhere=Elsewhere(partial(check_owned, engines), quotas),
            rules=AuthRules(
                public_url=settings.public_url or settings.gateway_url,
                access_life_s=settings.access_ttl_s,
                session_life_s=timedelta(days=settings.refresh_ttl_days).total_seconds(),
                login_requires_verified=settings.login_requires_verified,
            ),
        )
        writing = process.tasks.create_task(servicer.desk.run())
        yield servicer
        writing.cancel()
        forgetting.cancel()
    finally:
        passwords.close()
        await redis.aclose()
        await quotas.close()
        await database.dispose()


def signing_keys(settings: Settings) -> SigningKeys:
    """The keys of the state folder; a replaced one stays until the last token signed with it is over for everybody."""
    return SigningKeys(settings.state.root / "secrets", retire_s=settings.access_ttl_s + CLOCKS_S)


def counting(settings: Settings) -> dict[str, list[str]]:
    """The servers that count what callers do, by the name that callers know them by."""
    return {
        "api": [f"{settings.host}:{settings.api_port}"],
        "order": [f"{settings.host}:{settings.order_port}", *settings.order_others],
        "marketdata": settings.marketdata_addresses,
    }


async def check_owned(engines: Engines[RemoteEngine], account_id: str, call: Call) -> None:
    """Raises AccountNotFound where an account is not the caller's."""
    await accounts_of(engines.for_account(account_id), account_id, "", call)


async def forget_daily(
    database: AsyncEngine,
    *,
    first_s: float = FORGET_FIRST_S,
    every_s: float = FORGET_EVERY_S,
    retry_s: float = FORGET_RETRY_S,
) -> None:
    """Delete what expired of sessions and tokens, for ever; sooner again where the database was away."""
    pause = first_s
    while True:
        await asyncio.sleep(pause)
        try:
            await user_sessions.forget_expired(database)
            pause = every_s
        except PartUnavailable as error:
            log.warning("expired sessions not deleted", cause=str(error))
            pause = retry_s


@asynccontextmanager
async def messages(
    settings: Settings, engines: Engines[RemoteEngine]
) -> AsyncIterator[tuple[WebhookServicer, NotificationServicer]]:
    """WebhookService and NotificationService; what they promise is kept by the process `notify`."""
    database = session.engine(settings.database, application_name="venue messages", role=SERVICES)

    async def owned(account_id: str, call: Call) -> int:
        await check_owned(engines, account_id, call)
        return engines.for_account(account_id).partition

    try:
        webhook_servicer = WebhookServicer(
            database,
            Sealer(settings.read_field_keys),
            Guard(loopback=settings.webhook_loopback),
            owned,
            page_tokens(settings),
        )
        phones = Phones(database, Sealer(settings.read_field_keys), sends=bool(settings.texters))
        yield webhook_servicer, NotificationServicer(database, phones)
    finally:
        await database.dispose()


def conversion_terms(settings: Settings) -> Terms:
    """What the house asks for a conversion."""
    return Terms(
        spread=Fraction(parse(settings.conversion_spread), ATTO),
        quote_s=settings.conversion_quote_s,
        amount_max=Fraction(parse(settings.conversion_max), ATTO),
        books=frozenset(settings.conversion_books),
    )


def own_keys(settings: Settings) -> KeySource:
    """The keys that this process signs with: it need not ask itself."""
    signing = signing_keys(settings)

    async def keys() -> Mapping[str, Any]:
        return {"keys": signing.jwks()}

    return keys


@asynccontextmanager
async def build(process: Process) -> AsyncIterator[None]:
    """AuthService, AccountService, FundingService, AdminService, WebhookService and NotificationService."""
    settings = process.settings
    # The first users are made before anybody hears that the server is there: the bot logs in as one of them.
    async with (
        pool_of(settings, "api") as pool,
        remote_engines(settings, pool) as engines,
        auth(process, engines) as auth_servicer,
        guard_of(process, pool, own_keys(settings), partial(level_at, pool)) as guard,
        administration(
            process, pool, guard, signing_keys(settings), engines, auth_servicer.forget_guesses
        ) as admin_servicer,
        funding(process, pool, engines) as funding_servicer,
        bus_of(settings) as bus,
        messages(settings, engines) as (webhook_servicer, notification_servicer),
    ):
        feeds = {number: BusFeed(bus, pool, number) for number in settings.partitions}
        feeding = [process.tasks.create_task(feed.run()) for feed in feeds.values()]
        anchoring = process.tasks.create_task(
            keep_anchored(pool, Anchors(settings.state.root), settings.audit_anchor_s)
        )
        accounts = AccountServicer(
            engines,
            feeds,
            Past(pool, Fence(pool), bus),
            Markets(pool),
            page_tokens(settings),
            accounts_max=settings.accounts_max,
            quotes=Quotes(settings.state.secret("quotes").encode()),
            terms=conversion_terms(settings),
            silence_s=settings.heartbeat_s,
        )
        services = [
            (auth_pb2.DESCRIPTOR.services_by_name["AuthService"], auth_servicer),
            (account_pb2.DESCRIPTOR.services_by_name["AccountService"], accounts),
            (funding_pb2.DESCRIPTOR.services_by_name["FundingService"], funding_servicer),
            (admin_pb2.DESCRIPTOR.services_by_name["AdminService"], admin_servicer),
            (webhook_pb2.DESCRIPTOR.services_by_name["WebhookService"], webhook_servicer),
            (notify_pb2.DESCRIPTOR.services_by_name["NotificationService"], notification_servicer),
        ]
        async with serving(process, "api", services, guard, mirrored=ELSEWHERE):
            yield
        for task in [*feeding, anchoring]:
            task.cancel()
