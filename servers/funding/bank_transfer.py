"""Deposits by bank transfer: the payer quotes a reference, and two people of the venue confirm that the money came."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from db.deposits import EXPIRED, PENDING
from db.models.deposits import DepositRow
from servers.domain.terms import Environment
from servers.funding.provider import Begun

DIGITS: Final = 2


class BankTransfer:
    """A provider. It makes nothing outside."""

    name: Final = "MANUAL"
    environment: Final = Environment.LIVE
    life: Final = timedelta(days=30)

    def __init__(self, instructions: Mapping[str, str]) -> None:
        """`instructions` say where to pay, by the assets that are taken."""
        self.scales: Mapping[str, int] = dict.fromkeys(instructions, DIGITS)

    async def begin(self, deposit: DepositRow) -> Begun:
        return Begun(PENDING, expires=deposit.expire_time)

    async def look(self, deposit: DepositRow) -> str:
        """Nobody confirmed it; whoever does so later is heard all the same."""
        del deposit
        return EXPIRED
