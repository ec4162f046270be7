"""Runs tests of CPython's `test.test_interpreters` on stand-ins; `harness.py` starts it.

`run_tests.py list` prints the tests as JSON; `run_tests.py run REPORT TEST…` appends one JSON line to REPORT
when a test starts and one when it has ended; `run_tests.py check` fails unless the tests would meet isthmus.
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import json
import os
import re
import sys
import threading
import unittest
from pathlib import Path
from typing import Any

PACKAGE = "test.test_interpreters"
MODULES = ("test_api", "test_channels", "test_lifecycle", "test_queues", "test_stress")
PATIENCE = 120  # seconds for one test, and for the end of the process


class Report(unittest.TestResult):
    """Writes what happens to each test; of a test with subtests, which of them failed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._outcome: dict[str, Any] = {}

    def _write(self, record: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            print(json.dumps(record), file=file)

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().startTest(test)
        self._outcome = {"test": name_of(test), "failed": [], "skipped": None, "text": ""}
        self._write({"started": name_of(test)})
        faulthandler.dump_traceback_later(PATIENCE, exit=True)

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        faulthandler.cancel_dump_traceback_later()
        super().stopTest(test)
        gc.collect()  # what a failed test leaves must not be counted by the next
        self._write(self._outcome)

    def _failed(self, test: unittest.TestCase, error: Any, part: str) -> None:
        self._outcome["failed"].append(part)
        self._outcome["text"] += self._exc_info_to_string(error, test) + "\n"  # type: ignore[attr-defined]

    def addError(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        self._failed(test, err, "")

    def addFailure(self, test: unittest.TestCase, err: Any) -> None:  # noqa: N802
        self._failed(test, err, "")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        self._outcome["failed"].append("")
        self._outcome["text"] += "unexpected success\n"

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Any) -> None:  # noqa: N802
        if err is not None:
            part = subtest.id().removeprefix(test.id()).strip(" []")
            self._failed(test, err, re.sub(r" at 0x[0-9a-f]+", "", part))

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        self._outcome["skipped"] = reason


def name_of(test: unittest.TestCase) -> str:
    return test.id().removeprefix(PACKAGE + ".")


def tests_in(suite: unittest.TestSuite) -> list[unittest.TestCase]:
    found: list[unittest.TestCase] = []
    for each in suite:
        found += tests_in(each) if isinstance(each, unittest.TestSuite) else [each]
    return found


def keep_environment() -> None:
    """Let the Pythons that tests start see PYTHONPATH too, and so the stand-ins, instead of `-I` or `-E`."""
    helper = importlib.import_module("test.support.script_helper")
    helper.interpreter_requires_environment = lambda: True  # type: ignore[attr-defined]


def check() -> None:
    """The stand-ins stand in: here, in an interpreter, and in a Python that a test starts."""
    package = importlib.import_module("sitecustomize").PACKAGE
    code = f"import isthmus, {package} as theirs; assert theirs.Interpreter is isthmus.Interpreter"
    exec(code, {})
    with importlib.import_module(package).create() as interp:
        interp.exec(code)
    keep_environment()
    importlib.import_module("test.support.script_helper").assert_python_ok("-c", code)


def main() -> None:
    if sys.argv[1] == "check":
        check()
        return
    if sys.argv[1] == "list":
        loader, names = unittest.defaultTestLoader, []
        for module in MODULES:
            suite = loader.loadTestsFromModule(importlib.import_module(f"{PACKAGE}.{module}"))
            names += [name_of(test) for test in tests_in(suite)]
        print(json.dumps(names))
        return
    faulthandler.enable()
    keep_environment()
    report, names = Path(sys.argv[2]), sys.argv[3:]
    suite = unittest.defaultTestLoader.loadTestsFromNames([f"{PACKAGE}.{name}" for name in names])
    suite.run(Report(report))
    if threading.active_count() > 1:
        os._exit(0)  # a thread that a failed test left waiting must not keep the process
    faulthandler.dump_traceback_later(PATIENCE, exit=True)


if __name__ == "__main__":
    main()
