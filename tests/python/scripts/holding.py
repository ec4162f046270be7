"""Eight interpreters hold the same bytes: `holding.py MEBIBYTES` prints the PSS that this adds, in bytes."""

from __future__ import annotations

import sys
from pathlib import Path

from common import MIB, checksum, eventually, nothing_is_held

import isthmus

PIECE = 64 * MIB


def pss() -> int:
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("the kernel tells no PSS")


def main(mebibytes: int) -> None:
    isthmus.enable()
    others = [isthmus.create() for _ in range(8)]
    ends = []
    for other in others:
        r, s = isthmus.create_channel(None)
        other.run("import zlib; kept = []", r=r)
        ends.append(s)
    before = pss()
    pieces = mebibytes * MIB // PIECE
    for n in range(pieces):
        piece = bytes([n + 1]) * PIECE
        wanted = checksum(piece)
        for other, send in zip(others, ends, strict=True):
            send.send(piece)
            # Each reads all of it, so that its page tables are filled.
            other.run("kept.append(r.recv()); assert zlib.crc32(kept[-1]) == wanted", wanted=wanted)
    del piece
    eventually(lambda: isthmus.stats().twins_live == 8 * pieces, "all held")
    assert isthmus.stats().payload_bytes_copied == 0
    print(pss() - before)
    for other in others:
        other.run("kept.clear()")
    eventually(nothing_is_held, "everything given back")


main(int(sys.argv[1]))
