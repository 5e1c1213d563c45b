"""The ledger of an account from the tables, newest first, in signed pages."""

from db.entries import EntryRecord, list_entries
from db.session import Pool
from servers.account.views import accounts_of
from servers.domain.identifiers import TRANSIT, VENUE_ACCOUNTS
from servers.domain.money import format_units
from servers.engine.client import Engine
from servers.engine.fence import Fence
from servers.engine.markets import Markets
from servers.engine.messages import timestamp
from servers.transport.call import Call
from servers.transport.paging import PageTokens, page_size
from venue.account.v1 import account_pb2 as pb

_TOLD = (*VENUE_ACCOUNTS, TRANSIT)


class Statement:
    """Reads ledgers of every partition."""

    def __init__(self, pool: Pool, fence: Fence, markets: Markets, tokens: PageTokens) -> None:
        self._pool = pool
        self._fence = fence
        self._markets = markets
        self._tokens = tokens

    async def list_entries(
        self, engine: Engine, request: pb.ListLedgerEntriesRequest, call: Call
    ) -> pb.ListLedgerEntriesResponse:
        """Raises AccountNotFound, PageTokenInvalid, PositionInvalid, PartUnavailable."""
        scope = ("entries", call.identity.user_id, request.account_id, request.asset)
        cursor = self._tokens.read(scope, request.page_token)
        await accounts_of(engine, request.account_id, "", call)
        await self._fence.pass_through(engine, request.min_position, call.timeout_s)
        size = page_size(request.page_size)
        before = {"before": (int(cursor[0]), int(cursor[1]))} if cursor else {}
        async with self._pool.connection() as connection:
            rows = await list_entries(
                connection, engine.partition, request.account_id, asset=request.asset, limit=size + 1, **before
            )
        page = rows[:size]
        entries = [
            entry_of_row(engine.partition, row, await self._markets.scale(engine.partition, row.asset)) for row in page
        ]
        token = self._tokens.issue(scope, [page[-1].sequence, page[-1].n]) if len(rows) > size else ""
        return pb.ListLedgerEntriesResponse(entries=entries, next_page_token=token)


def entry_of_row(partition: int, row: EntryRecord, scale: int) -> pb.LedgerEntry:
    """An entry as its account's user sees it: of other customers nothing is told."""
    # Both halves of a posting share its number; the letter tells the half that paid from the one that received.
    half = "d" if row.amount < 0 else "c"
    return pb.LedgerEntry(
        entry_id=f"{partition}-{row.sequence}-{row.n}{half}",
        account_id=row.account_id,
        asset=row.asset,
        amount=format_units(row.amount, scale),
        kind=row.kind,  # type: ignore[arg-type]  # the domain's numbers are the wire's
        reference=row.reference,
        counterparty=row.counterparty_id if row.counterparty_id.startswith(_TOLD) else "",
        create_time=timestamp(row.time),
        sequence=row.sequence,
    )
