"""Definitions of markets for those who read rows: what ticks and lots count. They never change once made."""

from db.markets import list_assets, list_markets
from db.session import Pool
from servers.domain.errors import MarketNotFound
from servers.domain.model import Market
from servers.domain.money import ATTO, rescale


class Markets:
    """Market definitions of the tables, read once."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._known: dict[tuple[int, str], Market] = {}
        self._scales: dict[tuple[int, str], int] = {}

    async def get(self, partition: int, symbol: str) -> Market:
        """A market. Raises MarketNotFound."""
        if (partition, symbol) not in self._known:
            await self._read(partition)
        market = self._known.get((partition, symbol))
        if market is None:
            raise MarketNotFound(symbol)
        return market

    async def scale(self, partition: int, asset: str) -> int:
        """Digits after the point that the ledger keeps of an asset. Raises LookupError."""
        if (partition, asset) not in self._scales:
            await self._read(partition)
        return self._scales[partition, asset]

    async def _read(self, partition: int) -> None:
        async with self._pool.connection() as connection:
            assets = await list_assets(connection, partition)
            markets = await list_markets(connection, partition)
        self._scales.update({(partition, asset.symbol): asset.scale for asset in assets})
        for row in markets:
            base, quote = self._scales[partition, row.base_asset], self._scales[partition, row.quote_asset]
            stored = {name: value for name, value in row._asdict().items() if name != "partition"}
            self._known[partition, row.symbol] = Market(
                **stored,
                lot_units=rescale(row.lot_size, base) or 0,
                tick_value=row.tick_size * row.lot_size * 10**quote // (ATTO * ATTO),
                base_scale=base,
                quote_scale=quote,
            )
