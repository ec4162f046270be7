"""Functions for SQL. The names of SCALARS and AGGREGATES are those that SQL uses; how many arguments each
takes is read off its signature.
"""

from __future__ import annotations

import hashlib
import zlib


def checksum(data: bytes) -> int:
    return zlib.crc32(data)


def sparse_sum(data: bytes) -> int:
    """Of every 64th byte, in bytecode: it keeps the GIL all the time."""
    total = 0
    for each in data[::64]:
        total = (total + each) & 0xFFFFFFFF
    return total


def compress(data: bytes, level: int) -> bytes:
    return zlib.compress(data, level)


class Digest:
    """One hash over all blobs of a group."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def step(self, data: bytes) -> None:
        self._hash.update(data)

    def finalize(self) -> str:
        return self._hash.hexdigest()


SCALARS = {
    "checksum": checksum,
    "sparse_sum": sparse_sum,
    "py_compress": compress,
    "py_decompress": zlib.decompress,
}
AGGREGATES = {"digest": Digest}
