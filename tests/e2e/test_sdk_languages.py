"""The clients of other languages do the same against the whole venue: log in, place, stream, cancel, a decimal, an error detail.

TypeScript is built here, where Node is, and runs in Node and in a browser. Go and Java run where `make sdk` has built them from
this contract: compiling them costs more than a test may. With --long they are built here too, and Rust and C++ with them.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.e2e import node_client
from tests.e2e.browser import play
from tests.e2e.gateway import ORIGIN, ROOT
from tests.e2e.launching import Venue
from tests.e2e.people import PASSWORD, join
from tests.e2e.ways import Rest
from venue_sdk.request_ids import request_id

BUILT = ROOT / "build" / "sdk"
IMAGE = ROOT / "gen" / "venue.binpb"
TYPESCRIPT = ROOT / "sdk" / "typescript"
NODE = ROOT / ".venv" / "node"
BUILD_S, RUN_S = 1200.0, 120.0
PAGE = (
    '<!doctype html><title>A page</title><link rel="icon" href="data:,"><script type="module" src="page.js"></script>'
)
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


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the npm package as it is packed, and what it depends on; nothing else of the checkout."""
    build("typescript")
    folder = tmp_path_factory.mktemp("project")
    command = [str(NODE / "npm"), "pack", "--silent", "--pack-destination", str(folder)]
    path = os.pathsep.join([str(NODE), os.environ["PATH"]])
    subprocess.run(command, cwd=TYPESCRIPT, env=os.environ | {"PATH": path}, check=True, capture_output=True)
    modules = folder / "node_modules"
    modules.mkdir()
    for name in ("@bufbuild", "@connectrpc"):
        (modules / name).symlink_to(TYPESCRIPT / "node_modules" / name)
    shutil.unpack_archive(next(folder.glob("venue-sdk-*.tgz")), folder / "unpacked", format="gztar", filter="data")
    (folder / "unpacked" / "package").rename(modules / "venue-sdk")
    return folder


def test_the_npm_package_holds_the_contract_and_the_layer_alone(project: Path) -> None:
    package = project / "node_modules" / "venue-sdk"
    names = {str(path.relative_to(package)) for path in package.rglob("*") if path.is_file()}
    assert {name.split("/")[0] for name in names} == {"package.json", "dist"}
    assert {"dist/index.js", "dist/index.d.ts", "dist/gen/venue/order/v1/order_pb.js"} <= names
    # Whoever has the package alone can use it: types resolve, and nothing of the checkout is missing.
    asked = "import('venue-sdk').then((sdk) => console.log(sdk.decimal('-00.500'), new sdk.Book().checksum()))"
    done = subprocess.run(
        [str(NODE / "node"), "-e", asked], cwd=project, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert (done.stdout.split(), done.stderr) == (["-0.5", "0"], "")


class Quiet(SimpleHTTPRequestHandler):
    """Files, without a line for each of them."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """The port of a small server of files."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def bundled(project: Path) -> Path:
    """The program for a page, as bundlers make it of the package, in a folder with that page."""
    if not (esbuild := node_client.FOLDER / "node_modules" / ".bin" / "esbuild").exists():
        pytest.skip("no Node packages: `make test` installs them")
    shutil.copy(TYPESCRIPT / "program.mjs", project)
    (project / "page.mjs").write_text(
        'import { conformance } from "./program.mjs";\nglobalThis.conformance = conformance;\n'
    )
    folder = project / "public"
    options = ["--bundle", "--platform=browser", "--format=esm", "--log-level=warning", f"--outfile={folder}/page.js"]
    path = os.pathsep.join([str(NODE), os.environ["PATH"]])
    made = [str(esbuild), "page.mjs", *options]
    subprocess.run(made, cwd=project, env=os.environ | {"PATH": path}, check=True, capture_output=True, timeout=RUN_S)
    (folder / "index.html").write_text(PAGE)
    return folder


def test_the_npm_package_does_in_a_browser_what_it_does_in_node(venue: Venue, rest: Rest, project: Path) -> None:
    """In a page of an origin that the gateway's list has; one that is not on it reaches nothing."""
    public = bundled(project)
    person, origins = join(rest, "browser"), [ORIGIN, "http://localhost:5174"]
    with served(public) as port:
        # The list names ports; the tests' are the kernel's, so the browser is told where those origins are.
        hosts = ",".join(f"MAP {origin.partition('//')[2]} 127.0.0.1:{port}" for origin in origins)
        told = play("sdk", venue, address=person.email, origins=origins, hosts=hosts)
    listed, unlisted = told["seen"]
    assert listed == SEEN
    assert "VenueError" in unlisted
    assert told["problems"]
    assert all("has been blocked by CORS policy" in problem for problem in told["problems"]), told["problems"]
