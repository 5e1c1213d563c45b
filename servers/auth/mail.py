"""Mail as this room sees it: a letter, and somebody who takes it on."""

from typing import Protocol

from db.outgoing import Letter


class LetterNotTaken(Exception):
    """Nobody took the letter: it is to be tried again."""


class LetterBox(Protocol):
    """Somebody who is answerable for letters: what stores them until they are sent (db/outgoing.py)."""

    async def send(self, letter: Letter) -> None:
        """Raises LetterNotTaken, PartUnavailable."""
