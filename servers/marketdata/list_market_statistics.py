"""The statistics of an environment's markets, by symbol, in signed pages, without their days."""

import time

from servers.marketdata.market_statistics import current
from servers.marketdata.tails import Tails
from servers.transport.paging import PageTokens, page_size
from venue.marketdata.v1 import marketdata_pb2 as pb


def list_market_statistics(
    tails: Tails, tokens: PageTokens, request: pb.ListMarketStatisticsRequest
) -> pb.ListMarketStatisticsResponse:
    """Raises PageTokenInvalid, PartUnavailable."""
    scope = ("statistics", tails.partition)
    cursor = tokens.read(scope, request.page_token)
    after = str(cursor[0]) if cursor else ""
    size = page_size(request.page_size)
    rest = [view for view in tails.listed() if view.symbol > after]
    now_us = time.time_ns() // 1000
    page = [current(view, now_us) for view in rest[:size]]
    token = tokens.issue(scope, [page[-1].symbol]) if len(rest) > size else ""
    return pb.ListMarketStatisticsResponse(statistics=page, next_page_token=token)
