"""The rules compiled to machine code, where they were compiled into the environment; else their source is what runs.

With them what is done for every order beside them: bytes into commands, and what a command caused into bytes and lines; and what
the benchmark does to a book by itself. Compiled modules lie in a folder that is named by the bytes of every source file of theirs
and by the Python that compiled them. A start names the folder anew from the source it has, so what was compiled from any other
source is not found.
`python -m servers.bench.source MODULE ARGUMENT...` runs a module on the source whatever has been compiled.
"""

import sys
from collections.abc import Sequence
from hashlib import sha256
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Final

SERVERS: Final = Path(__file__).resolve().parent
# All of them below `servers`, whose import comes first and looks for what is compiled: a module from its source that calls on
# compiled ones is all right, the other way round it would not be. The rules are all of `domain`.
PACKAGES: Final[dict[str, tuple[str, ...]]] = {
    "domain": ("*",),
    "engine": (
        "answers",
        "codec",
        "delimited",
        "effects",
        "frames",
        "lines",
        "memory",
        "messages",
        "projection",
        "publication",
        "standing",
        "wire",
    ),
    "bench": ("book_alone",),
}
# A compiled class takes no subclass from a source, and other rooms have errors of their own.
ERRORS: Final = "errors.py"
# What all compiled modules share.
GROUP: Final = "venue_rules"
BUILDS: Final = Path(sys.prefix) / "native"


def sources() -> list[Path]:
    """The files of what is compiled, package by package, by name."""
    return [
        path
        for package, names in PACKAGES.items()
        for path in sorted(path for name in names for path in (SERVERS / package).glob(f"{name}.py"))
        if path.name != ERRORS
    ]


def build_folder() -> Path:
    """Where the present source's compiled rules are, if they are anywhere."""
    digest = sha256(f"{sys.version}\0{sys.platform}\0".encode())
    for path in sources():
        raw = path.read_bytes()
        digest.update(f"{path.relative_to(SERVERS)}\0{len(raw)}\0".encode() + raw)
    return BUILDS / digest.hexdigest()[:32]


class CompiledRules(MetaPathFinder):
    """Finds compiled modules in a build, before their source is looked for."""

    def __init__(self, folder: Path) -> None:
        self._shared = [str(folder)]
        self._packages = {f"servers.{name}": [str(folder / "servers" / name)] for name in PACKAGES}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  the protocol's
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        where = self._packages.get(fullname.rpartition(".")[0])
        if where is not None:
            return PathFinder.find_spec(fullname, where, target)
        return PathFinder.find_spec(fullname, self._shared, target) if fullname == f"{GROUP}__mypyc" else None


def install() -> None:
    """Let compiled rules be found, where there are some of the present source."""
    # Most environments have none: then nothing is read.
    if BUILDS.is_dir() and (folder := build_folder()).is_dir():
        sys.meta_path.insert(0, CompiledRules(folder))


def uninstall() -> None:
    """Let the source be found alone. Only before any of the rules is imported."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, CompiledRules)]


def compiled() -> bool:
    """Whether this process runs, or will run, compiled rules."""
    return any(isinstance(finder, CompiledRules) for finder in sys.meta_path)
