"""What every test folder shares: a marker per folder, and where the recorded order flow lies."""

import signal
import sys
from pathlib import Path

import pytest

from servers import native

# Tests reach into the rules, so their source is what they run; with --native it is what was compiled, or they fail.
if "--native" not in sys.argv:
    native.uninstall()
# A shell that runs this in the background has it ignore Ctrl-C, and so would every process that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

TESTS = Path(__file__).resolve().parent
pytest_plugins = ["tests.servers"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long forms: more kills, more input, more time")
    parser.addoption("--native", action="store_true", help="run the compiled rules: make native-check")


def pytest_report_header() -> str:
    # Imported here: after the choice above.
    from servers.domain import exchange

    runs = "compiled" if not str(exchange.__file__).endswith(".py") else "source"
    if (runs == "compiled") != ("--native" in sys.argv):
        pytest.exit(f"the rules run from their {runs}: make native", returncode=1)
    return f"rules: {runs}"


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
