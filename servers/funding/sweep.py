"""Goes on with what a crash, or a company or engine that was away, has left half done. Harmless to run in several processes."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from db import deposits, reversals, withdrawals
from db.transactions import transaction
from servers.domain.errors import PartUnavailable
from servers.domain.letters import Template
from servers.funding.credit_deposit import Crediting
from servers.funding.letters import Letters
from servers.funding.provider import Provider, RefusedByProvider
from servers.funding.reverse_deposit import Reversing
from servers.funding.settle_withdrawal import Settling

SWEEP_S: Final = 1.0
# Until a payment that nobody has told of is looked at again; of one that takes days less often.
LOOK_AGAIN: Final[Mapping[str, timedelta]] = {
    deposits.PENDING: timedelta(minutes=5),
    deposits.PROCESSING: timedelta(hours=1),
}

log = structlog.get_logger()


class Sweeper:
    """One look at everything is a `sweep`."""

    def __init__(
        self,
        engine: AsyncEngine,
        providers: Mapping[str, Provider],
        crediting: Crediting,
        reversing: Reversing,
        settling: Settling,
        letters: Letters,
    ) -> None:
        self._engine = engine
        self._providers = providers
        self._crediting = crediting
        self._reversing = reversing
        self._settling = settling
        self._letters = letters

    async def sweep(self) -> None:
        """Raises PartUnavailable where the database is away; whatever else is away leaves its part for the next time."""
        paid, late, bonuses = await deposits.list_undone(self._engine)
        for deposit_id in paid:
            await self._try(self._crediting.credit, deposit_id)
        for deposit_id in late:
            await self._try(self._end, deposit_id)
        for user_id in bonuses:
            await self._try(self._crediting.pay_bonus, user_id)
        for reversal_id in await reversals.list_undone(self._engine):
            await self._try(self._reversing.go_on, reversal_id)
        for withdrawal_id in await withdrawals.list_undone(self._engine):
            await self._try(self._settling.go_on, withdrawal_id)

    async def keep_sweeping(self, every_s: float = SWEEP_S) -> None:
        """Sweep for ever."""
        while True:
            try:
                await self.sweep()
            except PartUnavailable as error:
                log.warning("funding not swept", cause=str(error))
            await asyncio.sleep(every_s)

    @staticmethod
    async def _try(deed: Callable[[str], Awaitable[None]], about: str) -> None:
        try:
            await deed(about)
        except PartUnavailable as error:
            log.warning("not done yet", about=about, cause=str(error))

    async def _end(self, deposit_id: str) -> None:
        """Nobody has told us in time that it was paid, or that it has come: ask, as telling may have failed."""
        row = await deposits.find(self._engine, deposit_id)
        provider = None if row is None else self._providers.get(row.provider)
        if row is None or provider is None:
            return
        try:
            state = await provider.look(row)
        except RefusedByProvider:
            state = deposits.EXPIRED
        # What is on its way ends by what Stripe tells of it; it is asked only whether it has come.
        if state == deposits.PENDING or (row.state == deposits.PROCESSING and state != deposits.PAID):
            await deposits.put_off(self._engine, deposit_id, LOOK_AGAIN.get(row.state, timedelta(0)))
            return
        async with transaction(self._engine) as session, session.begin():
            locked = await deposits.lock(session, deposit_id)
            if locked is None or not await deposits.move(session, locked, state):
                return
            if state == deposits.EXPIRED:
                await self._letters.of_deposit(session, locked, Template.DEPOSIT_FAILED, "it was not paid in time")
        if state == deposits.PAID:
            await self._crediting.credit(deposit_id)
