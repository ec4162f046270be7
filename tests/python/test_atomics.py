"""AtomicView: integers that all interpreters may change at once."""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable
from typing import Any, Literal

import pytest

import isthmus
from conftest import Running

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]
Ends = tuple[isthmus.RecvChannel, isthmus.SendChannel]
Format = Literal["i", "I", "q", "Q", "l", "L"]
FORMATS: list[Format] = ["i", "I", "q", "Q", "l", "L"]
every_format = pytest.mark.parametrize("fmt", FORMATS)


def limits(fmt: str) -> tuple[int, int]:
    bits = struct.calcsize(fmt) * 8
    return (0, 2**bits - 1) if fmt.isupper() else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def wrapped(fmt: str, value: int) -> int:
    low, high = limits(fmt)
    return (value - low) % (high - low + 1) + low


@every_format
def test_what_it_is(fmt: Format) -> None:
    made = isthmus.SharedBuffer(80)
    view = made.atomic(fmt)
    assert view.fmt == fmt
    assert view.itemsize == struct.calcsize(fmt)
    assert view.nbytes == 80
    assert len(view) == 80 // struct.calcsize(fmt)
    assert view.obj == made
    assert repr(view).startswith(f"<AtomicView fmt='{fmt}' len={len(view)} at 0x")
    assert [view.load(i) for i in range(len(view))] == [0] * len(view)
    assert len(isthmus.SharedBuffer(0).atomic(fmt)) == 0


@every_format
def test_it_shows_the_memory(fmt: Format) -> None:
    made = isthmus.SharedBuffer(32)
    view = made.atomic(fmt)
    plain = memoryview(made).cast(fmt)
    for value in limits(fmt):
        view.store(1, value)
        assert plain[1] == value
        plain[-1] = value
        assert view.load(-1) == view.load(len(view) - 1) == value
    assert plain[0] == plain[2] == 0


