"""Who or what is a risk: a score from 0 to 100 with what it is made of. Two screeners are built in, rules and a list of names.

A deployment puts another company's behind the same interface.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher
from typing import Final, Protocol

ADULT_YEARS: Final = 18
# Above it nothing is let through without people; from `REFUSED` on nothing is.
REVIEWED: Final = 40
REFUSED: Final = 85
# How alike two names have to be: letters alone, accents off, words in any order.
ALIKE: Final = 0.88
RISKY_COUNTRY: Final = 60
MINOR: Final = 90
LISTED: Final = 100
# A word of letters of several scripts that look alike, and a name in letters that no name of the list is in: for people.
MIXED: Final = 60
UNCOMPARABLE: Final = 50
ALIKE_SCRIPTS: Final = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC"})
_WORD: Final = re.compile(r"[^\W\d_]+")
# Letters that are no others with a mark.
_PLAIN: Final = str.maketrans(
    {"ł": "l", "ø": "o", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Somebody to be looked at; empty where nothing is known."""

    name: str
    birth_date: date | None = None
    country: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a screener found: a score from 0 to 100, and a line for each part of it."""

    score: int
    findings: tuple[str, ...] = ()


class Screener(Protocol):
    """Looks at somebody. Raises PartUnavailable where it cannot: nobody passes then."""

    async def screen(self, subject: Subject, today: date) -> Found:
        """What is known of a subject."""


class Rules:
    """What can be seen from the subject itself."""

    def __init__(self, risky_countries: Sequence[str]) -> None:
        self._risky = frozenset(risky_countries)

    async def screen(self, subject: Subject, today: date) -> Found:
        score, findings = 0, []
        if subject.country in self._risky:
            score = max(score, RISKY_COUNTRY)
            findings.append(f"country {subject.country} is of high risk")
        born = subject.birth_date
        if (
            born is not None
            and (today.year - born.year - ((today.month, today.day) < (born.month, born.day))) < ADULT_YEARS
        ):
            score = max(score, MINOR)
            findings.append(f"younger than {ADULT_YEARS}")
        return Found(score, tuple(findings))


class NameList:
    """A list of names, a line each; compared without accents, punctuation and order of words, in whatever letters they are."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = {normal(name): name for name in names if normal(name)}
        self._scripts = frozenset(script for name in self._names for script in scripts(name))

    async def screen(self, subject: Subject, today: date) -> Found:
        del today
        asked = normal(subject.name)
        best, like = max(
            ((SequenceMatcher(None, asked, known).ratio(), name) for known, name in self._names.items()),
            default=(0.0, ""),
        )
        if best >= ALIKE:
            return Found(LISTED, (f"the name is like {like!r} of the list",))
        if any(len(scripts(word) & ALIKE_SCRIPTS) > 1 for word in asked.split()):
            return Found(MIXED, ("a word of the name mixes letters that look alike",))
        if self._names and not (asked and scripts(asked) <= self._scripts):
            return Found(UNCOMPARABLE, ("the list has no name in these letters",))
        return Found(0)


class Together:
    """Several screeners: the highest score, and everything that was found."""

    def __init__(self, screeners: Sequence[Screener]) -> None:
        self._screeners = screeners

    async def screen(self, subject: Subject, today: date) -> Found:
        found = [await each.screen(subject, today) for each in self._screeners]
        return Found(
            max((each.score for each in found), default=0), tuple(line for each in found for line in each.findings)
        )


def normal(name: str) -> str:
    """A name as it is compared: small letters of any script without their marks, words in the order of their letters."""
    parts = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(letter for letter in parts if not unicodedata.combining(letter)).translate(_PLAIN)
    return " ".join(sorted(_WORD.findall(plain)))


def scripts(name: str) -> frozenset[str]:
    """The scripts that a name's letters are of, by what Unicode calls them."""
    return frozenset(unicodedata.name(letter, "UNKNOWN").partition(" ")[0] for letter in name if letter.isalpha())
