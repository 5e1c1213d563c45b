"""The benchmark runs and has figures; how large they are is not for a test to say."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from servers.bench import rivals, traffic
from servers.bench.load import Client, Load, start
from venue.type.v1 import type_pb2

OWN_CLIENT = Client("own", "")
UNARY = traffic.unary_body("demo-1", type_pb2.SIDE_BUY)


@pytest.mark.timeout(600)
def test_a_quick_run_prints_ratios_and_writes_a_page(tmp_path: Path) -> None:
    page = tmp_path / "benchmarks.md"
    environment = {**os.environ, "VENUE_STATE_DIR": str(tmp_path / "state")}
    command = [sys.executable, "-m", "servers.cli", "bench", "--quick", "--out", str(page)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.findall(r"^\| ([PF]\w+) \|(?:[^|]*\|){4} ([0-9.]+) \|", page.read_text(), re.MULTILINE)
    ratios = {number: float(ratio) for number, ratio in found}
    loaded = {"F30"} if shutil.which("h2load") else set[str]()
    assert set(ratios) == {"P1", "P2", "P3", "P4a", "P4b", "F36", "F36b", "P8a", "P8b", "P8c"} | loaded
    figures = re.findall(r"^\| ([PF]\w+) \|(?:[^|]*\|){2} ([0-9.,]+) \|  \|  \|", page.read_text(), re.MULTILINE)
    assert ("F33", "0.00") in figures or not loaded
    assert {number for number, _ in figures} >= {"P6b", "P9a", "P10a", "P10b", "P12a", "P12b", "P13"}
    assert all(ratio > 0 for ratio in ratios.values())
    assert "P1" in done.stdout
    assert page.with_suffix(".svg").exists()
    assert list(tmp_path.glob(".venue-bench-*")) == []


@pytest.mark.parametrize("body", [UNARY, traffic.session_body("demo-1", type_pb2.SIDE_BUY)], ids=["unary", "session"])
async def test_the_own_client_does_without_h2load(tmp_path: Path, body: bytes) -> None:
    method = "PlaceOrder" if body == UNARY else "Trade"
    path = traffic.write(tmp_path, "body", body)
    async with rivals.echoing(tmp_path) as echo:
        load = Load(
            address=echo.address, path=f"/venue.order.v1.OrderService/{method}", body=path, callers=2, seconds=0.5
        )
        answers = await (await start(OWN_CLIENT, [load], tmp_path)).answers()
        assert await echo.count() >= max(len(answers), 1)
    assert answers or body != UNARY


async def test_a_pace_is_kept(tmp_path: Path) -> None:
    path = traffic.write(tmp_path, "body", UNARY)
    async with rivals.echoing(tmp_path) as echo:
        address = echo.address
        method = "/venue.order.v1.OrderService/PlaceOrder"
        load = Load(address=address, path=method, body=path, callers=2, seconds=1.0, rate=20.0)
        answers = await (await start(OWN_CLIENT, [load], tmp_path)).answers()
    assert 2 <= len(answers) <= 24
