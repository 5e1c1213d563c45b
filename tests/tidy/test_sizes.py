"""Modules and functions stay small enough to be read at once."""

import ast

from tests.tidy.tree import lines, modules, tree

MODULE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60


def test_modules_are_short() -> None:
    long = {name: len(lines(name)) for name in modules() if len(lines(name)) > MODULE_LINES_MAX}
    assert long == {}


def test_functions_are_short() -> None:
    long = {
        f"{name}:{node.lineno} {node.name}": (node.end_lineno or node.lineno) - node.lineno + 1
        for name in modules()
        for node in ast.walk(tree(name))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= FUNCTION_LINES_MAX
    }
    assert long == {}


def test_modules_say_what_lives_there() -> None:
    silent = [name for name in modules() if lines(name) and not ast.get_docstring(tree(name))]
    assert silent == []
