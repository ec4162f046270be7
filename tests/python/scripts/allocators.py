"""Allocators around the hook: tracemalloc in every order, PYTHONMALLOC, gc.freeze; closed descriptors."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import subprocess
import sys
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path

import isthmus

MIB = 1024 * 1024


def _work(own: int = 0, other: isthmus.Interpreter | None = None) -> None:
    """Everything crosses as a twin and is given back, but for the caller's `own` objects."""
    from common import eventually, exercise, exercise_with, nothing_is_held

    before = isthmus.stats()
    if other is None:
        exercise()
    else:
        exercise_with(other)
    eventually(lambda: nothing_is_held(own), "everything given back")
    assert isthmus.stats().fallback_copies == before.fallback_copies
    assert isthmus.stats().twins_made > before.twins_made


# CPython's tracemalloc keeps file names that belong to the interpreter that was traced. If that ends before
# tracing does, they are freed a second time, with or without isthmus. So tracing ends first here.


def plain() -> None:
    _work()


def tracing_before_import(frames: str) -> None:
    """Done by hand: this script itself has imported isthmus already."""
    program = f"""
import sys, tracemalloc, warnings
tracemalloc.start({frames})
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import isthmus
assert [w.category for w in caught] == [RuntimeWarning], caught
assert "tracemalloc" in str(caught[0].message)
assert tracemalloc.is_tracing() and tracemalloc.get_traceback_limit() == {frames}
sys.path.insert(0, {str(Path(__file__).parent)!r})
import allocators
allocators.traced()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def traced() -> None:
    """Tracing from the start until now; then without."""
    assert tracemalloc.is_tracing()
    isthmus.enable()
    kept = b"k" * MIB
    assert isthmus.describe(kept)["kind"] == "original"
    assert tracemalloc.get_traced_memory()[0] >= MIB
    other = isthmus.create()
    _work(1, other)
    tracemalloc.stop()
    _work(1, other)
    assert kept == b"k" * MIB
    other.close()
    _work(1)


def tracing_before_create() -> None:
    tracemalloc.start()
    traced()


def tracing_after() -> None:
    """Started and stopped while objects of both times live in slots, in this interpreter and the other."""
    other = isthmus.create()
    r, s = isthmus.create_channel(None)
    other.run("kept = []", r=r)
    kept = []
    for step in range(6):
        (tracemalloc.start if step % 2 == 0 else tracemalloc.stop)()
        kept.append(bytes([97 + step]) * MIB)
        s.send(kept[-1])
        other.run("kept.append(r.recv()); mine = b'm' * 1_000_000")
        grown = "a" * 60_000
        for _ in range(5):
            grown += "b" * 60_000
        assert len(grown) == 360_000
    other.run("assert [x[0] for x in kept] == [97, 98, 99, 100, 101, 102]; assert set(kept[5]) == {102}")
    tracemalloc.start()
    del kept[::2]
    other.run("del kept[1::2]")
    tracemalloc.stop()
    assert [x[0] for x in kept] == [98, 100, 102]
    kept.clear()
    other.run("kept.clear(); mine = None")
    del grown
    _work(0, other)


def stopped_while_slots_live() -> None:
    isthmus.enable()
    before = [b"b" * MIB for _ in range(4)]
    tracemalloc.start(3)
    during = [b"d" * MIB for _ in range(4)]
    del before[:2]
    tracemalloc.stop()
    after = [b"a" * MIB for _ in range(4)]
    del during[:2], after[:2]
    assert (set(b"".join(before)), set(b"".join(during)), set(b"".join(after))) == ({98}, {100}, {97})
    del before, during, after
    assert isthmus.stats().slots_live == 0
    _work()


def imported_first_elsewhere(tracing: str) -> None:
    """The runtime starts in an isolated interpreter, which can't load the module that knows of tracing."""
    program = f"""
import sys, tracemalloc, _interpreters
if {int(tracing)}: tracemalloc.start()
other = _interpreters.create()
source = "import isthmus; isthmus.enable(); x = b'x' * 10**6"
error = _interpreters.exec(other, "import sys; sys.path[:] = {sys.path!r}; " + source)
assert error is None, error
sys.path.insert(0, {str(Path(__file__).parent)!r})
import allocators
if {int(tracing)}: allocators.traced_with(other)
else: allocators._work(1)
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def traced_with(number: int) -> None:
    other = isthmus.Interpreter(number)
    _work(0, other)  # which replaces its `x`
    tracemalloc.stop()
    _work(0, other)
    other.close()
    _work()


def frozen() -> None:
    other = isthmus.create()
    r, s = isthmus.create_channel(None)
    value = b"v" * MIB
    other.run("import gc; gc.freeze()", r=r)
    gc.freeze()
    holder = [value]
    holder.append(holder)  # type: ignore[arg-type]
    s.send(value)
    other.run("l = [r.recv()]; l.append(l); gc.freeze(); assert set(l[0]) == {118}; del l")
    other.run("gc.unfreeze(); gc.collect()")
    del holder, value
    gc.unfreeze()
    gc.collect()
    _work()


def under_faulthandler() -> None:
    """Stacks are printed, by signals while objects cross and by a timer while both interpreters wait.

    Not by a timer while they run: CPython then reads frames that are just going away, and crashes, with or
    without isthmus.
    """
    from common import disarm_watchdog, joined, run_in_thread

    disarm_watchdog()  # there is one timer
    with tempfile.TemporaryFile() as report:
        faulthandler.register(signal.SIGUSR2, file=report, all_threads=True)
        for _ in range(3):
            signal.raise_signal(signal.SIGUSR2)
            _work()
        faulthandler.unregister(signal.SIGUSR2)
        report.seek(0)
        assert report.read().count(b"under_faulthandler") == 3
    r, s = isthmus.create_channel()
    reading, writing = os.pipe()
    with isthmus.create() as other, open(reading, "rb"), open(writing, "wb") as report:
        # Until the outermost frame of the main thread, which comes last.
        source = (
            "import os\ntext = b''\nwhile b'<module>' not in text: text += os.read(fd, 4096)\ns.send(text)"
        )
        thread = run_in_thread(other, source, {"fd": reading, "s": s})
        faulthandler.dump_traceback_later(0.5, file=report)
        assert b"under_faulthandler" in r.recv()
        joined(thread)
        faulthandler.cancel_dump_traceback_later()
    r.close()
    s.close()
    _work()


def aside() -> None:
    """Where there can be no shared memory, everything arrives as a copy, and one warning says so."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with isthmus.create() as other:
            r, s = isthmus.create_channel(None)
            for value in (b"x" * 100_000, "é" * 100_000, [b"y" * 100_000]):
                s.send(value)
                s.send(memoryview(b"view" * 20_000))
                other.run("x = r.recv(); v = r.recv(); s.send((x, bytes(v))); del v", r=r, s=s)
                assert r.recv() == (value, b"view" * 20_000)
        isthmus.enable()
    assert [w.category for w in caught] == [RuntimeWarning], [str(w.message) for w in caught]
    assert "copies everything" in str(caught[0].message)
    assert isthmus.stats().fallback_copies >= 3
    assert isthmus.stats().twins_made == 0


