"""A few milliseconds of Python code for each request: what a template or a validator costs."""

from __future__ import annotations


def handle(method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    state = 1
    for _ in range(25_000):
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
    return b"%d\n" % state
