"""One venue of real processes for all tests of the folder; each test mends what the one before it broke."""

import os
import random
from collections.abc import Iterator

import pytest

from tests.chaos.driver import Venue


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Venue]:
    venue = Venue(tmp_path_factory.mktemp("chaos"))
    try:
        venue.make()
        yield venue
    finally:
        venue.end()


@pytest.fixture
def venue(running: Venue) -> Venue:
    """The venue, every process of it serving."""
    running.mend()
    return running


@pytest.fixture
def seed() -> int:
    """VENUE_CHAOS_SEED, or a new one; printed, so that a failure can be run again."""
    chosen = int(os.environ.get("VENUE_CHAOS_SEED") or random.randrange(1 << 32))
    print(f"seed={chosen}")
    return chosen
