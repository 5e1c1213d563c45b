"""What a payment company is to us: where its customer pays, and what has become of a payment."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from db.models.deposits import DepositRow
from servers.domain.terms import Environment


class RefusedByProvider(Exception):
    """The company will never take this as it was asked for."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a company made of a deposit: its state, what the company calls it, and where to pay until when."""

    state: str
    session_id: str = ""
    url: str = ""
    expires: datetime | None = None


class Provider(Protocol):
    """A way that money comes in. Raises PartUnavailable where the company does not answer: ask again."""

    @property
    def name(self) -> str:
        """As the contract has it."""

    @property
    def environment(self) -> Environment:
        """Whose accounts it is for."""

    @property
    def scales(self) -> Mapping[str, int]:
        """The digits behind the point that an asset is paid with, by the assets that are taken."""

    @property
    def life(self) -> timedelta:
        """How long a deposit waits for its payment."""

    async def begin(self, deposit: DepositRow) -> Begun:
        """Asked again for the same deposit it answers the same. Raises RefusedByProvider, PartUnavailable."""

    async def look(self, deposit: DepositRow) -> str:
        """The state of a deposit that nobody has told us of in time. Raises PartUnavailable."""
