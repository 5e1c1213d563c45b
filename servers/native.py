"""The rules compiled to machine code, where `make native` has put them into the environment; else their source is what runs.

Compiled rules lie in a folder that is named by the bytes of every source file of servers/domain and by the Python that compiled
them. A start names the folder anew from the source it has, so rules that were compiled from any other source are not found.
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

SOURCE: Final = Path(__file__).resolve().parent / "domain"
PACKAGE: Final = "servers.domain."
# What all compiled modules share.
GROUP: Final = "venue_rules"
BUILDS: Final = Path(sys.prefix) / "native"


def sources() -> list[Path]:
    """The modules of the rules, by name."""
    return sorted(SOURCE.glob("*.py"))


def build_folder() -> Path:
    """Where the present source's compiled rules are, if they are anywhere."""
    digest = sha256(f"{sys.version}\0{sys.platform}\0".encode())
    for path in sources():
        raw = path.read_bytes()
        digest.update(f"{path.name}\0{len(raw)}\0".encode() + raw)
    return BUILDS / digest.hexdigest()[:32]


class CompiledRules(MetaPathFinder):
    """Finds the modules of the rules in a build, before their source is looked for."""

    def __init__(self, folder: Path) -> None:
        self._shared = [str(folder)]
        self._rules = [str(folder / "servers" / "domain")]

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  the protocol's
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname.startswith(PACKAGE):
            return PathFinder.find_spec(fullname, self._rules, target)
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