def closed_descriptors() -> None:
    """Nothing of the arena has a number: what gets the freed ones stays as it was written."""
    isthmus.enable()
    early = b"e" * MIB
    with isthmus.create() as other:
        other.run("mine = b'm' * 1_000_000")
    os.closerange(3, 65536)
    folder = Path(tempfile.mkdtemp())
    text = b"mine, not the arena's\n" * 5000
    files = [folder / f"{n}" for n in range(60)]
    opened = []
    for path in files:
        path.write_bytes(text)
        opened.append(os.open(path, os.O_RDWR))
    assert opened == list(range(opened[0], opened[0] + 60)), "the freed numbers are used again"
    _work(2)
    _work(2)
    assert set(early) == {101}
    for number in opened:
        assert os.pread(number, len(text) + 1, 0) == text
        os.close(number)
    for path in files:
        assert path.read_bytes() == text
        path.unlink()
    folder.rmdir()


if __name__ == "__main__":
    cases: list[Callable[..., None]] = [
        plain, tracing_before_import, traced, tracing_before_create, tracing_after, stopped_while_slots_live,
        imported_first_elsewhere, frozen, closed_descriptors, under_faulthandler, aside,
    ]  # fmt: skip
    {case.__name__: case for case in cases}[sys.argv[1]](*sys.argv[2:])
