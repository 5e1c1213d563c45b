"""The last frames of a series, serialized once however many read them; each reader keeps no more than its place here.

Places count from the first frame there ever was. What a reader has not taken by the time the log lets go of it is lost to it.
"""

import itertools
from typing import Final, NamedTuple

# Field 16 of SubscribeResponse, a message.
FRAMES_TAG: Final = b"\x82\x01"
# Joined bytes are kept for the next reader at the same place: small ones always, others up to so many in all. Readers who have
# fallen behind are each at a place of their own, and what all of them still have to get is a multiple of the log.
JOINED_SMALL_BYTES: Final = 16 * 1024
JOINED_BYTES_MAX: Final = 1024 * 1024
_order = itertools.count(1)


class Entry(NamedTuple):
    """A frame without a stream's id; `order` is that of all entries of the process, `position` as in the frame."""

    order: int
    sequence: int
    position: str
    frame: bytes


def sized(tag: bytes, frame: bytes) -> bytes:
    """A message as a field of another."""
    length, prefix = len(frame), bytearray(tag)
    while length > 0x7F:
        prefix.append(length & 0x7F | 0x80)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + frame


class Log:
    """Entries from `start` up to `end`, never more than the bounds but always the last one."""

    def __init__(self, frames_max: int, bytes_max: int) -> None:
        self.start = 0
        self.end = 0
        self._frames_max = frames_max
        self._bytes_max = bytes_max
        self._bytes = 0
        self._entries: list[Entry] = []
        # By place: everything from there to the end, as field of one message.
        self._joined: dict[int, bytes] = {}
        self._joined_bytes = 0

    def append(self, sequence: int, position: str, frame: bytes) -> None:
        self._entries.append(Entry(next(_order), sequence, position, frame))
        self.end += 1
        self._bytes += len(frame)
        self._joined.clear()
        self._joined_bytes = 0
        if self.end - self.start > self._frames_max or self._bytes > self._bytes_max:
            self._bound()

    def __getitem__(self, place: int) -> Entry:
        """The entry at a place that the log has."""
        return self._entries[place - self.start]

    @property
    def last(self) -> Entry:
        return self._entries[-1]

    def size(self, place: int) -> int:
        """How many bytes of frames there are from a place on."""
        if place == self.start:
            return self._bytes
        return sum(len(entry.frame) for entry in self._entries[place - self.start :])

    @property
    def joined_bytes(self) -> int:
        """How much is kept for the next reader at the same place."""
        return self._joined_bytes

    def joined(self, place: int) -> bytes:
        """Every frame from a place on. Whoever asks from the same place gets the same bytes, where they were kept."""
        found = self._joined.get(place)
        if found is None:
            found = b"".join([sized(FRAMES_TAG, entry.frame) for entry in self._entries[place - self.start :]])
            if len(found) <= JOINED_SMALL_BYTES or self._joined_bytes + len(found) <= JOINED_BYTES_MAX:
                self._joined[place] = found
                self._joined_bytes += len(found)
        return found

    def trim(self, place: int) -> None:
        """Let go of what lies before a place."""
        count = min(place, self.end) - self.start
        if count > 0:
            self._bytes -= sum(len(entry.frame) for entry in self._entries[:count])
            del self._entries[:count]
            self.start += count

    def _bound(self) -> None:
        """Far enough below the bounds that this is done seldom."""
        keep = size = 0
        for entry in reversed(self._entries):
            size += len(entry.frame)
            if keep and (keep >= self._frames_max - self._frames_max // 8 or size > self._bytes_max):
                break
            keep += 1
        self.trim(self.end - keep)
