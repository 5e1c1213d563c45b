"""The chain of the audit log: `h_n = SHA-256(h_{n-1} || canonical bytes)`, `h_0` 32 zero bytes, and who broke it where.

Canonical bytes are the fields in the order of `FIELDS` as UTF-8, each behind its length in four bytes, big-endian; -1 and
nothing behind it where there is none. Times are microseconds since 1970. The database computes the same as it appends.

A chain alone shows an edit, a gap and an exchange. That its end is missing, or that all of it was computed anew, shows only
against heads that were kept elsewhere: the anchors.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

FIELDS: Final = (
    "sequence", "time", "actor_kind", "actor", "credential", "address", "request_id", "action", "object", "before", "after",
    "outcome",
)  # fmt: skip
START: Final = bytes(32)
LENGTH_BYTES: Final = 4


class Link(NamedTuple):
    """An entry as the chain sees it: each of `FIELDS` as text, and the hash that was stored."""

    sequence: int
    fields: tuple[str | None, ...]
    hash: bytes


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry at some moment, as it was told to the outside."""

    sequence: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Break:
    """The first entry that is not what it was, and what is wrong with it."""

    sequence: int
    what: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """`entries` were good, up to `head`; `broken` is None where all of them are."""

    entries: int
    head: Head
    anchors: int
    broken: Break | None


def hash_of(previous: bytes, fields: Sequence[str | None]) -> bytes:
    """The hash of an entry behind the one whose hash is `previous`."""
    running = sha256(previous)
    for field in fields:
        if field is None:
            running.update((-1).to_bytes(LENGTH_BYTES, "big", signed=True))
            continue
        octets = field.encode()
        running.update(len(octets).to_bytes(LENGTH_BYTES, "big", signed=True))
        running.update(octets)
    return running.digest()


async def verify(links: AsyncIterator[Link], anchors: Sequence[Head] = ()) -> Verdict:
    """Go through all entries by their sequence. `anchors` may come in any order."""
    expected = sorted(anchors, key=lambda anchor: anchor.sequence)
    met, last = 0, Head(0, START)
    async for link in links:
        if link.sequence != last.sequence + 1:
            return Verdict(last.sequence, last, met, Break(last.sequence + 1, "is missing"))
        if link.hash != hash_of(last.hash, link.fields):
            broken = Break(link.sequence, "is not what was appended behind the entry before it")
            return Verdict(last.sequence, last, met, broken)
        while met < len(expected) and expected[met].sequence == link.sequence:
            if expected[met].hash != link.hash:
                return Verdict(last.sequence, last, met, _rewritten(expected, met))
            met += 1
        last = Head(link.sequence, link.hash)
    if met < len(expected):
        broken = Break(last.sequence + 1, f"is missing: entry {expected[met].sequence} was the head once")
        return Verdict(last.sequence, last, met, broken)
    return Verdict(last.sequence, last, met, None)


def _rewritten(anchors: Sequence[Head], at: int) -> Break:
    """The chain fits together and is another one than was anchored: it left the old one behind the last good anchor."""
    first = anchors[at - 1].sequence + 1 if at else 1
    through = anchors[at].sequence
    where = "is not the one that was anchored" if first == through else f"or a later one up to {through} was rewritten"
    return Break(first, where)
