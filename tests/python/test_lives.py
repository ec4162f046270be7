"""Everything that can end does so in every order, while objects of every kind are held in every way."""

from __future__ import annotations

import pytest

from _subprocess import FULL, run_script

#: The normal run takes every sixth of the 360 orders, and leaves single ways of holding to the full one.
PARTS = 4
STRIDE = PARTS if FULL else 24
KINDS = ["bytes", "str", "view", "buffer", "clone"]


@pytest.mark.parametrize("part", range(PARTS))
def test_every_order_of_ends(part: int) -> None:
    """Contents are intact as long as anybody holds them; afterwards all gauges are where they were."""
    done = run_script("lives", "orders", part, STRIDE, timeout=300)
    assert done.stderr == ""
    assert done.stdout.startswith(f"{360 // STRIDE} orders")


@pytest.mark.skipif(not FULL, reason="2,000 scenes: with ISTHMUS_TEST_FULL=1")
@pytest.mark.parametrize("kind", KINDS)
def test_every_order_of_closing_for_each_way_of_holding(kind: str) -> None:
    assert run_script("lives", "single", kind, timeout=900).stderr == ""


@pytest.mark.parametrize("part", range(PARTS))
def test_the_process_ends_when_some_of_it_has(part: int) -> None:
    """All 63 sets of ends that may have happened; what has not is alive, in main's hands too."""
    done = run_script("lives", "leave", part, PARTS if FULL else 2 * PARTS, timeout=300)
    assert done.stderr == ""
