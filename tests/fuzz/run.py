"""Runs one of the fuzzers: `run.py decoder|round-trip DIRECTORY [options and inputs for libFuzzer]`.

DIRECTORY keeps what was found to be interesting, for the next run. tools/fuzz.sh knows the environment.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from pathlib import Path
from typing import Any

import hostile
import palette
import recipes

import isthmus
from isthmus import _clone, _isthmus

PATIENCE = 30.0  # seconds; releases are run by another thread
ROOM = 2000  # objects that caches may hold; a leak in one run of 100 exceeds it
#: The extension is a few lines over it, which have loaded it.
(_LIBRARY,) = Path(_isthmus.__file__).parent.glob("lib/libisthmus_python*.so")
library = ctypes.PyDLL(str(_LIBRARY))
library.isthmus_fuzz_encoded.restype = ctypes.py_object
library.isthmus_fuzz_decoded.restype = ctypes.py_object


def encoded(value: object) -> bytes:
    """The data that carries `value`."""
    data: bytes = library.isthmus_fuzz_encoded(ctypes.py_object(value))
    return data


def gauges() -> tuple[int, ...]:
    """What returns to where it was once nobody holds anything."""
    taken = isthmus.stats()
    return (
        taken.twins_live,
        taken.shares_outstanding,
        taken.slots_live,
        taken.views_live,
        taken.releases_posted - taken.releases_run,
    )


class Checkpoint:
    """That nothing is left behind: objects of Python's, shares, views."""

    def __init__(self) -> None:
        gc.collect()
        self.gauges = gauges()
        self.objects = 0

    def __call__(self) -> None:
        gc.collect()
        deadline = time.monotonic() + PATIENCE
        while (now := gauges()) != self.gauges:
            if time.monotonic() > deadline:
                raise AssertionError(f"gauges: {self.gauges} became {now}")
            time.sleep(0.001)
        objects = len(gc.get_objects())
        self.objects = self.objects or objects
        if objects > self.objects + ROOM:
            raise AssertionError(f"{objects - self.objects} objects more than at first")


def try_hostile(props: list[Any]) -> None:
    """Each input of hostile.py, twice a hundred times: references would add up."""

    def outcome(data: bytes) -> object:
        try:
            return library.isthmus_fuzz_decoded(ctypes.py_object(b"\0" + data), ctypes.py_object(props))
        except BaseException as raised:
            return raised.with_traceback(None)

    inputs: dict[str, bytes] = dict(hostile.REFUSED)
    for name, data in inputs.items():
        result = outcome(data)
        assert isinstance(result, SystemError), f"{name}: {result!r}"
    for name, (kind, data) in hostile.RAISES.items():
        result = outcome(data)
        assert type(result) is kind, f"{name}: {result!r}"
    for name, (fits, data) in hostile.GIVES.items():
        assert fits(outcome(data)), name
    inputs |= {name: data for name, (_, data) in (hostile.RAISES | hostile.GIVES).items()}
    for name, data in inputs.items():
        outcome(data)
        gc.collect()
        before = len(gc.get_objects())
        for _ in range(100):
            outcome(data)
        gc.collect()
        assert len(gc.get_objects()) < before + 50, f"{name}: leaves something behind"
    print(f"isthmus: {len(inputs)} inputs made by hand come to what they should")


def typical(props: list[Any]) -> list[Any]:
    """Values whose encoding leads the fuzzer to every tag."""
    circle: list[Any] = []
    circle.append((circle, {"again": circle}))
    plain = palette.Plain()
    plain.__dict__.update(a=1, b=[plain])
    items = palette.Items()
    items.extend(["x", items])
    slotted = palette.Slotted()
    slotted.a = {slotted: 1.5}
    stateful = palette.Stateful()
    stateful.state = (1, {"k": "v"})
    meddler = palette.Meddler()
    meddler.target = {1: 2}
    mapping = palette.Mapping()
    mapping["key"] = mapping
    return [
        [None, True, False, ..., NotImplemented, 1, 1000, 2**40, -(2**70), 1.5, 1j],
        [b"octets", "ascii", "caf\xe9", "\u20ac", "\U0001f600", bytearray(b"x")],
        [(1, (2,)), {3}, frozenset({4}), {5: 6}, range(3), slice(1, 2)],
        circle,
        plain,
        items,
        slotted,
        stateful,
        meddler,
        mapping,
        [palette.Plain, int, palette.Pair, palette.Pair(1, 2), ValueError("x", [1])],
    ]


def write_seeds(directory: Path, props: list[Any]) -> None:
    """Seeds and a dictionary of what typical values consist of."""
    seeds = directory / "seeds"
    seeds.mkdir(exist_ok=True)
    inputs = [b"\0" + encoded(value) for value in typical(props)]
    inputs += [b"\0" + data for data in hostile.REFUSED.values()]
    inputs += [b"\0" + data for _, data in (hostile.RAISES | hostile.GIVES).values()]
    every = b"".join([hostile.tag("twin")] * 2 + [hostile.tag("attachment", remember=True)] * 4)
    inputs.append(b"\xff" + hostile.tag("list", 6) + every)
    for at, data in enumerate(inputs):
        (seeds / f"{at:03}").write_bytes(data)
    words = [hostile.known_as(name) for name in palette.named]
    words += [hostile.tag("reduced", parts) for parts in (0, 1, 2, 4, 16, 24, 31)]
    words += [hostile.tag("again", number) for number in range(4)]
    escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in words)
    (directory / "dictionary").write_text("".join(f'"{word}"\n' for word in escaped))


def main() -> None:
    which, directory = sys.argv[1], Path(sys.argv[2])
    directory.mkdir(parents=True, exist_ok=True)
    sending, receiving = isthmus.create_channel()
    # Two payloads above the threshold, and what crosses as an attachment.
    props = [
        bytes(100_000),
        "x" * 100_000,
        sending,
        receiving,
        isthmus.create_queue(),
        memoryview(bytearray(9)),
    ]
    options = ["fuzz", str(directory / "found")]
    (directory / "found").mkdir(exist_ok=True)
    build = same = None
    if which == "decoder":
        write_seeds(directory, props)
        _clone.find = palette.find
        try_hostile(props)
        options += [str(directory / "seeds"), f"-dict={directory / 'dictionary'}"]
    else:
        build, same = recipes.build, recipes.same
        assert not same([1, [2]], [1, [3]])
        shared: list[Any] = []
        assert not same([shared, shared], [[], []])
    if any(not each.startswith("-") for each in sys.argv[3:]):
        options = ["fuzz"]  # these only
    objects = (options + sys.argv[3:], props, build, same, Checkpoint())
    library.isthmus_fuzz(*(ctypes.py_object(each) for each in objects))


main()
