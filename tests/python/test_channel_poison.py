"""Channels that are poisoned."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

import isthmus
from conftest import LARGE, PATIENCE, Running

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]
type Ends = tuple[isthmus.RecvChannel, isthmus.SendChannel]


@pytest.fixture(params=[0, 1, None], ids=["rendezvous", "one", "unbounded"])
def ends(request: pytest.FixtureRequest) -> Iterator[Ends]:
    r, s = isthmus.create_channel(request.param)
    yield r, s
    r.close()
    s.close()


@pytest.fixture
def unbounded() -> Iterator[Ends]:
    r, s = isthmus.create_channel(None)
    yield r, s
    r.close()
    s.close()


# --- many at once


def poisons() -> list[BaseException | type[BaseException]]:
    return [KeyError("why"), RuntimeError, KeyboardInterrupt(), SystemExit(3), isthmus.InterpreterError("x")]


@pytest.mark.parametrize("poison", poisons(), ids=repr)
def test_poison_is_raised_by_every_operation(ends: Ends, poison: BaseException | type[BaseException]) -> None:
    r, s = ends
    s.poison(poison)
    kind = poison if isinstance(poison, type) else type(poison)
    operations: list[Callable[[], object]] = [
        lambda: s.send(1), lambda: s.send_nowait(1), lambda: s.send_many([1]), lambda: s.poison(ValueError()),
        r.recv, r.recv_nowait, lambda: r.recv_many(1), lambda: next(r), lambda: isthmus.select(r),
        lambda: isthmus.select((s, 1)),
    ]  # fmt: skip
    for operation in operations:
        with pytest.raises(kind) as caught:
            operation()
        assert type(caught.value) is kind
        if not isinstance(poison, type):
            assert caught.value.args == poison.args
    assert r.is_closed
    assert s.is_closed


def test_poison_from_the_receiver_reaches_another_interpreter(
    ends: Ends, interp: isthmus.Interpreter, spawn: Spawn
) -> None:
    r, s = ends
    failing = spawn(interp, "while True:\n    s.send(1)", s=s)
    r.recv(PATIENCE)
    r.poison(LookupError("enough"))
    with pytest.raises(LookupError, match="enough"):
        failing.join()


def test_poison_wakes_a_waiting_receiver(ends: Ends, interp: isthmus.Interpreter, spawn: Spawn) -> None:
    r, s = ends
    waiting = spawn(interp, "r.recv()", r=r)
    waiting.until_asleep()
    s.poison(LookupError("enough"))
    with pytest.raises(LookupError, match="enough"):
        waiting.join()


def test_poison_drops_what_is_buffered(unbounded: Ends) -> None:
    r, s = unbounded
    s.send(b"x" * LARGE)
    s.poison(ValueError)
    assert isthmus.stats().shares_outstanding == 0
    assert r.statistics().dropped == 1


def test_bad_poison(unbounded: Ends) -> None:
    r, s = unbounded
    for bad in (None, 5, int, "x"):
        with pytest.raises(TypeError):
            s.poison(bad)  # type: ignore[arg-type]
    with pytest.raises(isthmus.NotShareableError):
        s.poison(ValueError(threading.Lock()))
    s.send(1)
    assert r.recv() == 1  # nothing happened
    s.close()
    with pytest.raises(ValueError, match="closed"):
        s.poison(KeyError())


def test_poison_of_an_unknown_class_keeps_its_text(unbounded: Ends, interp: isthmus.Interpreter) -> None:
    r, s = unbounded
    interp.run("class Mine(Exception): pass\ns.poison(Mine('told'))", s=s)
    with pytest.raises(isthmus.InterpreterError, match="Mine: told"):
        r.recv()


# --- looking
