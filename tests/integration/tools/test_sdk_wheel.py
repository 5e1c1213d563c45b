"""The package `venue-sdk` is built, and works with the oldest protobuf and gRPC that it promises, and with the newest."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
UV = str(Path(sys.executable).parent / "uv")
INSTALL_S = 120
# Every module of it, a message there and back, a decimal.
PROGRAM = """
import importlib, pkgutil, warnings
warnings.simplefilter("error")
import venue, venue_sdk
names = []
for package in (venue, venue_sdk):
    names += [found.name for found in pkgutil.walk_packages(package.__path__, package.__name__ + ".")]
for name in names:
    importlib.import_module(name)
from decimal import Decimal
from venue.order.v1 import order_pb2
from venue_sdk.retries import changes_nothing
from venue_sdk.values import Order, read
order = order_pb2.Order.FromString(order_pb2.Order(order_id="1-7", quantity="1.50", fee="0").SerializeToString())
assert read(Order, order).quantity == Decimal("1.5")
assert changes_nothing("/venue.order.v1.OrderService/ListOrders")
import google.protobuf, grpc
print(len(names), google.protobuf.__version__, grpc.__version__)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    command = [UV, "build", "-q", "--wheel", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(out)]
    subprocess.run([*command, str(ROOT / "sdk" / "python")], check=True, capture_output=True)
    return next(out.glob("venue_sdk-*.whl"))


def test_the_wheel_holds_the_contract_and_the_layer_and_no_server(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {
        "venue",
        "buf",
        "venue_sdk",
        "venue_ccxt",
    }
    assert {"venue/py.typed", "venue_sdk/py.typed", "venue_sdk/client.py", "venue/order/v1/order_pb2.py"} <= set(names)


@pytest.mark.parametrize("age", ["oldest", "newest"])
def test_it_works_with_the_libraries_it_promises(wheel: Path, tmp_path: Path, age: str) -> None:
    promised = tomllib.loads((ROOT / "sdk" / "python" / "pyproject.toml").read_text())["project"]["dependencies"]
    # The first release that a bound admits has that number, with a zero where the bound has two parts.
    oldest = [
        f"{name}=={bound}" + ".0" * (2 - bound.count(".")) for name, bound in (each.split(">=") for each in promised)
    ]
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never"}
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run([UV, "venv", "-q", "--python", sys.executable, str(tmp_path / "env")], check=True, env=environment)
    command = [UV, "pip", "install", "-q", "--only-binary", ":all:", "--python", str(python), str(wheel)]
    asked = [*command, *(oldest if age == "oldest" else [])]
    installed = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False, timeout=INSTALL_S)
    if installed.returncode and "error sending request" in installed.stderr:
        pytest.skip(f"the package index cannot be reached: {installed.stderr.strip()[-200:]}")
    assert installed.returncode == 0, installed.stderr
    ran = subprocess.run([str(python), "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    modules, protobuf, _ = ran.stdout.split()
    assert int(modules) > 30
    assert (protobuf == "6.31.1") == (age == "oldest")
