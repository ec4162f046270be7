"""Writes docs/cpython-tests.md from tests/python/cpython/expected.py. --check: only compares."""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "cpython-tests.md"
sys.path.insert(0, str(ROOT / "tests" / "python" / "cpython"))

from expected import DIFFERS, LEFT, VERSIONS, Differs, Left  # noqa: E402

INTRODUCTION = """\
# CPython's own tests

CPython tests its interpreters, queues and channels with `test.test_interpreters`. `tests/python/cpython` runs
those tests on isthmus: under the names that they import (`concurrent.interpreters`; on 3.13, where that
didn't exist yet, `test.support.interpreters`) they find stand-ins that hand every call on to isthmus.
Interpreters are isthmus' own, queues are `isthmus.Queue`, channels are isthmus channels with `capacity=None`.
Nothing of CPython's tests is copied; a Python that comes without them skips this.

```
.venv/bin/python -m pytest tests/python/cpython
```

Everything passes but what is listed here. A listed test that passes after all fails the run, like an unlisted
one that doesn't pass, and like a listed one of which another part fails. This page is made from
`tests/python/cpython/expected.py` by `tools/cpython_tests_page.py`.
"""


def versions(entry: Left | Differs) -> str:
    return "" if entry.versions == VERSIONS else ", ".join(entry.versions)


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def parts(entry: Differs) -> str:
    return ", ".join(f"`{part}`" for part in entry.parts if part)


def page() -> str:
    lines = [INTRODUCTION, "## Not run", "", "| tests | Python | why |", "|---|---|---|"]
    lines += [f"| `{each.tests}` | {versions(each)} | {cell(each.why)} |" for each in LEFT]
    lines += ["", "## Run, and differ on purpose", ""]
    for module, entries in groupby(DIFFERS, key=lambda each: each.test.partition(".")[0]):
        lines += [f"### {module}", "", "| test | Python | parts that differ | why |", "|---|---|---|---|"]
        for each in entries:
            name = each.test.partition(".")[2]
            lines.append(f"| `{name}` | {versions(each)} | {cell(parts(each))} | {cell(each.why)} |")
        lines.append("")
    return "\n".join(lines)


def main() -> int:
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text("utf-8") != page():
            print("docs/cpython-tests.md is not up to date: run tools/cpython_tests_page.py", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(page(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
