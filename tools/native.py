"""Compiles the rules, unchanged, into the environment: `native.py`. What it makes is found by the source's bytes alone.

The build is made beside its place and moved there whole; a source that changes meanwhile leaves a build that nobody finds.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

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


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def build() -> None:
    """Raises SystemExit with what the compiler said."""
    folder = native.build_folder()
    native.BUILDS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=native.BUILDS, prefix="making-") as made:
        # The package's own file only says what it is, and stays where it is.
        modules = [str(path.relative_to(ROOT)) for path in native.sources() if path.stem != "__init__"]
        command = [sys.executable, "-c", SETUP, native.GROUP, made, *modules]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{done.stdout}{done.stderr}\nnative: the rules did not compile")
        for left in Path(made).rglob("*"):
            if left.is_file() and left.suffix not in {".so", ".pyd"}:
                left.unlink()
        if native.build_folder() != folder:
            sys.exit("native: the source changed meanwhile: make native")
        Path(made).chmod(0o755)
        Path(made).rename(folder)
        Path(made).mkdir()


def clear() -> None:
    """Builds of other sources are of no use to anybody."""
    wanted = native.build_folder()
    for folder in native.BUILDS.iterdir():
        if folder != wanted:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    if native.build_folder().is_dir():
        return
    if compiler() is None:
        sys.exit("native: no C compiler (cc, gcc, clang) on PATH; the rules run from their source")
    sys.stdout.write("native: compiling the rules, about a minute\n")
    sys.stdout.flush()
    build()
    clear()


if __name__ == "__main__":
    main()
