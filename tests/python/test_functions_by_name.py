"""Functions that the other side can import cross by reference."""

from __future__ import annotations

import functools
import math
import os.path
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

import _functions_sample as sample
import isthmus

# ---- by reference


def test_a_function_that_can_be_imported_is_imported(
    call: Callable[..., Any], interp: isthmus.Interpreter, bounce: Callable[[Any], Any]
) -> None:
    assert call(sample.whereabouts) == ("_functions_sample", interp.id)
    assert [call(sample.record, 1), call(sample.record, 2)] == [1, 2]  # the module's state, not a copy's
    assert sample.CALLS == []
    assert bounce([sample.record])[0] is sample.record


@pytest.mark.parametrize(
    ("f", "args", "result"),
    [
        (len, ([1, 2],), 2),
        (math.sqrt, (9,), 3.0),
        (os.path.join, ("a", "b"), "a/b"),
        (str.upper, ("x",), "X"),
        ("abc".upper, (), "ABC"),
        (int, ("12",), 12),
        (sample.add_two, (1,), 5),
        (sample.Adder.static, (1,), 2),
        (sample.Adder(2).method, (3,), 5),
        (sample.Adder(2), (3,), 5),
        (functools.partial(sample.Adder(2), 3), (), 5),
        (functools.partial(math.pow, 2), (3,), 8.0),
        (functools.partial(lambda a, b: a - b, 5), (3,), 2),
    ],
)
def test_callables_of_all_kinds(call: Callable[..., Any], f: Any, args: Any, result: Any) -> None:
    assert call(f, *args) == result


def test_a_class_method_and_what_it_returns(call: Callable[..., Any]) -> None:
    made = call(sample.Adder.made, 7)
    assert type(made) is sample.Adder
    assert made(1) == 8


def test_a_name_that_leads_to_another_object_is_no_reference(call: Callable[..., Any]) -> None:
    hidden = sample.add_two.__wrapped__  # type: ignore[attr-defined]
    assert hidden.__qualname__ == "add_two"
    assert call(hidden, 1) == 3


def test_a_module_that_nobody_else_can_import_is_no_reference(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = types.ModuleType("made_by_hand")
    exec("def f(n): return n + SHIFT\nSHIFT = 10", vars(module))
    monkeypatch.setitem(sys.modules, "made_by_hand", module)
    assert call(module.f, 1) == 11


def test_a_module_loaded_from_elsewhere_is_no_reference(
    call: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    import importlib.util

    file = tmp_path / "off_the_path.py"
    file.write_text("def f(n): return n + 1\n", encoding="ascii")
    spec = importlib.util.spec_from_file_location("off_the_path", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setitem(sys.modules, "off_the_path", module)
    assert call(module.f, 1) == 2
