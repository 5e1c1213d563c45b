"""What of the supply chain can be looked at: `audit.py [code] [secrets] [advisories] [sbom]`, all four without a name.

`code` and `secrets` need no network. `advisories` asks the package index for known faults, or the service of the OSV protocol
that OSV_URL names; where it does not answer for a package, that package counts as not audited and is said to be so, and where
nobody answers one line says that the step was skipped. `sbom` writes a CycloneDX bill of materials from the lock.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
LOCK = ROOT / "requirements.lock"
BASELINE = ROOT / ".secrets.baseline"
SBOM = ROOT / "build" / "sbom.cdx.json"
NAMED_MAX = 5


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / name), *arguments], cwd=ROOT, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def code() -> str:
    """Bandit over what is shipped. Raises SystemExit with each finding of medium or high severity."""
    # B608 is ruff's S608, which is on. What stands on the error stream is about comments that only look like bandit's own.
    done = run("bandit", "-q", "-ll", "-s", "B608", "-r", "servers", "db", "tools")
    if done.returncode:
        sys.exit(done.stdout)
    return "bandit: nothing of medium or high severity"


def searched() -> list[str]:
    """The tracked files a secret could be in: no locks, no generated code, no recorded hashes."""
    skipped = ("gen/", "tests/golden/")
    endings = (".lock", ".binpb", ".svg", "package-lock.json", BASELINE.name)
    listed = run_git("ls-files")
    return [name for name in listed if not name.startswith(skipped) and not name.endswith(endings)]


def run_git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def secrets(files: list[str] | None = None) -> str:
    """detect-secrets. Raises SystemExit naming each place that the baseline does not know."""
    names = searched() if files is None else files
    known = BASELINE.read_text(encoding="utf-8")
    done = run("detect-secrets-hook", "--baseline", str(BASELINE), *names)
    # It would move line numbers of known ones; the baseline changes by `make secrets-baseline` alone.
    BASELINE.write_text(known, encoding="utf-8")
    # 3: nothing new, but the baseline's line numbers are old.
    if done.returncode not in {0, 3}:
        sys.exit(done.stdout + done.stderr)
    return f"detect-secrets: nothing new in {len(names)} files"


def advisories() -> str:
    """pip-audit. Raises SystemExit with each known fault; says how many packages were looked up at all."""
    where = ["-s", "osv", "--osv-url", os.environ["OSV_URL"]] if "OSV_URL" in os.environ else []
    output = ["-f", "json", "--progress-spinner", "off"]
    done = run("pip-audit", "--disable-pip", "--require-hashes", "-r", str(LOCK), *output, *where)
    try:
        found = json.loads(done.stdout)["dependencies"]
    except (json.JSONDecodeError, KeyError):
        last = (done.stderr.strip().splitlines() or ["no answer"])[-1]
        return f"pip-audit: skipped, nothing was audited: the advisory service cannot be reached ({last[:120]})"
    faults = [f"{each['name']} {each['version']}: {fault['id']}" for each in found for fault in each.get("vulns", ())]
    if faults:
        sys.exit("\n".join(["pip-audit:", *faults]))
    unknown = [each["name"] for each in found if "skip_reason" in each]
    if len(unknown) == len(found):
        return f"pip-audit: skipped, nothing was audited: the advisory service knows none of the {len(found)} packages"
    rest = f"; not audited: {', '.join(unknown[:NAMED_MAX])} ({len(unknown)})" if unknown else ""
    return f"pip-audit: no known fault in {len(found) - len(unknown)} packages{rest}"


def sbom() -> str:
    """CycloneDX from the lock. Raises SystemExit with the tool's own words."""
    SBOM.parent.mkdir(exist_ok=True)
    options = ["--pyproject", "pyproject.toml", "--output-reproducible", "--of", "JSON", "-o", str(SBOM)]
    done = run("cyclonedx-py", "requirements", str(LOCK), *options)
    if done.returncode:
        sys.exit(done.stderr)
    return f"sbom: {len(json.loads(SBOM.read_text(encoding='utf-8'))['components'])} components in {SBOM.relative_to(ROOT)}"


def baseline() -> str:
    """Take what detect-secrets finds now as known."""
    done = run("detect-secrets", "scan", *searched())
    BASELINE.write_text(done.stdout, encoding="utf-8")
    return (
        f"detect-secrets: {sum(len(found) for found in json.loads(done.stdout)['results'].values())} places are known"
    )


STEPS = {"code": code, "secrets": secrets, "advisories": advisories, "sbom": sbom}


def main() -> None:
    for name in sys.argv[1:] or STEPS:
        step = baseline if name == "baseline" else STEPS[name]
        sys.stdout.write(f"{step()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
