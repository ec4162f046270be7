"""A plug-in with a mistake: it waits for a line end that its data may not have."""

from __future__ import annotations


def transform(data: bytes) -> str:
    end = 0
    while data[end : end + 1] != b"\n":
        end = (end + 1) % len(data)
    return data[:end].decode()
