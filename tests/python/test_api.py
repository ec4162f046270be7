"""The names that isthmus promises: `__all__`, the stub and what is there at run time agree."""

from __future__ import annotations

import ast
import copy
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


def stub_functions() -> dict[str, ast.FunctionDef]:
    """Those that are public."""
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    return {name: node for name, node in found.items() if name in isthmus.__all__}


def parameters_of(node: ast.FunctionDef) -> list[inspect.Parameter]:
    """As `inspect` has them, without annotations."""
    bare = copy.deepcopy(node.args)
    for each in ast.walk(bare):
        if isinstance(each, ast.arg):
            each.annotation = None
    alike = eval(ast.unparse(ast.Lambda(bare, ast.Constant(None))))
    return list(inspect.signature(alike).parameters.values())


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


def without_annotations(signature: inspect.Signature) -> list[inspect.Parameter]:
    return [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]


@pytest.mark.parametrize("name", sorted(stub_functions()))
def test_signatures_of_functions_agree_with_the_stub(name: str) -> None:
    found = inspect.signature(getattr(_isthmus, name))
    assert without_annotations(found) == parameters_of(stub_functions()[name])


@pytest.mark.parametrize("name", sorted(set(stub_classes()) & set(isthmus.__all__)))
def test_signatures_of_classes_agree_with_the_stub(name: str) -> None:
    kind = getattr(isthmus, name)
    for member, node in members_of(stub_classes()[name]).items():
        value = getattr(kind, member)
        if member == "__new__":
            assert without_annotations(inspect.signature(kind)) == parameters_of(node)[1:]
        elif callable(value) and (not member.startswith("_") or member in {"__enter__", "__exit__"}):
            # What a method is called on is positional only in C.
            assert without_annotations(inspect.signature(value))[1:] == parameters_of(node)[1:], member


@pytest.mark.parametrize("name", sorted(set(isthmus.__all__) - {"__version__"}))
def test_every_public_callable_has_a_signature(name: str) -> None:
    value = getattr(isthmus, name)
    if not inspect.isclass(value):
        assert not callable(value) or inspect.signature(value)
        return
    # Exceptions without an `__init__` of their own have that of their builtin base, which has none.
    if not issubclass(value, BaseException) or "__init__" in vars(value):
        assert inspect.signature(value)
    for member in dir(value):
        thing = getattr(value, member)
        if not member.startswith("_") and callable(thing):
            assert "self" in inspect.signature(thing).parameters, member


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
