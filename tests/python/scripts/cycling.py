"""Create, use and close an interpreter many times: `cycling.py KIND COUNT` prints what that left behind.

CPython itself leaks with every interpreter, and more for every module that it imported. So each kind of cycle
with isthmus has a bare one to compare it with, which makes the same objects without it.
"""

from __future__ import annotations

import _interpreters
import gc
import json
import os
import sys
from pathlib import Path

WARM_UP = 50


def bare(source: str = "") -> None:
    number = _interpreters.create("isolated")
    failed = _interpreters.exec(number, f"import sys; sys.path[:] = {sys.path!r}\n{source}")
    assert failed is None, failed
    _interpreters.destroy(number)


def bare_import() -> None:
    bare("import isthmus\nx = b'x' * 300_000; t = 't' * 100_000")


def created() -> None:
    import isthmus

    isthmus.create().close()


def used() -> None:
    import isthmus

    with isthmus.create() as other:
        r, s = isthmus.create_channel(None)
        back_r, back_s = isthmus.create_channel(None)
        value = b"v" * 300_000
        s.send(value)
        s.send("t" * 100_000)
        other.run(
            "import isthmus\nx = r.recv(); s.send(x); t = r.recv()\n"
            "s.send(b'x' * 300_000); s.send(b'undelivered' * 10_000)",
            r=r,
            s=back_s,
        )
        assert back_r.recv() is value
        assert len(back_r.recv()) == 300_000


def measure() -> dict[str, int]:
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "rss_kib": int(status["VmRSS"].split()[0]),
        "threads": int(status["Threads"]),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "mappings": Path("/proc/self/maps").read_text().count("\n"),
    }


def main(how: str, count: int) -> None:
    cycle = {"bare": bare, "bare_import": bare_import, "created": created, "used": used}[how]
    for _ in range(WARM_UP):
        cycle()
    before = measure()
    for _ in range(count):
        cycle()
    after = measure()
    print(json.dumps({key: after[key] - before[key] for key in before}))
    if how in ("created", "used"):
        from common import eventually, nothing_is_held

        eventually(nothing_is_held, "everything given back")


main(sys.argv[1], int(sys.argv[2]))
