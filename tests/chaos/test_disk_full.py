"""The database's disk is full: nothing is taken, nothing is lost, and when there is room again nobody has to do anything."""

import asyncio
import time
from pathlib import Path

import pytest

from tests.chaos.checker import check
from tests.chaos.clients import load
from tests.chaos.small_disk import SmallDisk, possible

# Longer than an attempt of a trader.
FULL_S = 5.0


@pytest.mark.timeout(300)
async def test_a_full_disk_stops_the_venue_until_there_is_room(tmp_path: Path, seed: int) -> None:
    if not possible(tmp_path):
        pytest.skip("this system lets nobody mount a file system of his own")
    venue = SmallDisk(tmp_path)
    try:
        await asyncio.to_thread(venue.make)
        api, order = (f"127.0.0.1:{venue.ports[name]}" for name in ("api", "order"))
        async with load(api, order, venue.record, traders=4, seed=seed) as at_work:
            await asyncio.sleep(1.0)
            # What the server frees of its own, such as old segments of its log, is taken from it too.
            await at_work.tally.until_stopped(venue.fill, FULL_S)
            freed = time.monotonic()
            venue.free()
            await at_work.tally.until_served(freed)
            print(f"served {time.monotonic() - freed:.2f} s after there was room; {at_work.tally.repeats} repeats")
            await asyncio.sleep(1.0)
        # Every attempt meanwhile was told to try again, and none was told anything else.
        assert at_work.tally.faults == []
        print(await check(venue, at_work.traders))
    finally:
        await asyncio.to_thread(venue.end)
