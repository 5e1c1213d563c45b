"""The markets of an environment, by symbol, in signed pages."""

from servers.marketdata.tail import Tail
from servers.transport.paging import PageTokens, page_size
from venue.marketdata.v1 import marketdata_pb2 as pb


def list_markets(tail: Tail, tokens: PageTokens, request: pb.ListMarketsRequest) -> pb.ListMarketsResponse:
    """Raises PageTokenInvalid, PartUnavailable."""
    scope = ("markets", tail.engine.partition)
    cursor = tokens.read(scope, request.page_token)
    after = str(cursor[0]) if cursor else ""
    size = page_size(request.page_size)
    rest = [view.market for view in tail.listed() if view.symbol > after]
    page = rest[:size]
    token = tokens.issue(scope, [page[-1].symbol]) if len(rest) > size else ""
    return pb.ListMarketsResponse(markets=page, next_page_token=token)
