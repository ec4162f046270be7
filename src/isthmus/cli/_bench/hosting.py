"""Rows about C++ hosts: bench/host measures, in a program that embeds Python; this makes rows of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from isthmus.cli._bench.measure import Contender, Settings
from isthmus.cli._bench.rows import Row, WithinPeer

__all__ = ["GROUPS", "host"]

BARE, CHANNEL = "bare C API", "channel round trip"
#: Many short rounds instead of a few long ones: what takes nanoseconds has to be beside its peer.
SHORTER = 15


def _program() -> tuple[Path | None, str]:
    """The program that measures, or the reason why it is missing."""
    folder = os.environ.get("ISTHMUS_BENCH_DIR")
    if not folder:
        return None, "ISTHMUS_BENCH_DIR is not set to the folder with host_bench (make bench does so)"
    program = Path(folder, "host_bench")
    if not os.access(program, os.X_OK):
        return None, f"no program {program}: make bench builds it, for a Python with a library to embed"
    return program, ""


def _measured(program: Path, settings: Settings, *what: str, shorter: int = 1) -> list[Contender]:
    """The contenders of one measurement, isthmus first; samples are nanoseconds."""
    rounds = settings.rounds if settings.quick else settings.rounds * shorter
    seconds = settings.batch_seconds / shorter
    done = subprocess.run(
        [program, sys.executable, str(rounds), str(seconds), *what], stdout=subprocess.PIPE, check=True
    )
    contenders = []
    for name, samples in json.loads(done.stdout):
        contenders.append(Contender(name, lambda _: (), samples=samples))
    return contenders


def host(settings: Settings) -> list[Row]:
    """Calls, posted calls and memory handed over, from C++."""
    program, why = _program()
    if program is None:
        print(f"isthmus bench: host: not measured, {why}", file=sys.stderr)
        return []
    rows = [
        Row.of(
            name,
            what,
            "ns",
            _measured(program, settings, measurement, shorter=SHORTER),
            goals=[WithinPeer(BARE, 1.2)],
        )
        for name, what, measurement in (
            ("C++ call with an int", "function::call_as of `def f(x): return x`, inside entered", "call"),
            ("C++ call", "function::call_as of `def f(): return 0`, inside entered", "call-none"),
        )
    ]
    rows.append(
        Row.of(
            "C++ post and result",
            "interpreter::post(f, 1).result(), both sides awake",
            "µs",
            _measured(program, settings, "post", shorter=SHORTER),
            scale=1e3,
            goals=[WithinPeer(CHANNEL, 2.0)],
        )
    )
    large = 2**20 if settings.quick else 2**28
    rows += [
        Row.of(
            f"C++ bytes there and back, {size // 1024:,} KiB",
            "isthmus::bytes to an interpreter over a channel and back over another one",
            "µs",
            _measured(program, settings, "handover", str(size)),
            scale=1e3,
        )
        for size in (2**16, large)
    ]
    return rows


GROUPS: dict[str, Callable[[Settings], Sequence[Row]]] = {"host": host}
