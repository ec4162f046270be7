"""A plug-in that gives back what it got, and counts in a global that no other plug-in sees."""

from __future__ import annotations

calls = 0


def transform(data: bytes) -> bytes:
    global calls
    calls += 1
    return data
