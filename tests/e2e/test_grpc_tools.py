"""grpcurl reads the contract by reflection and calls: the very commands of docs/sdk.md. Skipped where grpcurl is not."""

import os
import shlex
import shutil
import subprocess

import pytest
from google.protobuf import json_format

from tests.e2e.gateway import ROOT
from tests.e2e.launching import Venue
from venue.marketdata.v1 import marketdata_pb2

RUN_S = 60.0


def commands() -> list[list[str]]:
    """As the page shows them."""
    lines = (ROOT / "docs" / "sdk.md").read_text().splitlines()
    return [shlex.split(line.removeprefix("$ ")) for line in lines if line.startswith("$ grpcurl ")]


def test_the_commands_of_the_page_work(venue: Venue) -> None:
    path = os.pathsep.join([str(ROOT / "build" / "sdk" / "bin"), os.environ["PATH"]])
    tool = shutil.which("grpcurl", path=path)
    if tool is None:
        pytest.skip("no grpcurl on PATH, nor in build/sdk/bin")
    said = []
    for _, *arguments in commands():
        asked = [tool, *(each.replace("localhost:8080", venue.target) for each in arguments)]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=RUN_S, check=False)
        assert done.returncode == 0, (asked, done.stderr)
        said.append(done.stdout)
    listed, described, ticker = said
    assert {"venue.order.v1.OrderService", "grpc.health.v1.Health"} <= set(listed.split())
    assert "rpc PlaceOrder ( .venue.order.v1.PlaceOrderRequest ) returns" in described
    assert "venue.option.v1.access" in described
    told = json_format.Parse(ticker, marketdata_pb2.GetTickerResponse())
    assert float(told.ticker.last_price) > 0
