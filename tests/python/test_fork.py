"""fork after and while interpreters lived (H3), multiprocessing, subprocess."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

from _subprocess import run_script
from isthmus._at_fork import LATE

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "case",
    [
        "both_write",
        "nothing_placed_yet",
        "child_creates",
        "orphans",
        "many_forks",
        "beside_threads",
        "from_a_thread",
        "descriptors",
    ],
)
def test_fork(case: str) -> None:
    run_script("fork", case)


@pytest.mark.parametrize("case", ["estates", "daemon", "terminal"])
def test_fork_while_objects_of_every_kind_live(case: str) -> None:
    """Held and in flight, of an owner that is closed too; in the child, in a child of that, in a daemon."""
    run_script("forking", case)


@pytest.mark.parametrize("kind", ["own", "shared", "foreign"])
def test_a_warning_where_cpython_kills_the_child(kind: str) -> None:
    """Should a CPython let the child live one day, this says so: then the warning must go there."""
    run_script("forking", "warned", kind)


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_multiprocessing(method: str) -> None:
    run_script("fork", "processes", method)


def test_subprocess() -> None:
    run_script("fork", "subprocesses")


def _imported_late() -> set[str]:
    """What functions of the package import, and what native code imports of the package."""
    names = set()
    for file in (ROOT / "src/isthmus").glob("_*.py"):
        for function in ast.walk(ast.parse(file.read_text())):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Import):
                    names |= {each.name for each in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module == "isthmus":
                    names |= {f"isthmus.{each.name}" for each in node.names}
                elif isinstance(node, ast.ImportFrom) and node.module:
                    names.add(node.module)
    for file in (ROOT / "native").rglob("*.cpp"):
        names |= set(re.findall(r'PyImport_ImportModule\("(isthmus\.\w+)"\)', file.read_text()))
    return names


def test_what_is_imported_late_is_finished_before_a_fork() -> None:
    at_once = {"isthmus._isthmus", "isthmus._errors", "isthmus._stats", "isthmus.cli"}
    has_fork_hooks = {"concurrent.futures"}  # of logging: half of them would run if it came in a hook
    built_in = set(sys.builtin_module_names)
    assert _imported_late() - at_once - built_in - has_fork_hooks <= set(LATE)
    assert "isthmus._clone" in _imported_late()
