"""Every allocation of a send and of a receive fails once: nothing is kept, lost or half made.

What fails is what CPython allocates, through `_testcapi`; `operator new` stays as it is.
"""

from __future__ import annotations

import _testcapi
import collections
import datetime
import gc
import sys
import types
from collections.abc import Callable
from typing import Any

from common import command, counters_balance, eventually

import isthmus

sys.path.insert(0, __file__.rpartition("/scripts/")[0])
import _graph_types as t

QUIET = 30  # so many successes in a row: the operation has no allocations left that could fail


def by_code(first: int, second: int = 7) -> int:
    return first + second


by_code.__module__, by_code.__qualname__ = "__main__", "<lambda>"  # nowhere to be found by name


def nested() -> Any:
    """No bytearray: one that can't be made looks at fields of its own that CPython has not set yet."""
    inner: list[Any] = [1, 2.5, "text", b"bytes", (1, (2, "é€")), {"key": {3, "four"}}, frozenset({5})]
    inner += [inner, slice(1, inner), range(10**20), 1 << 200]
    return [inner, {"again": inner, (1, 2): collections.deque([1], 3)}]


def objects() -> Any:
    plain = t.Plain(1)
    plain.ring = [plain]  # type: ignore[attr-defined]
    zone = datetime.timezone(datetime.timedelta(hours=2))
    made = datetime.datetime(2026, 1, 2, tzinfo=zone)
    return [plain, t.Record(1, "x"), t.FrozenSlottedRecord(1, [2]), t.Pair(1, "y"), made, t.Color.GREEN]


def payloads() -> Any:
    data = bytearray(b"view" * 20_000)
    r, s = isthmus.create_channel(1)
    return [b"b" * 100_000, "é" * 100_000, memoryview(data)[3:70_000], (r, s), isthmus.SharedBuffer(8192)]


def exception() -> Any:
    failure = t.Failure("why", [1])
    failure.add_note("a note")
    failure.__cause__ = OSError(2, "text", "file")
    return [b"b" * 100_000, failure]


def function() -> Any:
    return {"large": "t" * 100_000, "f": by_code}


KINDS: dict[str, Callable[[], Any]] = {
    f.__name__: f for f in (nested, objects, payloads, exception, function)
}


def gauges() -> tuple[int, ...]:
    taken = isthmus.stats()
    return (
        taken.twins_live,
        taken.shares_outstanding,
        taken.slots_live,
        taken.views_live,
        taken.shared_buffers_live,
        taken.shared_buffer_bytes,
    )


def attempt(action: Callable[[], Any], start: int, only: bool) -> tuple[bool, Any]:
    """Whether it succeeded though allocation `start` failed, `only` this one or all from it on."""
    _testcapi.set_nomemory(start, start + 1 if only else 0)
    try:
        return True, action()
    except MemoryError:
        return False, None
    finally:
        _testcapi.remove_mem_hooks()


def failures(step: Callable[[int], bool]) -> int:
    """Calls `step` with 1, 2, ... until it has succeeded for long; returns how often it failed."""
    failed = start = quiet = 0
    while quiet < QUIET:
        start += 1
        done = step(start)
        failed += not done
        quiet = quiet + 1 if done else 0
    return failed


def keep_code() -> list[Any]:
    """References on the code of all inner functions, to be kept.

    CPython 3.13 gives up one too many each time there is no memory for a function that is to be made of it.
    """
    todo = [each.__code__ for each in gc.get_objects() if isinstance(each, types.FunctionType)]
    kept: list[Any] = []
    for code in todo:
        inner = [each for each in code.co_consts if isinstance(each, types.CodeType)]
        todo += inner
        kept += inner * 200
    return kept


def trial(kind: str, how: str) -> None:
    isthmus.enable()
    value = KINDS[kind]()
    r, s = isthmus.create_channel(None)
    parts = list(value.values() if isinstance(value, dict) else value)
    shape = repr([type(each) for each in parts])
    only = how == "one"

    def intact(arrived: Any) -> bool:
        got = arrived.values() if isinstance(arrived, dict) else arrived
        return repr([type(each) for each in got]) == shape

    def sending(start: int) -> bool:
        done, _ = attempt(lambda: s.send(value), start, only)
        if done:
            assert intact(r.recv(timeout=0))
        assert r.recv_nowait("nothing") == "nothing"
        settled()
        return done

    def receiving(start: int) -> bool:
        s.send(value)
        done, arrived = attempt(r.recv, start, only)
        assert not done or intact(arrived)
        del arrived
        assert r.recv_nowait("nothing") == "nothing"
        settled()
        return done

    def held() -> tuple[list[int], int, int]:
        gc.collect()
        sys._clear_type_cache()  # it keeps names that were looked up
        return [sys.getrefcount(each) for each in parts], len(gc.get_objects()), sys.getallocatedblocks()

    def settled() -> None:
        if gauges() != before:
            gc.collect()
            eventually(lambda: gauges() == before and counters_balance(), f"back to {before}: {gauges()}")

    for _ in range(50):  # imports, caches, free lists
        s.send(value)
        assert intact(r.recv())
    kept = keep_code()
    gc.collect()
    gc.freeze()
    before = gauges()
    for step in (sending, receiving):
        failures(step)  # what failures fill: free lists, spare memory errors
        references, objects, blocks = held()
        count = failures(step)
        now = held()
        assert count > 0, f"{step.__name__}: only {count} allocations failed"
        assert now[0] == references
        grown = now[1] - objects, now[2] - blocks
        print(step.__name__, count, "failures; objects, blocks more:", *grown)
        # What every second failure kept would show.
        assert grown[0] < max(8, count // 2), grown
        # Where all allocations fail from one on, blocks are lost that no object, gauge or reference shows.
        assert not only or grown[1] < max(8, count // 2), grown
    assert kept


command({"trial": trial})
