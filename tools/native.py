"""Compiles the rules, unchanged, into the environment. What it makes is found by the source's bytes alone.

`native.py` compiles, or fails and says why. `native.py try` compiles where that can be, else says in a line that it cannot.
`native.py later` does the same in a process of its own that gives way to all others: it says in a line what it begins, and
nothing where there is nothing to do. What did not compile is not begun again until the source changes.

One build at a time. It is made beside its place and moved there whole; a source that changes meanwhile leaves a build that nobody
finds.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from servers import native

ROOT = Path(__file__).resolve().parent.parent
SETUP = """\
import sys
from mypyc.build import mypycify
from setuptools import setup
group, target, *modules = sys.argv[1:]
compiled = mypycify(
    ["--config-file=pyproject.toml", *modules], opt_level="2", debug_level="0", group_name=group, target_dir=target
)
build = ["-q", "build_ext", "--build-lib", target, "--build-temp", target]
setup(name=group, packages=[], ext_modules=compiled, script_args=build)
"""


# Beside the builds: who compiles holds it, what the last one that nobody waited for said, and what did not compile.
LOCK = native.BUILDS / "lock"
SAID = native.BUILDS / "compile.log"
NICE_STEPS = 19


class NotCompiled(Exception):
    """Why there are no compiled rules."""


def check_compiler() -> None:
    """Raises NotCompiled."""
    if not any(shutil.which(name) for name in ("cc", "gcc", "clang")):
        raise NotCompiled("no C compiler (cc, gcc, clang) on PATH")


def failed_mark(folder: Path) -> Path:
    """Stands where a build of that name was tried and did not compile."""
    return folder.with_suffix(".failed")


def build(folder: Path) -> None:
    """Raises NotCompiled with what the compiler said."""
    with tempfile.TemporaryDirectory(dir=native.BUILDS, prefix="making-") as made:
        # The package's own file only says what it is, and stays where it is.
        modules = [str(path.relative_to(ROOT)) for path in native.sources() if path.stem != "__init__"]
        command = [sys.executable, "-c", SETUP, native.GROUP, made, *modules]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            if done.returncode > 0:  # not where it was killed
                failed_mark(folder).touch()
            raise NotCompiled(f"{done.stdout}{done.stderr}\nthe rules did not compile")
        for left in Path(made).rglob("*"):
            if left.is_file() and left.suffix not in {".so", ".pyd"}:
                left.unlink()
        if native.build_folder() != folder:
            raise NotCompiled("the source changed meanwhile")
        Path(made).chmod(0o755)
        Path(made).rename(folder)
        Path(made).mkdir()


def clear() -> None:
    """Builds of other sources are of no use to anybody."""
    kept = {native.build_folder(), LOCK, SAID}
    for path in native.BUILDS.iterdir():
        if path.is_dir() and path not in kept:
            shutil.rmtree(path, ignore_errors=True)
        elif path not in kept:
            path.unlink(missing_ok=True)


@contextmanager
def alone() -> Iterator[IO[bytes]]:
    """Waits until nobody else compiles."""
    with LOCK.open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lock


def compile_now() -> None:
    """Raises NotCompiled."""
    check_compiler()
    native.BUILDS.mkdir(exist_ok=True)
    with alone():
        folder = native.build_folder()
        if folder.is_dir():
            return
        say("compiling the rules, a minute or two")
        build(folder)
        clear()


def compile_later() -> None:
    """Begins a process that compiles, where there is something to compile and nobody does. Raises NotCompiled."""
    check_compiler()
    native.BUILDS.mkdir(exist_ok=True)
    if failed_mark(native.build_folder()).exists():
        raise NotCompiled(f"the rules did not compile ({SAID}; make native)")
    with LOCK.open("wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
    say("compiling the rules in the background, a minute or two; they run from their source until the next start")
    with SAID.open("wb") as said:
        subprocess.Popen(
            [sys.executable, __file__],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            # Its own session: Ctrl-C is for the venue.
            start_new_session=True,
            preexec_fn=lambda: os.nice(NICE_STEPS),  # noqa: PLW1509  no thread was started
        )


def say(text: str) -> None:
    sys.stdout.write(f"native: {text}\n")
    sys.stdout.flush()


def main(mode: str) -> None:
    """Raises SystemExit where compiled rules were asked for and there are none."""
    if native.build_folder().is_dir():
        return
    try:
        if mode == "later":
            compile_later()
        else:
            compile_now()
    except NotCompiled as why:
        if not mode:
            sys.exit(f"native: {why}; the rules run from their source")
        # Only its end: what the compiler said is long.
        say(f"{str(why).splitlines()[-1]}; the rules run from their source")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "")
