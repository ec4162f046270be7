"""A plug-in: what C code computes over the host's memory."""

from __future__ import annotations

import zlib

import isthmus


def transform(data: bytes) -> int:
    isthmus.host.log(f"checksum: {len(data)} bytes")
    return zlib.crc32(data[:65536])
