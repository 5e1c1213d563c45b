"""What is installed is what was locked, and what is shipped is looked at (line S27 of the security checklist)."""

import json
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / "requirements.lock"
AUDIT = [sys.executable, str(ROOT / "tools" / "audit.py")]
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


def test_s27_a_secret_in_a_file_is_found(tmp_path: Path) -> None:
    (tmp_path / "settings.py").write_text(SECRET)
    baseline = ROOT / ".secrets.baseline"
    command = [str(Path(sys.executable).parent / "detect-secrets-hook"), "--baseline", str(baseline)]
    found = subprocess.run([*command, str(tmp_path / "settings.py")], capture_output=True, text=True, check=False)
    assert found.returncode == 1
    assert "AWS Access Key" in found.stdout
