"""Gives back what it gets. `/` alone greets."""

from __future__ import annotations


def handle(method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    return body or b"hello\n"
