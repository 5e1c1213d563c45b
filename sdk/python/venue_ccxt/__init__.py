"""The venue for programs written against ccxt: `Venue` has the unified methods, over the venue's REST interface.

    exchange = Venue({"apiKey": "<id>", "secret": "<secret>", "urls": {"api": "http://localhost:8080"}})

Needs `ccxt` (venue-sdk[ccxt]). Without `options["accountId"]` it trades on the first account that the key may see.
"""

from venue_ccxt.exchange import Venue

__all__ = ["Venue"]
