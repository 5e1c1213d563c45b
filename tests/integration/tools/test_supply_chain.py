"""What is installed is what was locked, and what is shipped is looked at (line S27 of the security checklist)."""

import json
import os
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from tests.servers import free_port

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / "requirements.lock"
AUDIT = [sys.executable, str(ROOT / "tools" / "audit.py")]
FAULTY: Final = "cryptography"
ADVISORY: Final[dict[str, Any]] = {"id": "PYSEC-0000-1", "summary": "everything is open", "affected": [], "aliases": []}
# Put together here, so that this file holds none.
SECRET = "aws_key = 'AKIA" + "IOSFODNN7EXAMPLA'\n"


def pinned() -> dict[str, tuple[str, int]]:
    """Version and number of hashes of each package of the lock."""
    blocks = re.findall(
        r"^([\w.-]+)(?:\[[^]]*\])?==(\S+)[^\n]*\\\n((?: +--hash=\S+[^\n]*\n)+)", LOCK.read_text(), re.MULTILINE
    )
    return {name: (version, hashes.count("--hash=sha256:")) for name, version, hashes in blocks}


def test_s27_every_package_is_pinned_with_hashes() -> None:
    names = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==", LOCK.read_text(), re.MULTILINE)
    found = pinned()
    assert len(names) > 50
    assert [name for name in names if name not in found or found[name][1] == 0] == []


def test_s27_the_bill_of_materials_names_every_package_of_the_lock() -> None:
    done = subprocess.run([*AUDIT, "sbom"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    bill = json.loads((ROOT / "build" / "sbom.cdx.json").read_text())
    assert bill["bomFormat"] == "CycloneDX"
    listed = {part["name"]: part for part in bill["components"]}
    assert {name: part["version"] for name, part in listed.items()} == {name: of[0] for name, of in pinned().items()}
    hashes = {name: sum(len(place["hashes"]) for place in part["externalReferences"]) for name, part in listed.items()}
    assert hashes == {name: of[1] for name, of in pinned().items()}


class Advisories(BaseHTTPRequestHandler):
    """A service that speaks the OSV protocol and knows of one fault."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        faulty = (asked["package"]["name"], asked["version"]) == (FAULTY, pinned()[FAULTY][0])
        answer = {"vulns": [ADVISORY]} if faulty else {}
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  its own name
        """Nobody reads it."""


def advisories(url: str, home: Path) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "OSV_URL": url, "XDG_CACHE_HOME": str(home)}
    return subprocess.run([*AUDIT, "advisories"], env=environment, capture_output=True, text=True, check=False)


def test_s27_a_package_with_a_known_fault_fails_the_audit(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as service:
        threading.Thread(target=service.serve_forever, daemon=True).start()
        done = advisories(f"http://127.0.0.1:{service.server_port}/v1/query", tmp_path)
        service.shutdown()
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.split() == ["pip-audit:", FAULTY, f"{pinned()[FAULTY][0]}:", ADVISORY["id"]]


def test_s27_an_advisory_service_that_is_not_there_is_named_in_one_line(tmp_path: Path) -> None:
    done = advisories(f"http://127.0.0.1:{free_port()}/v1/query", tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(
        r"pip-audit: skipped, nothing was audited: the advisory service cannot be reached .*\n", done.stdout
    )


def test_s27_a_weakness_in_the_code_is_found(tmp_path: Path) -> None:
    weak = "import subprocess\n\n\ndef run(text: str) -> None:\n    subprocess.call(text, shell=True)\n    exec(text)\n"
    tools = Path(sys.executable).parent
    for command, found in (
        # With the rules of this project, as `make lint` has them; and as `make audit-code` has it.
        ([str(tools / "ruff"), "check", "--config", str(ROOT / "pyproject.toml"), "-"], {"S602", "S102"}),
        ([str(tools / "bandit"), "-q", "-ll", "-"], {"B602", "B102"}),
    ):
        done = subprocess.run(command, input=weak, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 1, done.stdout + done.stderr
        assert {rule for rule in found if rule not in done.stdout} == set()


def test_s27_a_secret_in_a_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text(SECRET)
    baseline = ROOT / ".secrets.baseline"
    command = [str(Path(sys.executable).parent / "detect-secrets-hook"), "--baseline", str(baseline)]
    found = subprocess.run([*command, str(tmp_path / "settings.py")], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "AWS Access Key" in found.stdout
