"""Compiled rules: what is found, what is not, and what is said where there can be none."""

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from servers import main as entry
from servers import native
from servers.embedded.preload import loaded_files

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Any]:
    """tools/native.py in an environment that has no builds yet, and no compiler."""
    monkeypatch.setattr(native, "BUILDS", tmp_path / "native")
    monkeypatch.setenv("PATH", str(tmp_path))
    main: Callable[[str], Any] = runpy.run_path(str(ROOT / "tools" / "native.py"))["main"]
    return main


@pytest.mark.parametrize("mode", ["try", "later"])
def test_without_a_compiler_a_line_says_that_the_source_runs(
    tool: Callable[[str], Any], mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tool(mode)
    said = "native: no C compiler (cc, gcc, clang) on PATH; the rules run from their source\n"
    assert capsys.readouterr() == (said, "")
    assert not native.BUILDS.exists()


def test_who_asks_for_compiled_rules_is_refused_without_a_compiler(tool: Callable[[str], Any]) -> None:
    with pytest.raises(SystemExit, match="no C compiler"):
        tool("")


def test_what_did_not_compile_is_not_begun_again_behind_the_scenes(
    tool: Callable[[str], Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cc = tmp_path / "cc"
    cc.touch(mode=0o755)
    native.BUILDS.mkdir()
    native.build_folder().with_suffix(".failed").touch()
    tool("later")
    assert capsys.readouterr().out.startswith("native: the rules did not compile (")
    assert not (native.BUILDS / "lock").exists()


@pytest.mark.parametrize(("target", "mode"), [("up", "later"), ("bench", "try")])
def test_who_starts_the_exchange_or_measures_it_asks_for_compiled_rules_first(target: str, mode: str) -> None:
    planned = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert planned.find(f"tools/native.py {mode}\n") < planned.find(f"venue {target}")
    assert f"tools/native.py {mode}\n" in planned


def test_what_is_there_is_not_made_again_and_nothing_is_said(
    tool: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    native.build_folder().mkdir(parents=True)
    for mode in ("", "try", "later"):
        tool(mode)
    assert capsys.readouterr() == ("", "")


def test_a_build_is_named_by_every_source_it_is_made_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = native.build_folder()
    for path in native.sources():
        copy = tmp_path / path.relative_to(native.SERVERS)
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes(path.read_bytes())
    monkeypatch.setattr(native, "SERVERS", tmp_path)
    assert native.build_folder() == before
    (tmp_path / "engine" / "wire.py").write_text("changed = True\n")
    assert native.build_folder() != before


def test_a_finder_knows_the_modules_of_its_build_alone(tmp_path: Path) -> None:
    engine = tmp_path / "servers" / "engine"
    engine.mkdir(parents=True)
    (engine / "wire.py").touch()
    finder = native.CompiledRules(tmp_path)
    found = finder.find_spec("servers.engine.wire", None)
    assert found is not None
    assert found.origin == str(engine / "wire.py")
    for name in (
        "servers.engine.sequencer",
        "servers.domain.book",
        "servers.order.trade",
        "json",
        "venue_rules__mypyc",
    ):
        assert finder.find_spec(name, None) is None


def test_the_supervisor_notices_a_change_of_what_it_has_compiled() -> None:
    assert {str(path) for path in native.sources()} <= set(loaded_files())


def test_no_class_has_a_compiled_one_above_it() -> None:
    """Objects of such a class are not what a compiled method takes for its own."""
    entry.load()
    names = {f"servers.{path.parent.name}.{path.stem}" for path in native.sources()}
    found = {
        f"{thing.__module__}.{thing.__name__}": above.__module__
        for name, module in list(sys.modules.items())
        if name.startswith(("servers.", "db."))
        for thing in vars(module).values()
        if isinstance(thing, type) and thing.__module__ not in names
        for above in thing.__mro__[1:]
        if above.__module__ in names
    }
    assert found == {}
