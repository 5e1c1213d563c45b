"""The checksum of a book: CRC32 over the top ten levels of each side, as CONTRACT says, so that clients can prove theirs."""

from collections.abc import Sequence
from itertools import chain, zip_longest
from zlib import crc32

DEPTH = 10


def book_checksum(bids: Sequence[tuple[str, str]], asks: Sequence[tuple[str, str]]) -> int:
    """CRC32 of (price, quantity) texts, best first, bid and ask interleaved, each `price:quantity`, joined by `:`."""
    pairs = chain.from_iterable(zip_longest(bids[:DEPTH], asks[:DEPTH]))
    return crc32(":".join(f"{price}:{quantity}" for price, quantity in filter(None, pairs)).encode())
