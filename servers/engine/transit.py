"""Transfers to other partitions, driven from their source: delivered there first, then posted here.

What is on its way is the source's own state, so whoever leads it goes on where the last one stopped. Every step may be repeated:
the receiving partition answers a transfer's id the same for ever, and a pending transfer resolves once. It is voided only after
the receiver has recorded that it never will take it.
"""

import asyncio
from typing import Final

import structlog

from servers.domain.errors import (
    TransferAlreadyPosted,
    TransferAlreadyVoided,
    TransferNotFound,
    VenueError,
)
from servers.domain.exchange import Exchange
from servers.domain.identifiers import transit_account, transit_partition
from servers.domain.model import Transfer
from servers.domain.money import format_units
from servers.engine.client import Engine, Engines
from servers.engine.local import LocalEngine
from venue.engine.v1 import engine_pb2 as pb

log = structlog.get_logger()
TOGETHER_MAX: Final = 100
DELIVERY_S: Final = 5.0
# How long nothing may change before the pending ones are looked at again.
PATROL_S: Final = 1.0
BACK_OFF_S: Final = (0.1, 0.25, 0.5, 1.0)


class Transit:
    """Carries the transfers of one partition, while this process leads it."""

    def __init__(self, source: LocalEngine, routes: Engines[Engine]) -> None:
        self._source = source
        self._routes = routes
        self._failures = 0

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._source.leads.wait()
            try:
                if await self._carry_all():
                    self._failures = 0
                    continue
            except VenueError as error:
                # Nothing is lost by waiting: it is pending until it is resolved.
                log.warning("transfers wait", partition=self._source.partition, cause=error.message, of=error.metadata)
                await asyncio.sleep(BACK_OFF_S[min(self._failures, len(BACK_OFF_S) - 1)])
                self._failures += 1
                continue
            await self._change()

    async def _change(self) -> None:
        """Until a row is committed while any are on their way, or a while has passed."""
        sequencer = self._source.sequencer
        if sequencer is None:
            return
        try:
            async with asyncio.timeout(PATROL_S):
                await sequencer.onward.wait()
        except TimeoutError:
            return

    async def _carry_all(self) -> bool:
        """Take every durable one a step on; True if there were any. Raises VenueError: some have to wait."""
        sequencer = self._source.sequencer
        if sequencer is None:
            return False
        sequencer.onward.clear()
        exchange = await sequencer.sound()
        durable = sequencer.tail.sequence
        by_partition: dict[int, list[Transfer]] = {}
        for transfer in exchange.transfers.onward.values():
            chosen = by_partition.setdefault(transit_partition(transfer.credit_account_id), [])
            if transfer.sequence <= durable and len(chosen) < TOGETHER_MAX:
                chosen.append(transfer)
        under_way = [
            self._carry(exchange, partition, transfers) for partition, transfers in by_partition.items() if transfers
        ]
        if not under_way:
            return False
        # One partition that is away does not stop what goes to the others.
        for failure in await asyncio.gather(*under_way, return_exceptions=True):
            if failure is not None:
                raise failure
        return True

    async def _carry(self, exchange: Exchange, partition: int, transfers: list[Transfer]) -> None:
        deliveries = [self._delivery(exchange, transfer) for transfer in transfers]
        receiver = self._routes.for_partition(partition)
        outcomes = await receiver.submit(deliveries, DELIVERY_S)
        resolutions: list[pb.Command] = []
        failed: VenueError | None = None
        for transfer, outcome in zip(transfers, outcomes, strict=True):
            if isinstance(outcome, VenueError):
                # Not a recorded refusal: whatever it is, the receiver may still take it.
                failed = outcome
                continue
            refused = pb.Done.FromString(outcome).refused
            body = pb.ResolveTransfer(transfer_id=transfer.transfer_id, void=refused)
            resolutions.append(pb.Command(resolve_transfer=body))
            if refused:
                log.warning("transfer refused by its receiver", transfer_id=transfer.transfer_id, receiver=partition)
        for resolved in await self._source.submit(resolutions, None) if resolutions else ():
            if isinstance(resolved, VenueError) and not isinstance(
                resolved, (TransferAlreadyPosted, TransferAlreadyVoided, TransferNotFound)
            ):
                failed = resolved
        if failed is not None:
            raise failed

    def _delivery(self, exchange: Exchange, transfer: Transfer) -> pb.Command:
        """The receiving half, the same bytes whenever it is made."""
        scale = exchange.ledger.asset(transfer.asset).scale
        body = pb.Transfer(
            transfer_id=transfer.transfer_id,
            debit_account_id=transit_account(self._source.partition),
            credit_account_id=transfer.receiver_account_id,
            asset=transfer.asset,
            amount=format_units(transfer.amount, scale),
            kind=transfer.kind,  # type: ignore[arg-type]  # the domain's numbers are the wire's
            receive=True,
        )
        payer = exchange.ledger.accounts[transfer.debit_account_id]
        return pb.Command(user_id=payer.user_id, transfer=body)
