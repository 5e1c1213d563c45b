"""`venue market` where it has nowhere to go."""

from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from servers.admin.command import app

SIZES = ("tick_size=0.01", "lot_size=0.1", "max_quantity=10")


@pytest.mark.parametrize(
    "arguments",
    [
        ("list",),
        ("halt", "ETH-USD"),
        ("asset", "NEW", "--scale", "8", "--display-scale", "4"),
        ("create", "ETH-USD-NEW", *SIZES),
        ("fees", "ETH-USD", "default", "--maker", "0", "--taker", "0"),
    ],
)
def test_an_environment_without_a_partition_is_named(arguments: tuple[str, ...]) -> None:
    settings = SimpleNamespace(partitions={2: "DEMO"}, default_environment="DEMO")
    ran = CliRunner().invoke(app, [*arguments, "--environment", "live"], obj=settings)
    assert (ran.exit_code, ran.stderr) == (1, "no partition is of LIVE\n")
