"""The project's own files, as git knows them, and their syntax trees."""

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = ("servers", "db", "sdk", "examples", "tests", "tools")
TEXT = (
    ".py",
    ".pyi",
    ".proto",
    ".ts",
    ".js",
    ".css",
    ".html",
    ".svg",
    ".sql",
    ".sh",
    ".yaml",
    ".yml",
    ".toml",
    ".json",
    ".md",
    ".txt",
    ".lock",
    ".in",
    ".ini",
    ".cfg",
    ".mako",
)
NAMED = ("Makefile", "Dockerfile", ".npmrc", ".gitignore", ".gitattributes", "run")


@cache
def files() -> list[str]:
    """Paths relative to the root: tracked, or new and not ignored. Deleted ones are left out."""
    found = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return sorted(name for name in found.stdout.split("\0") if name and (ROOT / name).is_file())


def texts(*, generated: bool) -> list[str]:
    return [
        name
        for name in files()
        if (name.endswith(TEXT) or Path(name).name in NAMED) and (generated or not name.startswith("gen/"))
    ]


def modules() -> list[str]:
    """Python that people wrote. Migrations are written once and never read again, so sizes do not bind them."""
    return [
        name
        for name in files()
        if name.endswith(".py") and name.split("/")[0] in CODE and not name.startswith("db/migrations/versions/")
    ]


def lines(name: str) -> list[str]:
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


@cache
def tree(name: str) -> ast.Module:
    return ast.parse((ROOT / name).read_text(encoding="utf-8"), filename=name)
