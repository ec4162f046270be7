"""Writes docs/reference.md from docstrings and type stubs. Run it with the Python of .venv, after `make`.

--check: writes nothing, fails if the page is not up to date. --missing: lists what has no docstring.
"""

from __future__ import annotations

import argparse
import ast
import copy
import dataclasses
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import isthmus
from isthmus import inspection

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference.md"
SOURCES = Path(isthmus.__file__).parent

SECTIONS = {
    "Interpreters": ("create", "list_all", "get_current", "get_main", "Interpreter"),
    "Posted calls, and the end": ("PendingCall", "ClosedEvent"),
    "Channels": ("create_channel", "list_all_channels", "RecvChannel", "SendChannel", "ChannelStatistics"),
    "Queues": (
        "create_queue",
        "Queue",
        "UNBOUND",
        "UNBOUND_ERROR",
        "UNBOUND_REMOVE",
        "QueueError",
        "QueueEmpty",
        "QueueFull",
        "QueueShutDown",
        "QueueNotFoundError",
        "ItemInterpreterDestroyed",
    ),
    "Waiting for several": ("select",),
    "Shared mutable memory": ("SharedBuffer", "AtomicView"),
    "Errors": (
        "InterpreterError",
        "InterpreterNotFoundError",
        "ExecutionFailed",
        "ExceptionInfo",
        "NotShareableError",
    ),
    "What crosses": ("is_shareable", "register"),
    "Memory": ("enable", "share", "owner", "describe", "same_memory", "stats", "Statistics"),
}

INTRODUCTION = """\
# API reference

Made from the docstrings and the type stubs by `tools/api_reference.py`; a test compares them. The
[guide](guide.md) shows how the parts work together.
"""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = ast.ClassDef | Function


@cache
def definitions(path: Path) -> dict[str, list[Definition]]:
    found: dict[str, list[Definition]] = {}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, Definition):
            found.setdefault(node.name, []).append(node)
    return found


def public(name: str) -> Any:
    return getattr(inspection if name in inspection.__all__ else isthmus, name)


def defined(name: str) -> tuple[dict[str, list[Definition]], list[Definition]]:
    """Where a public name is written down, in a Python file or else in the stub of the extension."""
    value = public(name)
    file = SOURCES / (getattr(value, "__module__", "").rpartition(".")[2] + ".py")
    around = definitions(file) if file.exists() else {}
    if name not in around:
        around = definitions(SOURCES / "_isthmus.pyi")
    return around, around.get(name, [])


def is_property(node: Function) -> bool:
    return any(isinstance(each, ast.Name) and each.id == "property" for each in node.decorator_list)


def signature(node: Function, name: str, *, method: bool) -> str:
    arguments = copy.deepcopy(node.args)
    if method and not any(isinstance(d, ast.Name) and d.id == "staticmethod" for d in node.decorator_list):
        leading = arguments.posonlyargs or arguments.args
        del leading[0]
    returned = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    if is_property(node):
        return name + returned.replace(" -> ", ": ", 1)
    prefix = "async " if isinstance(node, ast.AsyncFunctionDef) else ""
    # ast writes defaults of annotated parameters without spaces.
    written = re.sub(r"(?<=[\w\]])=(?=\S)", " = ", ast.unparse(arguments))
    return f"{prefix}{name}({written}){returned}"


def members(node: ast.ClassDef, around: dict[str, list[Definition]]) -> dict[str, list[Function]]:
    """Public methods and properties, those of bases that are not public themselves included."""
    found: dict[str, list[Function]] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id not in isthmus.__all__:
            for inner in around.get(base.id, []):
                if isinstance(inner, ast.ClassDef):
                    found |= members(inner, around)
    for each in node.body:
        if isinstance(each, Function) and not each.name.startswith("_"):
            found.setdefault(each.name, []).append(each)
    return found


def code(lines: list[str]) -> str:
    return "```py\n" + "\n".join(lines) + "\n```"


def documentation(value: Any, name: str, missing: list[str]) -> str:
    text = inspect.getdoc(value)
    if not text:
        missing.append(name)
    return text or ""


def class_entry(name: str, missing: list[str]) -> Iterator[str]:
    kind = public(name)
    yield f"### {name}"
    bases = [base.__name__ for base in kind.__bases__ if base is not object]
    if issubclass(kind, BaseException):
        yield code([f"class {name}({', '.join(bases)})"])
    yield documentation(kind, name, missing)
    if dataclasses.is_dataclass(kind):
        yield code([f"{field.name}: {field.type}" for field in dataclasses.fields(kind)])
    around, written = defined(name)
    for node in written:
        if isinstance(node, ast.ClassDef):
            for member, nodes in members(node, around).items():
                yield f"#### {name}.{member}"
                yield code([signature(each, member, method=True) for each in nodes])
                yield documentation(getattr(kind, member), f"{name}.{member}", missing)


def entry(name: str, missing: list[str]) -> Iterator[str]:
    value = public(name)
    if inspect.isclass(value):
        yield from class_entry(name, missing)
        return
    yield f"### {name}"
    nodes = [each for each in defined(name)[1] if isinstance(each, Function)]
    if nodes:
        yield code([signature(each, name, method=False) for each in nodes])
    yield documentation(value, name, missing)


def page(missing: list[str]) -> str:
    placed = {name for names in SECTIONS.values() for name in names} | {"__version__"}
    sections = SECTIONS | {"More": tuple(name for name in isthmus.__all__ if name not in placed)}
    parts = [INTRODUCTION.rstrip()]
    for title, names in (sections | {"isthmus.inspection": inspection.__all__}).items():
        present = [name for name in names if name in {*isthmus.__all__, *inspection.__all__}]
        if present:
            parts.append(f"## {title}")
            parts += [part for name in present for part in entry(name, missing) if part]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--missing", action="store_true")
    chosen = parser.parse_args()
    missing: list[str] = []
    text = page(missing)
    if chosen.missing:
        print("\n".join(missing))
    elif chosen.check:
        if not PAGE.exists() or PAGE.read_text("utf-8") != text:
            print("docs/reference.md is not up to date: run tools/api_reference.py", file=sys.stderr)
            return 1
    else:
        PAGE.write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
