"""What every test folder shares: a marker per folder, and where the recorded order flow lies."""

import signal
from pathlib import Path

import pytest

# A shell that runs this in the background has it ignore Ctrl-C, and so would every process that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).resolve().parent
pytest_plugins = ["tests.servers"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long forms: more kills, more input, more time")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        parts = item.path.relative_to(TESTS).parts
        if len(parts) > 1:
            item.add_marker(parts[0])


@pytest.fixture(scope="session")
def order_flow() -> Path:
    """The folder of recorded order flow, `../shared/data` seen from the repository. Skips where it is missing."""
    folder = TESTS.parent.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no recorded order flow at ../shared/data")
    return folder
