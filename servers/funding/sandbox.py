"""Paper funds for demo accounts: asked for, and paid at once."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from db.deposits import PAID
from db.models.deposits import DepositRow
from servers.domain.terms import Environment
from servers.funding.provider import Begun

# As fine as the ledger keeps each of them.
SCALES: Final[Mapping[str, int]] = dict.fromkeys(("USD", "EUR", "USDT", "BTC", "ETH", "SOL", "AAPL"), 8)


class Sandbox:
    """A provider that always pays."""

    name: Final = "SANDBOX"
    environment: Final = Environment.DEMO
    scales = SCALES
    life: Final = timedelta(hours=1)

    async def begin(self, deposit: DepositRow) -> Begun:
        del deposit
        return Begun(PAID)

    async def look(self, deposit: DepositRow) -> str:
        del deposit
        return PAID
