"""Deposits by bank transfer: the payer quotes a reference, and two people of the venue confirm that the money came."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from db.deposits import EXPIRED, PENDING
from db.models.deposits import DepositRow
from servers.domain.terms import Environment
from servers.funding.provider import Begun

DIGITS: Final = 2
# Currencies whose smallest unit is no hundredth (ISO 4217).
OTHER_DIGITS: Final[Mapping[str, int]] = dict.fromkeys(
    ("CLP", "ISK", "JPY", "KRW", "PYG", "UGX", "VND", "XAF", "XOF", "XPF"), 0
) | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)


class BankTransfer:
    """A provider. It makes nothing outside."""

    name: Final = "MANUAL"
    environment: Final = Environment.LIVE
    life: Final = timedelta(days=30)

    def __init__(self, instructions: Mapping[str, str]) -> None:
        """`instructions` say where to pay, by the assets that are taken."""
        self.scales: Mapping[str, int] = {asset: OTHER_DIGITS.get(asset, DIGITS) for asset in instructions}

    async def begin(self, deposit: DepositRow) -> Begun:
        return Begun(PENDING, expires=deposit.expire_time)

    async def look(self, deposit: DepositRow) -> str:
        """Nobody confirmed it; whoever does so later is heard all the same."""
        del deposit
        return EXPIRED
