"""Allocators of others around the hook: tracemalloc in every order, PYTHONMALLOC, gc.freeze, closed descriptors."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import tracemalloc
import warnings
from pathlib import Path

MIB = 1024 * 1024


def _work(twins: bool = True) -> None:
    from common import eventually, exercise, nothing_is_held

    import isthmus

    copied = isthmus.stats().fallback_copies
    exercise()
    eventually(nothing_is_held, "everything given back")
    if twins:
        assert isthmus.stats().fallback_copies == copied
        assert isthmus.stats().twins_made > 0


def plain() -> None:
    _work()


def tracing_before_import(frames: str) -> None:
    tracemalloc.start(int(frames))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        import isthmus
    assert [w.category for w in caught] == [RuntimeWarning], caught
    assert "tracemalloc" in str(caught[0].message)
    assert tracemalloc.is_tracing()
    assert tracemalloc.get_traceback_limit() == int(frames)
    isthmus.enable()
    kept = b"k" * MIB
    assert isthmus.describe(kept)["kind"] == "original"
    assert tracemalloc.get_traced_memory()[0] >= MIB
    _work()
    tracemalloc.stop()
    _work()
    assert kept == b"k" * MIB


def tracing_from_the_command_line() -> None:
    assert tracemalloc.is_tracing()
    _work()
    tracemalloc.stop()
    _work()


def tracing_between() -> None:
    """Started after the import, before the first create()."""
    import isthmus

    tracemalloc.start()
    _work()
    tracemalloc.stop()
    _work()
    assert isthmus.stats().slots_live == 0


def tracing_after() -> None:
    """Started and stopped while objects of both times live in slots, in this interpreter and the other."""
    import isthmus

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
    _work()


def stopped_while_slots_live() -> None:
    import isthmus

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


def traced_in_the_other() -> None:
    """tracemalloc is one for the whole process: the other interpreter may start and stop it."""
    import isthmus

    other = isthmus.create()
    kept = b"k" * MIB
    other.run("import tracemalloc; tracemalloc.start(); mine = b'm' * 1_000_000")
    more = b"n" * MIB
    other.run("tracemalloc.stop(); assert set(mine) == {109}")
    assert (set(kept), set(more)) == ({107}, {110})
    del kept, more
    other.close()
    _work()


def frozen() -> None:
    import isthmus

    other = isthmus.create()
    r, s = isthmus.create_channel(None)
    value = b"v" * MIB
    other.run("import gc; gc.freeze()", r=r)
    gc.freeze()
    holder = [value]
    holder.append(holder)  # type: ignore[arg-type]
    s.send(value)
    other.run("l = [r.recv()]; l.append(l); gc.freeze(); assert set(l[0]) == {118}; del l; gc.unfreeze(); gc.collect()")
    del holder, value
    gc.unfreeze()
    gc.collect()
    _work()


def closed_descriptors() -> None:
    """Nothing of the arena has a number: what gets the freed ones stays as it was written."""
    import isthmus

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
    _work()
    _work()
    assert set(early) == {101}
    for number in opened:
        assert os.pread(number, len(text) + 1, 0) == text
        os.close(number)
    for path in files:
        assert path.read_bytes() == text
        path.unlink()
    folder.rmdir()


table = {
    "plain": plain,
    "tracing_before_import": tracing_before_import,
    "tracing_from_the_command_line": tracing_from_the_command_line,
    "tracing_between": tracing_between,
    "tracing_after": tracing_after,
    "stopped_while_slots_live": stopped_while_slots_live,
    "traced_in_the_other": traced_in_the_other,
    "frozen": frozen,
    "closed_descriptors": closed_descriptors,
}
table[sys.argv[1]](*sys.argv[2:])
