"""Finds CPython's own tests of interpreters, queues and channels, and runs them on isthmus, elsewhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent


class Outcome(NamedTuple):
    failed: tuple[str, ...]  # "" or the subtests that failed
    skipped: str | None
    text: str


def _start(*arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, [str(HERE / "standin"), os.environ.get("PYTHONPATH")]))
    return subprocess.run(
        [sys.executable, str(HERE / "run_tests.py"), *arguments],
        env=os.environ | {"PYTHONPATH": path, "PYTHONFAULTHANDLER": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )


@cache
def all_tests() -> tuple[str, ...] | str:
    """The names of the tests, or why there are none."""
    if "ISTHMUS_TEST_SANITIZER" in os.environ:
        return "CPython's tests make hundreds of interpreters: too slow under a sanitizer"
    try:
        import test.test_interpreters  # noqa: F401
    except ImportError as missing:
        return f"this Python comes without CPython's tests ({missing})"
    done = _start("list")
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout))


def check() -> subprocess.CompletedProcess[str]:
    """Succeeds if the tests would meet isthmus, not the standard library."""
    return _start("check")


def run(tests: list[str]) -> dict[str, Outcome]:
    """Run tests; one that ends its process, or never ends, has failed, and those after it run in the next."""
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as directory:
        for attempt in range(len(tests)):
            left = [test for test in tests if test not in outcomes]
            if not left:
                break
            report = Path(directory, f"{attempt}.jsonl")
            done = _start("run", str(report), *left)
            running = _read(report, outcomes) if report.exists() else left[0]
            ended = [test for test in left if test in outcomes]
            if running is None and done.returncode != 0 and not any(outcomes[test].failed for test in ended):
                running = ended[-1]  # after the tests, and none of them is to blame alone
            if running is not None:
                died = f"the process ended with status {done.returncode}\n{done.stderr[-8000:]}"
                outcomes[running] = Outcome(("",), None, died)
    return outcomes


def _read(report: Path, outcomes: dict[str, Outcome]) -> str | None:
    """Take down what ended; returns the test that did not."""
    running = None
    for line in report.read_text("utf-8").splitlines():
        record: dict[str, Any] = json.loads(line)
        if "started" in record:
            running = record["started"]
        else:
            running = None
            outcomes[record["test"]] = Outcome(tuple(record["failed"]), record["skipped"], record["text"])
    return running
