"""What an owner sent comes back when receivers drop it, whatever it does: `releasing.py KIND STATE`."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from collections.abc import Callable

from common import PATIENCE, counters_balance, eventually, joined, run_in_thread

import isthmus

COUNT = 1000
SIZE = 70_000
BOUND = 10.0  # seconds; some milliseconds on an idle machine

#: What the owner does meanwhile; `m` is memory that main sets to 1 to let it go on, `f` a pipe it writes to.
STATES = {
    "idle": None,
    "busy": "while m[0] == 0: pass",
    "busy_in_c": "import hashlib\nwhile m[0] == 0: hashlib.sha256(b'x' * 2_000_000)",
    "blocked_in_c": "os.read(f, 1)",
    "blocked_in_lock": (
        "lock = threading.Lock(); lock.acquire()\n"
        "threading.Thread(target=lambda: (os.read(f, 1), lock.release())).start()\nlock.acquire()"
    ),
    "blocked_in_recv": "never.recv()",
    "blocked_in_send": "full.send(1)",
}


#: How it sends them, and the gauge of those that are out.
KINDS = {
    "bytes": ("s.send(b'x' * size)", lambda: isthmus.stats().slots_live),
    "views": (
        "data.append(bytearray(10)); s.send_buffer(data[-1])",
        lambda: isthmus.stats().views_live,
    ),
}


def main(kind: str, state: str) -> None:
    sends, out = KINDS[kind]
    owner = isthmus.create()
    r, s = isthmus.create_channel(None)
    never_r, never_s = isthmus.create_channel()
    full_r, full_s = isthmus.create_channel()
    ready_r, ready_s = isthmus.create_channel(None)
    pipe_r, pipe_w = os.pipe()
    with tempfile.TemporaryFile() as file:
        file.truncate(mmap.PAGESIZE)
        flag = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        owner.run(
            "import mmap, os, threading\n"
            "m = mmap.mmap(file, mmap.PAGESIZE)\n"
            f"data = []\nfor n in range(count): {sends}",
            s=s,
            file=file.fileno(),
            f=pipe_r,
            count=COUNT,
            size=SIZE,
        )
    received = [r.recv() for _ in range(COUNT)]
    assert out() >= COUNT
    thread = None
    if (source := STATES[state]) is not None:
        thread = run_in_thread(
            owner, f"ready.send(1)\n{source}", {"ready": ready_s, "never": never_r, "full": full_s}
        )
        ready_r.recv(timeout=PATIENCE)
    entered_by_us = isthmus.stats().releases_run
    received.clear()
    seconds = eventually(
        lambda: out() == 0 and counters_balance(),
        f"{COUNT} {kind} released by an owner that is {state}",
        BOUND,
    )
    stats = isthmus.stats()
    assert stats.twins_live == stats.shares_outstanding == 0, stats
    assert stats.releases_posted == stats.releases_run >= entered_by_us, stats
    print(f"{kind}, {state}: {seconds * 1000:.0f} ms")
    flag[0] = 1
    os.write(pipe_w, b"1")
    let_go: dict[str, Callable[[], object]] = {
        "blocked_in_recv": lambda: never_s.send(1),
        "blocked_in_send": full_r.recv,
    }
    if state in let_go:
        let_go[state]()
    if thread is not None:
        joined(thread)
    owner.run("for each in data: each.append(1)")  # a BufferError if one were stuck
    owner.close()


main(*sys.argv[1:])