@every_format
def test_changes_return_what_was_there(fmt: Format) -> None:
    view = isthmus.SharedBuffer(32).atomic(fmt)
    low, high = limits(fmt)
    changes: list[tuple[Callable[[int, int], int], Callable[[int, int], int]]] = [
        (view.add, operator.add),
        (view.sub, operator.sub),
        (view.and_, operator.and_),
        (view.or_, operator.or_),
        (view.xor, operator.xor),
        (view.exchange, lambda _, value: value),
    ]
    values = [low, high, 0, 1, high // 3, 0b1010, *([-1, low // 3] if low else [])]
    for change, expected in changes:
        for start in values:
            for value in values:
                view.store(1, start)
                assert change(1, value) == start
                assert view.load(1) == wrapped(fmt, expected(start, value)), (change, start, value)
    assert view.load(0) == view.load(2) == 0


@every_format
def test_compare_exchange(fmt: Format) -> None:
    view = isthmus.SharedBuffer(16).atomic(fmt)
    low, high = limits(fmt)
    assert view.compare_exchange(1, 5, 7) == 0
    assert view.load(1) == 0
    assert view.compare_exchange(1, 0, high) == 0
    assert view.compare_exchange(index=1, expected=high, desired=low) == high
    assert view.load(1) == low
    assert view.load(0) == 0


@every_format
def test_values_that_do_not_fit(fmt: Format) -> None:
    view = isthmus.SharedBuffer(16).atomic(fmt)
    low, high = limits(fmt)
    for value in (low - 1, high + 1, 2**64, -(2**64), 10**30):
        for change in (view.store, view.exchange, view.add, view.sub, view.and_, view.or_, view.xor):
            with pytest.raises(OverflowError, match=f"'{fmt}'"):
                change(0, value)
        with pytest.raises(OverflowError):
            view.compare_exchange(0, value, 0)
        with pytest.raises(OverflowError):
            view.compare_exchange(0, 0, value)
        with pytest.raises(OverflowError):
            view.wait(0, value, 0)
    assert bytes(view.obj) == bytes(16)


def calls(view: isthmus.AtomicView, index: Any) -> list[Callable[[], object]]:
    return [
        lambda: view.load(index),
        lambda: view.store(index, 1),
        lambda: view.exchange(index, 1),
        lambda: view.add(index, 1),
        lambda: view.sub(index, 1),
        lambda: view.and_(index, 1),
        lambda: view.or_(index, 1),
        lambda: view.xor(index, 1),
        lambda: view.compare_exchange(index, 0, 1),
        lambda: view.wait(index, 0, 0),
        lambda: view.notify(index),
    ]


@pytest.mark.parametrize("index", [4, -5, 2**40, 2**63, -(2**63), 2**100])
def test_indices_out_of_range(index: int) -> None:
    view = isthmus.SharedBuffer(16).atomic("i")
    for call in calls(view, index):
        with pytest.raises(IndexError):
            call()
    for call in calls(isthmus.SharedBuffer(0).atomic("q"), 0):
        with pytest.raises(IndexError):
            call()
    assert bytes(view.obj) == bytes(16)


@pytest.mark.parametrize("index", [1.0, "1", None, slice(1)])
def test_indices_are_integers(index: Any) -> None:
    for call in calls(isthmus.SharedBuffer(16).atomic("i"), index):
        with pytest.raises(TypeError):
            call()


@pytest.mark.parametrize("value", [1.0, "1", None, b"1"])
def test_values_are_integers(value: Any) -> None:
    view = isthmus.SharedBuffer(16).atomic("i")
    for change in (view.store, view.exchange, view.add, view.sub, view.and_, view.or_, view.xor):
        with pytest.raises(TypeError):
            change(0, value)
    with pytest.raises(TypeError):
        view.compare_exchange(0, value, 0)
    with pytest.raises(TypeError):
        view.wait(0, value, 0)


def test_whatever_has_an_index_is_an_integer() -> None:
    class Three:
        def __index__(self) -> int:
            return 3

    view = isthmus.SharedBuffer(16).atomic("i")
    view.store(Three(), Three())
    assert view.add(Three(), True) == 3
    assert view.load(3) == 4


def test_an_index_method_that_raises() -> None:
    class Refusing:
        def __index__(self) -> int:
            raise KeyError("no")

    for call in calls(isthmus.SharedBuffer(16).atomic("i"), Refusing()):
        with pytest.raises(KeyError):
            call()


def test_wrong_calls() -> None:
    view: Any = isthmus.SharedBuffer(16).atomic("i")
    for call in (
        lambda: view.load(),
        lambda: view.load(0, 1),
        lambda: view.store(0),
        lambda: view.add(0, 1, 2),
        lambda: view.add(0, other=1),
        lambda: view.compare_exchange(0, 1),
        lambda: view.wait(0),
        lambda: view.notify(),
    ):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(TypeError):
        type(view)()


@pytest.mark.parametrize("fmt", ["", "b", "h", "f", "d", "n", "P", "ii", "@i", "<i", "i\0", "é", "\ud800"])
def test_other_formats(fmt: Any) -> None:
    with pytest.raises(ValueError, match="fmt must be one of"):
        isthmus.SharedBuffer(16).atomic(fmt)


@pytest.mark.parametrize("fmt", [b"i", None, 1])
def test_formats_are_strings(fmt: Any) -> None:
    with pytest.raises(TypeError, match="fmt must be a str"):
        isthmus.SharedBuffer(16).atomic(fmt)


def test_only_whole_elements() -> None:
    for size, fmt in [(1, "i"), (7, "I"), (12, "q"), (4, "Q")]:
        with pytest.raises(ValueError, match=f"{size} bytes"):
            isthmus.SharedBuffer(size).atomic(fmt)  # type: ignore[arg-type]
    assert len(isthmus.SharedBuffer(12).atomic("i")) == 3


def test_it_crosses_with_its_memory(interp: isthmus.Interpreter, ends: Ends) -> None:
    made = isthmus.SharedBuffer(16)
    view = made.atomic("I")
    interp.run("view.add(3, 5); s.send([view, view.obj])", view=view, s=ends[1])
    came, memory = ends[0].recv()
    assert came == view
    assert hash(came) == hash(view)
    assert came.fmt == "I"
    assert came.obj == memory == made
    assert came.load(3) == 5
    assert came != made.atomic("i")
    assert came != isthmus.SharedBuffer(16).atomic("I")
    assert isthmus.same_memory(came, made)
    assert isthmus.is_shareable(view)


def test_it_keeps_the_memory(interp: isthmus.Interpreter) -> None:
    before = isthmus.stats().shared_buffers_live
    view = isthmus.SharedBuffer(8).atomic("q")
    interp.run("pass", view=view)
    assert view.add(0, 1) == 0
    interp.reset_main()
    assert isthmus.stats().shared_buffers_live == before + 1
    del view
    assert isthmus.stats().shared_buffers_live == before


# ---- several interpreters at once

WORK = """if True:
    gate.add(0, 1)
    while gate.load(0) != 4:  # all begin together
        pass
    for i in range(n):
        counts.add(0, 1)
        counts.sub(1, step)
        counts.xor(2, 1 << me)
        counts.or_(3, 1 << (i % 4 * 4 + me))
        counts.and_(4, ~(1 << (i % 4 * 4 + me)) & mask)
        total += counts.exchange(5, me * n + i + 1)
        while True:
            old = counts.load(6)
            if counts.compare_exchange(6, old, old + 7) == old:
                break
    exchanged.send(total)
    """


@every_format
def test_no_change_of_any_interpreter_is_lost(
    new_interp: Create, spawn: Spawn, ends: Ends, fmt: Format
) -> None:
    n = 2000
    gate = isthmus.SharedBuffer(4).atomic("i")
    counts = isthmus.SharedBuffer(64).atomic(fmt)
    low, high = limits(fmt)
    mask = 0xFFFF
    step = high // 1000  # so that it wraps around
    counts.store(4, mask)
    shared = {"gate": gate, "counts": counts, "n": n, "step": step, "mask": mask, "exchanged": ends[1]}
    threads = [spawn(new_interp(), WORK, me=me, total=0, **shared) for me in range(4)]
    for each in threads:
        each.join()
    assert counts.load(0) == 4 * n
    assert counts.load(1) == wrapped(fmt, -4 * n * step)
    assert counts.load(2) == 0, "each bit an even number of times"
    assert counts.load(3) == 0xFFFF
    assert counts.load(4) == 0
    # What was put in came out, but for what lies there now.
    taken = sum(ends[0].recv() for _ in range(4))
    assert taken + counts.load(5) == sum(range(1, 4 * n + 1))
    assert counts.load(6) == wrapped(fmt, 4 * n * 7)
    assert low <= counts.load(1) <= high
