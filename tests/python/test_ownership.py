"""Debug builds end a process that counts a reference of an object of another interpreter's."""

from __future__ import annotations

import re
import signal

import pytest

from _subprocess import run_script
from isthmus import _isthmus

pytestmark = pytest.mark.skipif(
    not hasattr(_isthmus, "_touch_reference"),
    reason="a release build checks no reference; tools/test-extension.sh debug-ext -k ownership",
)


def test_references_may_be_counted_where_they_belong() -> None:
    assert run_script("owning", "allowed").stdout == "counted\n"


@pytest.mark.parametrize(
    ("case", "why", "where"),
    [
        ("foreign", "it lies in another interpreter's window", r"0\) is counted in interpreter 1 \(window 1"),
        (
            "gone_twin",
            "it is another interpreter's, and no twin",
            r"1\) is counted in interpreter 1 \(window 1",
        ),
        ("freed", "nothing lives there", r"0\) is counted in interpreter 0 \(window 0"),
        ("detached", "the thread is attached to no interpreter", r"-1\) is counted in interpreter -1"),
    ],
)
def test_a_reference_that_is_counted_elsewhere_ends_the_process(case: str, why: str, where: str) -> None:
    done = run_script("owning", case, status=-signal.SIGABRT)
    told = re.search(rf"a reference of the object at (0x[0-9a-f]+) \(window {where}.*: {why}", done.stderr)
    assert told is not None, done.stderr
    assert told[1] == done.stdout.strip()
