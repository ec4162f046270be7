"""Limits: whatever the kernel or a setting refuses ends in copies that are counted, never in a crash."""

from __future__ import annotations

import mmap
import warnings
from pathlib import Path
from typing import Any

from common import KIB, MIB, PATIENCE, command, eventually, exercise, nothing_is_held, payload

import isthmus


class Pair:
    """An interpreter beside the current one, which keeps what it receives."""

    def __init__(self) -> None:
        self.other = isthmus.create()
        self._receive, self.send = isthmus.create_channel(None)
        self.other.run(
            "import isthmus\nkept = []\ndef kinds(): return {isthmus.describe(x)['kind'] for x in kept}",
            r=self._receive,
        )

    def deliver(self, values: list[bytes]) -> None:
        for value in values:
            self.send.send(value)
        self.other.run(f"import zlib\nkept += [r.recv(timeout={PATIENCE}) for _ in range(n)]", n=len(values))
        self.check(values)

    def check(self, values: list[bytes]) -> None:
        for value in values:
            self.send.send(value)
        self.other.run("for x in kept[-n:]: assert r.recv() == x\nx = None", n=len(values))

    def drop(self) -> None:
        self.other.run("kept.clear()")

    def kinds(self) -> set[str]:
        r, s = isthmus.create_channel(None)
        self.other.run("s.send(','.join(kinds()))", s=s)
        return set(r.recv().split(","))


def _copies_until_dropped(pair: Pair, count: int, size: int) -> None:
    """More than fits: equal copies, counted. Once all is dropped: twins again."""
    before = isthmus.stats()
    values = [payload(size, n) for n in range(count)]
    pair.deliver(values)
    full = isthmus.stats()
    assert full.fallback_copies > before.fallback_copies, full
    assert full.payload_bytes_copied >= before.payload_bytes_copied + size, full
    for number, value in enumerate(values):
        assert value == payload(size, number)
    values.clear()
    del value
    pair.drop()
    eventually(nothing_is_held, "everything given back")
    again = isthmus.stats()
    pair.deliver([payload(size, 7)])
    assert pair.kinds() == {"twin"}, pair.kinds()
    assert isthmus.stats().fallback_copies == again.fallback_copies
    pair.other.close()
    eventually(nothing_is_held, "everything given back")


def full_arena() -> None:
    _copies_until_dropped(Pair(), 120, MIB)


def mapping_cap() -> None:
    _copies_until_dropped(Pair(), 200, 70 * KIB)


def default_cap(count: str) -> None:
    _copies_until_dropped(Pair(), int(count), 64 * KIB)


def real_mapping_limit() -> None:
    """Others use up the kernel's own limit, which the runtime's cap knows nothing of."""
    pair = Pair()
    pair.deliver([payload(MIB)])
    values = [payload(70 * KIB, n) for n in range(40)]
    hogs: list[mmap.mmap] = []
    limit = int(Path("/proc/sys/vm/max_map_count").read_text())
    before = isthmus.stats()
    try:
        while len(hogs) < limit:
            # Neighbours with unlike rights are never merged into one mapping.
            right = mmap.PROT_READ if len(hogs) % 2 else mmap.PROT_READ | mmap.PROT_WRITE
            hogs.append(mmap.mmap(-1, 4096, prot=right))
    except (OSError, MemoryError):
        pass
    assert len(hogs) > limit // 2
    # Some room, as a process that lives at the limit has; too little for forty twins.
    for _ in range(20):
        hogs.pop().close()
    pair.deliver(values)
    full = isthmus.stats()
    hogs.clear()
    assert full.fallback_copies > before.fallback_copies, full
    values.clear()
    pair.drop()
    eventually(nothing_is_held, "everything given back")
    pair.deliver([payload(70 * KIB, n) for n in range(40)])
    assert pair.kinds() == {"twin"}, pair.kinds()


def windows(count: str) -> None:
    """More interpreters than windows: those without one get copies; a window that is free again is used."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pairs = [Pair() for _ in range(int(count))]
        value = payload(MIB)
        for pair in pairs:
            pair.deliver([value])
    kinds = [pair.kinds() for pair in pairs]
    assert {"twin"} in kinds, kinds
    assert {"copy"} in kinds, kinds
    assert isthmus.stats().fallback_copies > 0
    # What an interpreter without a window makes itself is copied to everybody else.
    r, s = isthmus.create_channel(None)
    lonely = pairs[kinds.index({"copy"})]
    lonely.other.run("s.send(b'y' * 1_000_000)", s=s)
    assert r.recv() == b"y" * 1_000_000
    for pair in pairs:
        pair.other.close()
    late = Pair()
    late.deliver([value])
    assert late.kinds() == {"twin"}
    assert value == payload(MIB)
    assert not caught, [str(w.message) for w in caught]


def two_windows() -> None:
    """Too few windows even for the start-up self-test: one warning, then copies."""
    _everything_copied()


def _facts() -> dict[str, Any]:
    from isthmus import _isthmus

    return _isthmus.doctor_facts()


def _everything_copied() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pair = Pair()
        more = Pair()
        isthmus.enable()
        value = payload(MIB)
        pair.deliver([value])
        more.deliver([value])
    texts = [str(w.message) for w in caught if issubclass(w.category, RuntimeWarning)]
    assert len(texts) == 1, texts
    assert "copies everything" in texts[0], texts
    assert "twin" not in pair.kinds() | more.kinds()
    stats = isthmus.stats()
    assert stats.fallback_copies >= 2, stats
    assert stats.payload_bytes_copied >= 2 * MIB, stats
    assert stats.twins_live == stats.shares_outstanding == 0, stats
    exercise()


def no_arena(reason: str) -> None:
    assert not _facts()["arena_ok"]
    assert reason in _facts()["reason"], _facts()
    _everything_copied()


def small_arena(at_most: str) -> None:
    assert _facts()["arena_ok"], _facts()
    assert _facts()["arena_capacity"] <= int(at_most), _facts()
    pair = Pair()
    pair.deliver([payload(MIB)])
    assert pair.kinds() == {"twin"}
    exercise()


command(
    {
        "full_arena": full_arena,
        "mapping_cap": mapping_cap,
        "default_cap": default_cap,
        "real_mapping_limit": real_mapping_limit,
        "windows": windows,
        "two_windows": two_windows,
        "no_arena": no_arena,
        "small_arena": small_arena,
    }
)
