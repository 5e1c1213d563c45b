"""A user's accounts in all environments, oldest first, in signed pages."""

import asyncio

from servers.account.views import accounts_of
from servers.engine.client import Engine, Engines
from servers.transport.call import Call
from servers.transport.paging import PageTokens, page_size
from venue.account.v1 import account_pb2 as pb


async def list_accounts(
    engines: Engines[Engine], tokens: PageTokens, request: pb.ListAccountsRequest, call: Call
) -> pb.ListAccountsResponse:
    """Raises PageTokenInvalid, PositionInvalid, PartUnavailable."""
    scope = ("accounts", call.identity.user_id)
    cursor = tokens.read(scope, request.page_token)
    only = call.identity.account_id
    asked = [engines.for_account(only)] if only else engines.all
    found = await asyncio.gather(*(accounts_of(engine, only, request.min_position, call) for engine in asked))
    accounts = sorted((account for response in found for account in response.accounts), key=_place)
    if cursor:
        accounts = [account for account in accounts if _place(account) > (cursor[0], cursor[1])]
    size = page_size(request.page_size)
    page = accounts[:size]
    token = tokens.issue(scope, [*_place(page[-1])]) if len(accounts) > size else ""
    return pb.ListAccountsResponse(accounts=page, next_page_token=token)


def _place(account: pb.Account) -> tuple[int, str]:
    return account.create_time.ToMicroseconds(), account.account_id
