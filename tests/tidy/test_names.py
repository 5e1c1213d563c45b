"""Names say what a thing is: no drawers for odds and ends, no layers in place of deeds."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.tidy.tree import modules, tree

DRAWERS = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc"}
# In an identifier `base` is the asset that is bought and sold; as a file or the end of a class name it is a drawer.
FILES = DRAWERS | {"base", "service", "services", "handlers", "repository", "repositories"}


def words(identifier: str) -> list[str]:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", identifier).lower().strip("_").split("_")


def named_at_top(module: ast.Module) -> Iterator[str]:
    for node in module.body:
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Assign(targets=targets):
                yield from (target.id for target in targets if isinstance(target, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name


def test_files_and_folders_are_named_for_a_subject() -> None:
    wrong = [name for name in modules() if FILES & {part.removesuffix(".py") for part in Path(name).parts}]
    assert wrong == []


def test_module_level_names_are_not_drawers() -> None:
    wrong = [
        f"{name}: {identifier}"
        for name in modules()
        for identifier in named_at_top(tree(name))
        if DRAWERS & set(words(identifier))
    ]
    assert wrong == []


def test_no_class_is_a_base() -> None:
    wrong = [
        f"{name}: {node.name}"
        for name in modules()
        for node in tree(name).body
        if isinstance(node, ast.ClassDef) and words(node.name)[-1] == "base"
    ]
    assert wrong == []
