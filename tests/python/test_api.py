"""The names that isthmus promises: `__all__`, the stub and what is there at run time agree."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import types
from pathlib import Path
from typing import Any

import pytest

import isthmus
from isthmus import _isthmus

STUB = Path(isthmus.__file__).with_name("_isthmus.pyi")
PROMISED = {
    "create", "list_all", "get_current", "get_main", "Interpreter",
    "create_channel", "list_all_channels", "RecvChannel", "SendChannel", "select",
    "create_queue", "Queue", "QueueEmpty", "QueueFull", "ItemInterpreterDestroyed",
    "UNBOUND", "UNBOUND_ERROR", "UNBOUND_REMOVE",
    "SharedBuffer", "AtomicView",
    "register", "enable", "share", "owner", "describe", "same_memory", "is_shareable", "stats",
    "InterpreterError", "InterpreterNotFoundError", "ExecutionFailed", "NotShareableError",
}  # fmt: skip
TYPES = ["Interpreter", "RecvChannel", "SendChannel", "Queue", "SharedBuffer", "AtomicView"]


def stub_classes() -> dict[str, ast.ClassDef]:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def stub_names() -> set[str]:
    """Public names that the stub defines at module level."""
    names: set[str] = set()
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return {name for name in names if not name.startswith("_") or name == "__version__"}


def members_of(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    """Methods and properties of a class of the stub, those of its bases in the stub included."""
    found: dict[str, ast.FunctionDef] = {}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in stub_classes():
            found |= members_of(stub_classes()[base.id])
    return found | {each.name: each for each in node.body if isinstance(each, ast.FunctionDef)}


def parameters_of(node: ast.FunctionDef) -> list[str]:
    taken = node.args
    names = [each.arg for each in taken.posonlyargs + taken.args + taken.kwonlyargs]
    return [*names, *(each.arg for each in (taken.vararg, taken.kwarg) if each is not None)]


def test_all_is_what_is_public() -> None:
    public = {
        name
        for name in dir(isthmus)
        if not name.startswith("_")
        and not isinstance(getattr(isthmus, name), types.ModuleType)
        and name != "annotations"
    }
    assert set(isthmus.__all__) == public | {"__version__"}
    assert len(isthmus.__all__) == len(set(isthmus.__all__))


def test_everything_promised_is_there() -> None:
    assert set(isthmus.__all__) >= PROMISED


def test_the_stub_names_what_the_extension_has() -> None:
    present = {name for name in vars(_isthmus) if not name.startswith("_")} | {"__version__"}
    assert stub_names() == present


@pytest.mark.parametrize("name", TYPES)
def test_the_stub_names_what_the_types_have(name: str) -> None:
    described = set(members_of(stub_classes()[name]))
    kind = getattr(_isthmus, name)
    public = {each for each in vars(kind) if not each.startswith("_")}
    assert {each for each in described if not each.startswith("_")} == public
    assert all(hasattr(kind, each) for each in described)


@pytest.mark.parametrize("name", TYPES)
def test_signatures_of_methods_agree_with_the_stub(name: str) -> None:
    compared = 0
    for member, node in members_of(stub_classes()[name]).items():
        value = getattr(getattr(_isthmus, name), member)
        if member.startswith("_") or not callable(value):
            continue
        written = value.__text_signature__
        if written is not None and written.startswith("($self"):
            assert list(inspect.signature(value).parameters) == parameters_of(node), member
            compared += 1
    assert compared > 0


@pytest.mark.parametrize("name", sorted(set(isthmus.__all__) - {"__version__"}))
def test_every_public_name_has_a_docstring(name: str) -> None:
    value: Any = getattr(isthmus, name)
    assert inspect.getdoc(value)
    if not inspect.isclass(value) or issubclass(value, BaseException):
        return
    for member, thing in vars(value).items():
        if not member.startswith("_") and (callable(thing) or inspect.isdatadescriptor(thing)):
            documented = inspect.getdoc(thing) or inspect.getdoc(value)
            assert documented, f"{name}.{member}"


def test_types_can_not_be_changed_or_derived_from() -> None:
    for name in TYPES:
        kind = getattr(isthmus, name)
        with pytest.raises(TypeError):
            kind.extra = 1
        with pytest.raises(TypeError):
            type("Derived", (kind,), {})


def test_the_version_is_the_distributions() -> None:
    assert isthmus.__version__ == _isthmus.__version__
    try:
        installed = importlib.metadata.version("isthmus")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("imported from a checkout that is not installed")
    assert installed == isthmus.__version__


def test_the_package_is_typed() -> None:
    assert Path(isthmus.__file__).with_name("py.typed").exists()


def test_the_docstring_example_runs() -> None:
    assert isthmus.__doc__ is not None
    lines = [line.strip() for line in isthmus.__doc__.splitlines() if line.startswith("    ")]
    assert lines
    namespace: dict[str, Any] = {}
    exec("\n".join(lines), namespace)
    namespace["interp"].close()
