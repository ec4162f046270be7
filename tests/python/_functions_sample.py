"""Functions that another interpreter can import by name, and some it can't find by their name."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

CALLS: list[object] = []  # of this module in this interpreter


def whereabouts() -> tuple[str, int]:
    import isthmus

    return __name__, isthmus.get_current().id


def record(value: object) -> int:
    CALLS.append(value)
    return len(CALLS)


def twice(f: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(f)
    def wrapper(*args: Any) -> Any:
        return f(f(*args))

    return wrapper


@twice
def add_two(n: int) -> int:
    return n + 2


class Adder:
    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, m: int) -> int:
        return self.n + m

    def method(self, m: int) -> int:
        return self.n + m

    @staticmethod
    def static(m: int) -> int:
        return m + 1

    @classmethod
    def made(cls, n: int) -> Adder:
        return cls(n)
