"""References counted where they may be, and one counted where it may not be, which must end the process."""

from __future__ import annotations

import sys
from typing import Any

from common import KIB, command, payload

import isthmus
from isthmus import _isthmus

#: Only debug builds have it: counts a reference of what lies at an address and drops it again.
_touch: Any = getattr(_isthmus, "_touch_reference", None)

TOUCH = "from isthmus import _isthmus; _isthmus._touch_reference(address, True)"


def allowed() -> None:
    """Originals, twins, what came home, what lies outside the arena."""
    isthmus.enable()
    data, text = payload(256 * KIB), "t" * 256 * KIB
    numbers = tuple(range(64 * KIB))  # the collector's header lies before the object
    assert isthmus.describe(data)["slot"] is not None
    for mine in (data, text, numbers, b"small", None, sys):
        _touch(id(mine), True)
    r, s = isthmus.create_channel(None)
    back_r, back_s = isthmus.create_channel(None)
    with isthmus.create() as other:
        s.send(data)
        made = isthmus.stats().twins_made
        other.run(f"x = r.recv(); address = id(x); {TOUCH}; s.send(x)", r=r, s=back_s)
        assert isthmus.stats().twins_made == made + 1
        home = back_r.recv()
        assert home is data
        other.run("s.send(b'o' * (256 << 10))", s=back_s)
        orphan = back_r.recv()
        _touch(id(orphan), True)
    _touch(id(home), True)
    _touch(id(orphan), True)
    print("counted")


def foreign() -> None:
    """An object of the main interpreter, counted in another one."""
    isthmus.enable()
    mine = payload(256 * KIB)
    with isthmus.create() as other:
        print(f"{id(mine):#x}", flush=True)
        other.run(TOUCH, address=id(mine))


def gone_twin() -> None:
    """The place of a twin that is no more, while its original is."""
    isthmus.enable()
    mine = payload(256 * KIB)
    r, s = isthmus.create_channel(None)
    with isthmus.create() as other:
        s.send(mine)
        other.run("x = r.recv(); address = id(x); del x; print(f'{address:#x}', flush=True)", r=r)
        other.run(TOUCH)


def freed() -> None:
    """The place of an object that is no more."""
    isthmus.enable()
    mine = payload(256 * KIB)
    address = id(mine)
    del mine
    print(f"{address:#x}", flush=True)
    _touch(address, True)


def detached() -> None:
    """A thread that gave its thread state up."""
    mine = object()
    print(f"{id(mine):#x}", flush=True)
    _touch(id(mine), False)


command({each.__name__: each for each in (allowed, foreign, gone_twin, freed, detached)})
