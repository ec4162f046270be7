"""Makes every `operator new` of a scenario fail once, and sees that nothing is lost.

`tests/allocations` is preloaded and makes them fail. What CPython allocates stays as it is: no_memory.py.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

from common import counters_balance, eventually, nothing_is_held, payload

import isthmus

sys.path.insert(0, __file__.rpartition("/scripts/")[0])
from _accounts import gauges

#: Yields what is to be run with failing allocations. Given an interpreter to do it with.
type Group = Callable[[isthmus.Interpreter], Iterator[Callable[[], None]]]

NEW = ctypes.PyDLL(None)
NEW.failing_new_arm.argtypes = [ctypes.c_uint64, ctypes.c_int]
NEW.failing_new_arm.restype = None
NEW.failing_new_pause.restype = ctypes.c_uint64
NEW.failing_new_resume.argtypes = [ctypes.c_uint64]
NEW.failing_new_resume.restype = None
NEW.failing_new_blocks.restype = ctypes.c_int64

MOST = 3000  # allocations: no scenario has so many
QUIET = 5  # where other threads take part, so many rounds in a row must pass before none is left to fail
OLD = payload(100_000, 3)  # from before placement: copied into a slot when it is sent


def state() -> dict[str, Any]:
    """What must be the same after something failed as before it."""
    taken = isthmus.stats()
    return {
        **gauges(),
        "calls": taken.pending_calls_posted - taken.pending_calls_run,
        "channels": sorted(each.id for each, _ in isthmus.list_all_channels()),
    }


def settled(start: dict[str, Any], blocks: int, what: str) -> None:
    def is_so() -> bool:
        return state() == start and NEW.failing_new_blocks() <= blocks and counters_balance()

    if is_so():
        return
    gc.collect()
    try:
        eventually(is_so, what)
    except AssertionError:
        now = state()
        differ = {name: (start[name], now[name]) for name in start if start[name] != now[name]}
        grown = NEW.failing_new_blocks() - blocks
        told = f"{what}: before, after: {differ}, {grown} blocks more; {isthmus.stats()}"
        raise AssertionError(told) from None


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """What is allocated in here neither fails nor counts."""
    left = NEW.failing_new_pause()
    try:
        yield
    finally:
        NEW.failing_new_resume(left)


def says_memory(error: BaseException) -> bool:
    """Whether the answer is a MemoryError, or stands for one of another interpreter."""
    if isinstance(error, isthmus.ExecutionFailed):
        return error.excinfo.type.__name__ == "MemoryError"
    return isinstance(error, MemoryError) or "could not be described" in str(error)


def exhaust(scenario: Callable[[], None], *, threads: bool = False) -> int:
    """Run `scenario` with its first allocation failing, its second, and so on until none is left to fail.

    Each time it ends as it likes, by itself or with a MemoryError; then everything is as before, and the
    same again, undisturbed, must not raise. `threads`: allocations of other threads fail too.
    """
    eventually(lambda: nothing_is_held() and isthmus.stats().views_live == 0, "the one before is over")
    start = state()
    for _ in range(3):  # imports, caches
        scenario()
        settled(start, MOST, f"{scenario.__name__}: undisturbed")
    failed = quiet = 0
    for nth in range(1, MOST):
        gc.collect()
        blocks = NEW.failing_new_blocks()
        NEW.failing_new_arm(nth, threads)
        error: BaseException | None = None
        try:
            scenario()
        except Exception as raised:
            error = raised
        if not NEW.failing_new_disarm():
            assert error is None, f"{scenario.__name__}: {error!r}"
            quiet += 1
            if quiet > (QUIET if threads else 0):
                return failed
            continue
        failed += 1
        quiet = 0
        if error is not None and not says_memory(error):
            raise AssertionError(f"{scenario.__name__}, allocation {nth}") from error
        del error
        settled(start, MOST, f"{scenario.__name__}: after allocation {nth} failed")
        scenario()
        # Only now: what is kept for the next time may be missing, or be there, after a failure.
        settled(start, blocks, f"{scenario.__name__}: after recovering from allocation {nth}")
    raise AssertionError(f"{scenario.__name__}: more than {MOST} allocations")


def fill_tables(other: isthmus.Interpreter) -> None:
    """The tables of the BytesIO guard keep what they have grown to; each is met by addresses of chance."""
    r, s = isthmus.create_channel(None)
    other.run("s.send(b'x' * 100_000); del s", s=s)
    twin = r.recv()
    assert len([io.BytesIO(twin) for _ in range(20_000)]) > 0


def by_code(first: int, second: int = 7) -> int:
    return first + second


by_code.__module__, by_code.__qualname__ = "__main__", "<lambda>"  # nowhere to be found by name


def trial(group: Group, *, threads: bool) -> None:
    """Exhausts what `group` yields, one after another."""
    other = isthmus.create()
    fill_tables(other)
    counts = []
    for scenario in group(other):
        found = exhaust(scenario, threads=threads)
        print(f"{scenario.__name__}: {found} allocations failed")
        counts.append(found)
    assert any(counts), counts
    other.close()
