"""Process `notify`: every message that leaves the venue."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import httpx
import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from db import outgoing, session, users
from db.outgoing import Letter
from db.sealing import Sealer
from db.session import SERVICES
from db.transactions import transaction
from db.webhook_endpoints import disable_gone
from servers.config import Settings
from servers.domain.errors import PartUnavailable
from servers.domain.letters import Channel, Template
from servers.notify.companies import URLS, Company, Form, Mailgun, Postmark, Resend, SendGrid, Twilio
from servers.notify.mailbox import Mailbox
from servers.notify.provider import Provider
from servers.notify.send_letters import LetterMeasures, Sender
from servers.notify.smtp import Smtp
from servers.webhook.addresses import Guard
from servers.webhook.deliver import Worker
from servers.webhook.lane import Gone
from servers.webhook.measures import WebhookMeasures
from servers.webhook.posting import Poster
from servers.wiring.parts import Process, pool_of

log = structlog.get_logger()


@asynccontextmanager
async def build(process: Process) -> AsyncIterator[None]:
    """The worker that delivers webhooks, and the sender of letters. Of several such processes one delivers; all send."""
    settings = process.settings
    # A line for every letter tells nobody anything, and would name addresses.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    async with AsyncExitStack() as held:
        pool = await held.enter_async_context(pool_of(settings, "notify"))
        poster = await held.enter_async_context(Poster(Guard(loopback=settings.webhook_loopback)))
        client = await held.enter_async_context(httpx.AsyncClient(trust_env=False))
        database = session.engine(settings.database, application_name="venue notify", role=SERVICES)
        held.push_async_callback(database.dispose)
        sealer = Sealer(settings.read_field_keys)
        registry = process.metrics.registry
        worker = Worker(
            settings.database,
            pool,
            list(settings.partitions),
            sealer,
            poster,
            WebhookMeasures(registry),
            disabling(database, sealer),
        )
        measures = LetterMeasures(registry)
        senders = [Sender(database, sealer, providers(settings, client), measures)]
        if settings.texters:
            texters = [provider(name, settings, client) for name in settings.texters]
            senders.append(Sender(database, sealer, texters, measures, Channel.SMS))
        working = [
            process.tasks.create_task(worker.run()),
            *(process.tasks.create_task(each.run()) for each in senders),
        ]
        try:
            yield
        finally:
            for task in working:
                task.cancel()
            for task in working:
                with suppress(asyncio.CancelledError):
                    await task


def disabling(database: AsyncEngine, sealer: Sealer) -> Gone:
    """Disables endpoints that are gone, and writes to their users in the same transaction."""

    async def disable(endpoint_id: str, url: str) -> None:
        values = {"endpoint_id": endpoint_id, "endpoint_url": url}
        try:
            async with transaction(database) as session, session.begin():
                user_id = await disable_gone(session, endpoint_id, url)
                address = None if user_id is None else await users.find_address(session, user_id)
                if user_id is not None and address is not None:
                    await outgoing.append(session, sealer, Letter(address, Template.WEBHOOK_GONE, values, user_id))
        except PartUnavailable as error:
            # Whatever it is sent next it says so again.
            log.warning("webhook endpoint not disabled yet", endpoint_id=endpoint_id, cause=str(error))

    return disable


def providers(settings: Settings, client: httpx.AsyncClient) -> Sequence[Provider]:
    """Who takes mails, in order of preference."""
    return [provider(name, settings, client) for name in settings.mailers]


def provider(name: str, settings: Settings, client: httpx.AsyncClient) -> Provider:
    sender = settings.mail_sender
    if name == "mailbox":
        return Mailbox(settings.state.root / "mailbox", sender)
    if name == "smtp":
        assert settings.smtp_url is not None, "the settings have looked"
        return Smtp(settings.smtp_url.get_secret_value(), sender)
    keys = {str(company): key.get_secret_value() for company, key in settings.mail_keys.items()}
    twilio = {str(part): value.get_secret_value() for part, value in settings.twilio.items()}
    forms: dict[str, Form] = {
        "resend": Resend(keys.get("resend", "")),
        "sendgrid": SendGrid(keys.get("sendgrid", "")),
        "mailgun": Mailgun(keys.get("mailgun", ""), settings.mailgun_domain),
        "postmark": Postmark(keys.get("postmark", "")),
        "twilio": Twilio(*(twilio.get(part, "") for part in ("account", "token", "sender"))),
    }
    given: dict[str, str] = dict(settings.mail_urls)  # type: ignore[arg-type]  # names of companies are names
    return Company(forms[name], given.get(name, URLS[name]), sender, client)
