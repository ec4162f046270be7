"""What a run in another interpreter raises here."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from typing import Any

import pytest

import isthmus


def failure_of(action: Callable[[], object]) -> BaseException:
    """What `action` raises."""
    try:
        action()
    except BaseException as failure:
        return failure
    pytest.fail("nothing was raised")


def raised_by(interp: isthmus.Interpreter, source: str, **shared: Any) -> BaseException:
    return failure_of(lambda: interp.run(textwrap.dedent(source), **shared))


def remote(failure: BaseException) -> isthmus.ExceptionInfo:
    assert isinstance(failure.__cause__, isthmus.ExecutionFailed)
    return failure.__cause__.excinfo
