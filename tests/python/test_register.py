"""`register` and `__cross__`: types that say themselves how they cross."""

from __future__ import annotations

import copyreg
import mmap
import threading
from collections.abc import Callable
from typing import Any

import pytest

import isthmus
from _sample_types import Point
from conftest import LARGE

Create = Callable[..., isthmus.Interpreter]


class Guarded:
    """Holds what can't cross."""

    def __init__(self, value: Any) -> None:
        self.value, self.lock = value, threading.Lock()


class Crossing(Guarded):
    def __cross__(self) -> tuple[Any, ...]:
        return Crossing, (self.value,)


@pytest.fixture(autouse=True)
def registry() -> Any:
    from isthmus import _clone

    before = dict(_clone.registered)
    yield
    _clone.registered.clear()
    _clone.registered.update(before)


def made_again(value: Any) -> Guarded:
    return Guarded(value)


def test_a_registered_type_crosses(bounce: Callable[[Any], Any], interp: isthmus.Interpreter) -> None:
    one = Guarded([1, b"x" * LARGE])
    assert not isthmus.is_shareable([one])
    isthmus.register(Guarded, lambda obj: obj.value, made_again)
    assert isthmus.is_shareable([one])
    first, again = interp.call(lambda pair: [type(each).__name__ for each in pair], [one, one])
    assert first == again == "Guarded"
    assert interp.call(lambda pair: pair[0] is pair[1] and pair[0].value[0], [one, one]) == 1
    copied = isthmus.stats().payload_bytes_copied
    assert interp.call(lambda each: len(each.value[1]), one) == LARGE
    assert isthmus.stats().payload_bytes_copied == copied


def test_only_the_sender_registers(interp: isthmus.Interpreter) -> None:
    """The function that decodes comes along, as code if need be."""
    isthmus.register(Guarded, lambda obj: obj.value, lambda value: ("rebuilt", value))  # type: ignore[arg-type]
    assert interp.call(lambda x: x, Guarded(5)) == ("rebuilt", 5)
    with pytest.raises(isthmus.NotShareableError, match=r"result\.lock: _thread\.lock can't be sent"):
        interp.call(lambda: __import__("test_register").Guarded(5))


def test_the_latest_registration_counts_and_subclasses_are_not_concerned() -> None:
    r, s = isthmus.create_channel(None)
    isthmus.register(Point, lambda p: p.x, lambda x: Point(x, "first"))
    isthmus.register(Point, lambda p: p.x, lambda x: Point(x, "second"))
    s.send(Point(1))
    assert r.recv().y == "second"

    class Special(Point):
        pass

    assert isthmus._isthmus.clone(Special(1, 2)).y == 2  # type: ignore[attr-defined]


def test_it_comes_before_all_other_ways() -> None:
    clone = isthmus._isthmus.clone  # type: ignore[attr-defined]
    assert clone(Crossing(3)).value == 3
    copyreg.pickle(Crossing, lambda obj: (str, ("copyreg",)))  # type: ignore[arg-type,return-value]
    try:
        assert clone(Crossing(3)).value == 3
        isthmus.register(Crossing, lambda obj: obj.value, lambda value: ["registered", value])  # type: ignore[arg-type,return-value]
        assert clone(Crossing(3)) == ["registered", 3]
    finally:
        del copyreg.dispatch_table[Crossing]


class WithState:
    """`__cross__` may return whatever `__reduce__` may."""

    def __init__(self) -> None:
        self.items: list[Any] = []

    def append(self, item: Any) -> None:
        self.items.append(item)

    def __cross__(self) -> tuple[Any, ...]:
        return WithState, (), {"state": self}, iter(self.items)

    def __reduce__(self) -> Any:
        raise AssertionError("pickle's way")


def test_cross_may_return_all_that_reduce_may() -> None:
    one = WithState()
    one.items = [one, 2]
    got: Any = isthmus._isthmus.clone(one)  # type: ignore[attr-defined]
    assert got.items[0] is got.state is got
    assert got.items[1] == 2


@pytest.mark.parametrize("where", ["encode", "decode", "encoded", "__cross__"])
def test_failures_come_through_and_leave_nothing(where: str) -> None:
    def fails(_: Any) -> Any:
        raise ZeroDivisionError(where)

    class Bad:
        __cross__ = fails

    r, s = isthmus.create_channel(None)
    encode: dict[str, Any] = {"encode": fails, "encoded": lambda obj: obj.lock}
    isthmus.register(
        Guarded, encode.get(where, lambda obj: obj.value), fails if where == "decode" else made_again
    )
    value = [b"x" * LARGE, s, Bad() if where == "__cross__" else Guarded(1)]
    if where == "decode":
        s.send(value)
        s.send("next")
        with pytest.raises(ZeroDivisionError, match=where):
            r.recv()
        assert r.recv() == "next"
        return
    error = isthmus.NotShareableError if where == "encoded" else ZeroDivisionError
    with pytest.raises(error) as caught:
        s.send(value)
    assert r.recv_nowait("nothing") == "nothing"
    if where == "encoded":
        assert "_thread.lock can't be sent" in str(caught.value)
        assert str(caught.value).startswith("[2].")


@pytest.mark.parametrize(
    "kind",
    [
        int,
        str,
        bytes,
        list,
        dict,
        type,
        memoryview,
        mmap.mmap,
        isthmus.Queue,
        type(test_cross_may_return_all_that_reduce_may),
    ],
)
def test_what_has_its_own_way(kind: type) -> None:
    with pytest.raises(ValueError, match="has its own way across"):
        isthmus.register(kind, repr, repr)


def test_bad_arguments() -> None:
    with pytest.raises(TypeError, match="a class is needed"):
        isthmus.register(5, repr, repr)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="encode must be callable"):
        isthmus.register(Guarded, None, repr)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="decode must be callable"):
        isthmus.register(Guarded, repr, "x")  # type: ignore[arg-type]
