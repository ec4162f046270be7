"""Which of CPython's tests do not apply to isthmus, and why; `docs/cpython-tests.md` is made from this."""

from __future__ import annotations

import fnmatch
import sys
from typing import NamedTuple

#: Python versions whose tests are known here.
VERSIONS = ("3.13", "3.14", "3.15")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


class Left(NamedTuple):
    """Tests that are not run: they are about something else than what isthmus stands in for."""

    tests: str  # a pattern of names
    why: str


class Differs(NamedTuple):
    """A test that runs and must fail: the contract of isthmus says otherwise."""

    test: str
    why: str
    parts: tuple[str, ...] = ("",)  # what of it fails: itself, or subtests
    versions: tuple[str, ...] = VERSIONS


LEFT: tuple[Left, ...] = ()
DIFFERS: tuple[Differs, ...] = ()


def left(test: str) -> Left | None:
    return next((each for each in LEFT if fnmatch.fnmatchcase(test, each.tests)), None)


def differs(test: str, version: str = HERE) -> Differs | None:
    return next((each for each in DIFFERS if each.test == test and version in each.versions), None)
