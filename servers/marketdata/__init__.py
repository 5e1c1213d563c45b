"""Market data: what the bus tells about markets, kept in memory, answered and streamed."""
