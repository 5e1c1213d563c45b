"""The markets of an environment, by symbol, in signed pages."""

from servers.marketdata.tails import Tails
from servers.transport.paging import PageTokens, page_size
from venue.marketdata.v1 import marketdata_pb2 as pb


def list_markets(tails: Tails, tokens: PageTokens, request: pb.ListMarketsRequest) -> pb.ListMarketsResponse:
    """Raises PageTokenInvalid, PartUnavailable."""
    scope = ("markets", tails.partition)
    cursor = tokens.read(scope, request.page_token)
    after = str(cursor[0]) if cursor else ""
    size = page_size(request.page_size)
    rest = [view.market for view in tails.listed() if view.symbol > after]
    page = rest[:size]
    token = tokens.issue(scope, [page[-1].symbol]) if len(rest) > size else ""
    return pb.ListMarketsResponse(markets=page, next_page_token=token)
