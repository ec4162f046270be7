"""Which of CPython's tests do not apply to isthmus, and why; `docs/cpython-tests.md` is made from this."""

from __future__ import annotations

import fnmatch
import sys
from typing import NamedTuple

#: Python versions whose tests are known here.
VERSIONS = ("3.13", "3.14", "3.15")
NEWER = ("3.14", "3.15")
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


class Left(NamedTuple):
    """Tests that are not run: they are about something else than what isthmus stands in for."""

    tests: str  # a pattern of names
    why: str
    versions: tuple[str, ...] = VERSIONS


class Differs(NamedTuple):
    """A test that runs and must fail: what isthmus promises says otherwise."""

    test: str
    why: str
    parts: tuple[str, ...] = ("",)  # what of it fails: itself, or subtests
    versions: tuple[str, ...] = VERSIONS


LEFT = (
    Left(
        "*.LowLevelTests.*", "tests the private modules `_interpreters`, `_interpqueues`, `_interpchannels`"
    ),
    Left(
        "*_created_with_capi",
        "makes interpreters with `_testinternalcapi` and `Interpreter`'s private arguments",
    ),
    Left("test_api.InterpreterObjectTests.test_init_interpreter_id", "reads the private attribute `_id`"),
    Left(
        "test_channels.*.test_id_type",
        "requires `_interpchannels.ChannelID`, a private type; the ids of isthmus are `int`",
    ),
    Left(
        "test_stress.StressTests.test_create_interpreter_no_memory",
        "calls `_interpreters.create`",
        versions=NEWER,
    ),
)

CLOSE = "`close()` is idempotent"
DIFFERS = (
    Differs("test_api.TestInterpreterClose.test_already_destroyed", CLOSE),
    Differs(
        "test_api.TestInterpreterPrepareMain.test_not_shareable",
        "`prepare_main` takes any value that can be sent",
    ),
)


def left(test: str, version: str = HERE) -> Left | None:
    return next(
        (each for each in LEFT if version in each.versions and fnmatch.fnmatchcase(test, each.tests)), None
    )


def differs(test: str, version: str = HERE) -> Differs | None:
    return next((each for each in DIFFERS if each.test == test and version in each.versions), None)
