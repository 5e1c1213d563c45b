"""Administration, which runs in the process `api`: what AdminService is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx

from db import session
from db.audit import Action
from db.sealing import Sealer
from db.session import SERVICES, Pool
from servers.admin.alerts import AlertDesk
from servers.admin.create_admin_token import AdminTokens
from servers.admin.executors import CONFIRM_DEPOSIT, DECIDE_WITHDRAWAL, Kind, done_by, kinds
from servers.admin.listing import Listing
from servers.admin.pending_actions import PendingActions
from servers.admin.refused_calls import RefusedCalls
from servers.admin.servicer import AdminServicer, Rooms
from servers.admin.status import Status
from servers.admin.users import Unlock, Users
from servers.admin.venue import Trading
from servers.admin.verify_ledger import Prover
from servers.auth.keys import SigningKeys
from servers.auth.tokens import AccessTokens
from servers.config import PROCESSES
from servers.domain.terms import Environment
from servers.engine.client import Engines
from servers.engine.remote import RemoteEngine
from servers.funding.compliance import ComplianceDesk
from servers.funding.desk import DepositDesk
from servers.transport.guard import Guard
from servers.wiring.parts import Process, page_tokens


@asynccontextmanager
async def administration(
    process: Process,
    pool: Pool,
    guard: Guard,
    keys: SigningKeys,
    engines: Engines[RemoteEngine],
    unlock: Unlock,
) -> AsyncIterator[AdminServicer]:
    """AdminService, the sweeper that executes what was left approved, and the log of what the guard refused."""
    settings = process.settings
    database = session.engine(settings.database, application_name="venue admin", role=SERVICES)
    access = AccessTokens(keys, life_s=settings.access_ttl_s)
    metrics = {
        name: f"http://{settings.host}:{settings.metrics_port(name)}/metrics"
        for name in PROCESSES
        if name != "bot" or settings.bot_enabled
    }
    desk = DepositDesk(database, page_tokens(settings))
    compliance = ComplianceDesk(database, Sealer(settings.read_field_keys), page_tokens(settings))
    listing = Listing(engines, settings.partitions, Environment[settings.default_environment])
    executors = kinds(engines) | listing.kinds() | funding_kinds(desk, compliance)
    pending = PendingActions(database, executors, life=timedelta(seconds=settings.pending_action_s))
    prover = Prover(pool, database, settings.partitions)
    async with httpx.AsyncClient(trust_env=False) as client:
        rooms = Rooms(
            engine=database,
            admin_tokens=AdminTokens(database, access.grant_admin),
            users=Users(database, engines, page_tokens(settings), unlock),
            trading=Trading(database, engines, Environment[settings.default_environment]),
            listing=listing,
            pending=pending,
            status=Status(database, metrics, client),
            funding=desk,
            compliance=compliance,
            prover=prover,
            alerts=AlertDesk(database, page_tokens(settings)),
            page_tokens=page_tokens(settings),
            silence_s=settings.heartbeat_s,
        )
        refused = RefusedCalls(database)
        guard.on_refused = refused.note
        tasks = [
            process.tasks.create_task(work)
            for work in (pending.keep_sweeping(), refused.run(), prover.keep_proving(until_two()))
        ]
        try:
            yield AdminServicer(rooms)
        finally:
            for task in tasks:
                task.cancel()
            await database.dispose()


def funding_kinds(desk: DepositDesk, compliance: ComplianceDesk) -> dict[str, Kind]:
    """What two people decide of deposits and withdrawals: a room that has deeds of its own adds its kinds here."""
    return {
        CONFIRM_DEPOSIT: Kind(
            done_by(desk.confirm), Action.DEPOSIT_CONFIRM, lambda payload: f"deposit/{payload['deposit_id']}"
        ),
        DECIDE_WITHDRAWAL: Kind(
            done_by(compliance.decide),
            Action.WITHDRAWAL_DECIDE,
            lambda payload: f"withdrawal/{payload['withdrawal_id']}",
        ),
    }


def until_two() -> float:
    """Seconds until the next 02:00 UTC, when the ledger is proved."""
    now = datetime.now(UTC)
    two = now.replace(hour=2, minute=0, second=0, microsecond=0)
    return (two - now).total_seconds() % 86_400.0
