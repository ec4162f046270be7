"""`stats()`: a frozen snapshot whose counters balance and whose gauges come back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import isthmus
from _sample_types import Buffered
from conftest import LARGE, run_script, until

Create = Callable[..., isthmus.Interpreter]


GAUGES_AND_COUNTERS = (
    "payload_bytes_copied", "fallback_copies", "twins_live", "twins_made", "shares_outstanding", "slots_live",
    "bytes_resident", "releases_posted", "releases_run",
)  # fmt: skip


def test_it_is_a_frozen_snapshot() -> None:
    taken = isthmus.stats()
    assert isinstance(taken, isthmus.Statistics)
    frozen: Any = taken
    with pytest.raises(AttributeError):
        frozen.twins_live = 5
    with pytest.raises(AttributeError):
        del frozen.twins_live
    changed: Any = taken.inbox_depths
    with pytest.raises(TypeError):
        changed[0] = 1
    assert all(type(getattr(taken, name)) is int for name in GAUGES_AND_COUNTERS)
    assert all(f"{name}={getattr(taken, name)}" in repr(taken) for name in GAUGES_AND_COUNTERS)
    live = taken.slots_live
    kept = b"x" * LARGE
    assert taken.slots_live == live
    assert isthmus.stats().slots_live == live + 1
    assert len(kept) == LARGE


def test_gauges_follow_what_is_held(new_interp: Create) -> None:
    start = isthmus.stats()
    payload = b"x" * LARGE
    assert isthmus.stats().slots_live == start.slots_live + 1
    interps = [new_interp() for _ in range(3)]
    for number, each in enumerate(interps, 1):
        each.run("kept = [x, x]", x=payload)
        now = isthmus.stats()
        assert (now.twins_live, now.shares_outstanding, now.slots_live) == (
            start.twins_live + number,
            start.shares_outstanding + number,
            start.slots_live + 1,
        )
    interps[0].close()
    assert isthmus.stats().twins_live == start.twins_live + 2
    for each in interps[1:]:
        each.run("del kept, x")
    assert until(lambda: isthmus.stats().shares_outstanding == start.shares_outstanding)
    assert isthmus.stats().twins_live == start.twins_live
    assert isthmus.describe(payload)["shares"] == 0
    del payload
    assert isthmus.stats().slots_live == start.slots_live


def test_messages_under_way_are_shares() -> None:
    start = isthmus.stats().shares_outstanding
    payload = b"x" * LARGE
    r, s = isthmus.create_channel(None)
    for number in range(1, 6):
        s.send(payload)
        assert isthmus.stats().shares_outstanding == start + number
    r.recv()
    assert isthmus.stats().shares_outstanding == start + 4
    del r, s
    assert isthmus.stats().shares_outstanding == start


def test_counters_only_grow_and_balance(interp: isthmus.Interpreter) -> None:
    counters = ("payload_bytes_copied", "fallback_copies", "twins_made", "releases_posted", "releases_run")
    last = isthmus.stats()
    for _ in range(20):
        interp.run("del x", x=b"x" * LARGE)
        now = isthmus.stats()
        assert all(getattr(now, name) >= getattr(last, name) for name in counters)
        last = now
    assert until(lambda: isthmus.stats().releases_posted == isthmus.stats().releases_run)


def test_inboxes_are_listed_by_interpreter(interp: isthmus.Interpreter) -> None:
    depths = isthmus.stats().inbox_depths
    assert {0, interp.id} <= set(depths)
    assert depths[0] == 0  # taking the snapshot runs what waits here


def test_a_waiting_release_shows_and_is_run(interp: isthmus.Interpreter) -> None:
    payloads = [b"x" * LARGE for _ in range(10)]
    posted = isthmus.stats().releases_posted
    interp.prepare_main(kept=tuple(payloads))
    interp.run("del kept")
    now = isthmus.stats()
    assert now.releases_posted == posted + 10
    assert now.releases_run == now.releases_posted
    assert [isthmus.describe(each)["shares"] for each in payloads] == [0] * 10


def test_copied_bytes_are_counted_only_for_large_payloads(interp: isthmus.Interpreter) -> None:
    before = isthmus.stats().payload_bytes_copied
    interp.run("pass", a=b"x" * 60_000, b="y" * 60_000, c=list(range(1000)), d=b"z" * LARGE)
    assert isthmus.stats().payload_bytes_copied == before
    interp.run("assert bytes(a.data) == bytes(100_000)", a=Buffered(bytearray(LARGE)))
    assert isthmus.stats().payload_bytes_copied == before


def test_without_shared_memory_everything_is_copied_and_counted() -> None:
    run_script(
        """
        import isthmus
        isthmus.enable()
        interp = isthmus.create()
        interp.run("assert x == b'x' * 200_000", x=b"x" * 200_000)
        interp.run("import isthmus; assert isthmus.owner(x) is None")
        taken = isthmus.stats()
        assert taken.twins_made == 0 and taken.fallback_copies >= 1, taken
        assert taken.payload_bytes_copied >= 200_000, taken
        """,
        env={"ISTHMUS_MAPPING_CAP": "1", "PYTHONWARNINGS": "ignore"},
    )


def test_the_budget_bounds_what_stays_resident() -> None:
    run_script(
        """
        import isthmus
        isthmus.enable()
        interp = isthmus.create()
        for _ in range(20):
            interp.run("assert len(x) == 8_000_000; del x", x=bytes(8_000_000))
        held = [bytes(8_000_000) for _ in range(20)]
        assert isthmus.stats().bytes_resident >= 160_000_000
        del held
        assert isthmus.stats().bytes_resident <= 32 << 20, isthmus.stats()
        """,
        env={"ISTHMUS_BUDGET": "32M"},
    )


def test_the_threshold_can_be_chosen() -> None:
    run_script(
        """
        import isthmus
        isthmus.enable()
        interp = isthmus.create()
        small, large = b"x" * 9_000, b"x" * 11_000
        assert isthmus.describe(small)["slot"] is None
        assert isthmus.describe(large)["slot"] is not None
        interp.run("import isthmus; assert isthmus.owner(x) is isthmus.get_main()", x=large)
        """,
        env={"ISTHMUS_THRESHOLD": "10000"},
    )
