"""The clients of other languages do the same against the whole venue: log in, place, stream, cancel, a decimal, an error detail.

TypeScript is built here, where Node is. Go and Java run where `make sdk` has built them from this contract: compiling them costs
more than a test may. With --long they are built here too, and Rust and C++ with them.
"""

import json
import os
import shutil
import subprocess
import sys
import tarfile
from functools import cache
from pathlib import Path

import pytest

from tests.e2e.gateway import ROOT
from tests.e2e.launching import Venue
from tests.e2e.people import PASSWORD, join
from tests.e2e.ways import Rest
from venue_sdk.request_ids import request_id

BUILT = ROOT / "build" / "sdk"
IMAGE = ROOT / "gen" / "venue.binpb"
TYPESCRIPT = ROOT / "sdk" / "typescript"
NODE = ROOT / ".venv" / "node"
BUILD_S, RUN_S = 1200.0, 120.0
SEEN = {
    "statuses": ["OPEN", "CANCELLED"],
    "price": "2.5",
    "quantity": "0.5",
    "held": "1.2525",
    "replayed": True,
    "streamed": ["OPEN", "CANCELLED"],
    "reason": "INVALID_FIELD",
    "fields": ["client_order_id"],
}


def build(language: str) -> None:
    """Skips where the language's tools are not here."""
    if left_out := built(language):
        pytest.skip(left_out)


@cache
def built(language: str) -> str:
    """Why it is not, where its tools are not here. Once for all tests."""
    generator = ROOT / ".venv-gen" / "bin" / "python"
    python = str(generator) if generator.exists() else sys.executable
    done = subprocess.run(
        [python, "tools/sdk.py", language], cwd=ROOT, capture_output=True, text=True, timeout=BUILD_S, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip() if "left out" in done.stdout else ""


def program(language: str, *, long: bool) -> list[str]:
    """The command of a conformance program. Skips where it is not built."""
    if long or language == "typescript":
        build(language)
    made = {
        "typescript": (TYPESCRIPT / "dist" / "index.js", [str(NODE / "node"), str(TYPESCRIPT / "conformance.mjs")]),
        "go": (BUILT / "go" / "conformance", [str(BUILT / "go" / "conformance")]),
        "java": (
            BUILT / "java" / "target" / "classes" / "venue" / "sdk" / "Conformance.class",
            ["java", "-cp", f"{BUILT}/java/target/classes{os.pathsep}{BUILT}/java/lib/*", "venue.sdk.Conformance"],
        ),
    }
    there, command = made[language]
    if not there.exists():
        pytest.skip(f"{language} is not built: make sdk")
    if there.stat().st_mtime < IMAGE.stat().st_mtime:
        pytest.skip(f"{language} was built from an older contract: make sdk")
    return command


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("language", ["typescript", "go", "java"])
def test_the_conformance_program_sees_what_the_others_see(
    venue: Venue, rest: Rest, request: pytest.FixtureRequest, language: str
) -> None:
    command = program(language, long=request.config.getoption("--long"))
    person = join(rest, language)
    given = {"VENUE_URL": venue.url, "VENUE_TARGET": venue.target, "VENUE_EMAIL": person.email}
    given |= {"VENUE_PASSWORD": PASSWORD, "VENUE_REQUEST_ID": request_id()}
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == SEEN


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("language", ["rust", "cpp"])
def test_the_contract_compiles(request: pytest.FixtureRequest, language: str) -> None:
    if not request.config.getoption("--long"):
        pytest.skip("minutes of a compiler: --long, or make sdk")
    build(language)
    if language == "cpp":
        subprocess.run([str(BUILT / "cpp" / "build" / "limit_order")], check=True, timeout=RUN_S)


def test_the_npm_package_holds_the_contract_and_the_layer_alone(tmp_path: Path) -> None:
    build("typescript")
    command = [str(NODE / "npm"), "pack", "--silent", "--pack-destination", str(tmp_path)]
    path = os.pathsep.join([str(NODE), os.environ["PATH"]])
    subprocess.run(command, cwd=TYPESCRIPT, env=os.environ | {"PATH": path}, check=True, capture_output=True)
    with tarfile.open(next(tmp_path.glob("venue-sdk-*.tgz"))) as packed:
        names = {name.removeprefix("package/") for name in packed.getnames()}
    assert {name.split("/")[0] for name in names} == {"package.json", "dist"}
    assert {"dist/index.js", "dist/index.d.ts", "dist/gen/venue/order/v1/order_pb.js"} <= names
    # Whoever has the package alone can use it: types resolve, and nothing of the checkout is missing.
    project = tmp_path / "project"
    (project / "node_modules").mkdir(parents=True)
    for name in ("@bufbuild", "@connectrpc"):
        (project / "node_modules" / name).symlink_to(TYPESCRIPT / "node_modules" / name)
    shutil.unpack_archive(next(tmp_path.glob("venue-sdk-*.tgz")), project / "unpacked", format="gztar", filter="data")
    (project / "unpacked" / "package").rename(project / "node_modules" / "venue-sdk")
    asked = "import('venue-sdk').then((sdk) => console.log(sdk.decimal('-00.500'), new sdk.Book().checksum()))"
    done = subprocess.run(
        [str(NODE / "node"), "-e", asked], cwd=project, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert (done.stdout.split(), done.stderr) == (["-0.5", "0"], "")
