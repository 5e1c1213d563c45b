"""Recorded order flow, played through the public API.

`venue replay FILE` takes a CSV file, plain or xz-compressed, with a header line and these columns, a row an event in the order
in which the exchange's events were received:

    id                   the order's number; one creation each
    timestamp            when the event was received, in milliseconds; never goes back
    exchange.timestamp   when the order was born at the exchange, in milliseconds; not used
    price                decimal text, as it is sent
    volume               what remains of the order, in units of 1e-8 of the base asset
    action               created, changed or deleted
    direction            bid or ask

`created` places a limit order, good till cancelled; one that crosses takes. `deleted` with volume left cancels it; the order may
have been filled here, which is counted. `changed` and `deleted` with nothing left are what matching brings about by itself. Rows
that name an order never created, or not yet, are counted and skipped.
"""
