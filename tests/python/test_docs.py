"""The docs hold what they show: examples run and print what stands below them, links lead somewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tty
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

from _accounts import LIFE

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = re.compile(r"^```python\n(.*?)^```\n(?:\n^```output( any order)?\n(.*?)^```)?", re.M | re.S)
HEADINGS_OF_PEP_554 = """
    Abstract
    Proposal
        API for interpreters
        API for sharing data
    Examples
        Run isolated code
        Run in a thread
        Pre-populate an interpreter
        Handling an exception
        Synchronize using a channel
        Sharing a file descriptor
        Passing objects via pickle
    Rationale
        Concerns
    About Subinterpreters
        Shared data
        Interpreter Isolation
        Concurrency
        Existing Usage
    Provisional Status
    Alternate Python Implementations
    Open Questions
        Leaking exceptions across interpreters
        Initial support for buffers in channels
        Does every interpreter think that their thread is the "main" thread?
        Disallow subinterpreters in the main thread?
        Pass channels explicitly to run()?
    Deferred Functionality
        Interpreter.call()
        timeout arg to recv() and send()
        get_main()
        Interpreter.run_in_thread()
        Synchronization Primitives
        CSP Library
        Syntactic Support
        Multiprocessing
        C-extension opt-in/opt-out
        Poisoning channels
        Sending channels over channels
        Reseting __main__
        Support passing ints in channels
        File descriptors and sockets in channels
        Integration with async
        Support for iteration
        Channel context managers
        Pipes and Queues
        interpreters.RunFailedError
    Rejected Ideas
        Explicit channel association
        Use pipes instead of channels
        Use queues instead of channels
        "enumerate"
    References
    Copyright
"""


class Example(NamedTuple):
    code: str
    in_order: bool
    output: str


EXAMPLES = [
    pytest.param(Example(code, not any_order, output), id=f"{page.stem}-{number}")
    for page in PAGES
    for number, (code, any_order, output) in enumerate(CODE.findall(page.read_text("utf-8")), 1)
]


def run(code: str) -> tuple[int, str, str]:
    """Run code as at a terminal, where lines are written as they end. Exit status, stdout, stderr."""
    environment = os.environ | {"NO_COLOR": "1"}
    environment.pop("PYTHONUNBUFFERED", None)  # it writes lines in parts
    reading, terminal = os.openpty()
    try:
        tty.setraw(terminal)
        done = subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=subprocess.PIPE,
            text=True,
            timeout=LIFE,
            check=False,
            env=environment,
        )
        os.set_blocking(reading, False)
        try:
            printed = os.read(reading, 1 << 16)  # a terminal holds back what an example prints
        except BlockingIOError:
            printed = b""
        return done.returncode, printed.decode(), done.stderr
    finally:
        os.close(terminal)
        os.close(reading)


def headings(page: Path) -> list[tuple[int, str]]:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.M | re.S)
    return [(len(marks), title) for marks, title in re.findall(r"^(#+) (.*)$", text, re.M)]


def anchors(page: Path) -> set[str]:
    """As GitHub makes them; a title that stands twice is not linked to."""
    plain = (re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for _, title in headings(page))
    return {anchor for anchor, count in Counter(plain).items() if count == 1}


def test_there_are_examples() -> None:
    assert len(EXAMPLES) > 50


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example: Example) -> None:
    status, printed, complaints = run(example.code)
    assert (status, complaints) == (0, "")
    if example.in_order:
        assert printed == example.output
    else:
        assert sorted(printed.splitlines()) == sorted(example.output.splitlines())


def test_an_example_that_fails_would_be_noticed() -> None:
    status, printed, complaints = run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (status, printed, complaints) == (3, "out\n", "err\n")


def test_pep_554_is_gone_through_heading_by_heading() -> None:
    expected = [
        ((len(line) - len(line.lstrip())) // 4 + 1, line.strip())
        for line in HEADINGS_OF_PEP_554.splitlines()
        if line.strip()
    ]
    assert headings(ROOT / "docs" / "pep-554.md")[1:] == expected


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize("tool", ["api_reference", "cpython_tests_page"])
def test_what_is_generated_is_up_to_date(tool: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / f"{tool}.py"), "--check"],
        capture_output=True,
        text=True,
        timeout=LIFE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
