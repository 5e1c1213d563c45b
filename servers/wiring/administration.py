"""Administration, which runs in the process `api`: what AdminService is made of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from db import session
from db.session import SERVICES
from servers.admin.create_admin_token import AdminTokens
from servers.admin.servicer import AdminServicer
from servers.auth.keys import SigningKeys
from servers.auth.tokens import AccessTokens
from servers.wiring.parts import Process


@asynccontextmanager
async def administration(process: Process) -> AsyncIterator[AdminServicer]:
    """AdminService on the services' tables."""
    settings = process.settings
    database = session.engine(settings.database, application_name="venue admin", role=SERVICES)
    access = AccessTokens(SigningKeys(settings.state.root / "secrets"), life_s=settings.access_ttl_s)
    try:
        yield AdminServicer(AdminTokens(database, access.grant_admin))
    finally:
        await database.dispose()
