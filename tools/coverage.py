"""coverage.py REPORT: the lines of native/core and native/cpython that no test ran, and if that is explained.

REPORT is gcovr's JSON, the explanations are tests/coverage/explained.toml. Every line that was not run must
be explained there, and every line explained there must be one that was not run; otherwise the exit status
is 1. An entry has

    file    below native/
    code    the lines as they stand in the file, one after another; indentation does not matter
    after   the lines before them, where the same lines stand in the file more than once
    reason  why no test can run them, or why none needs to
    sometimes  true: chance decides whether they are run, so it is no fault if they are

so changes elsewhere in a file do not concern it.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EXPLAINED = ROOT / "tests" / "coverage" / "explained.toml"
LAYERS = ("core", "cpython")


@dataclasses.dataclass(frozen=True)
class Explanation:
    file: str
    code: list[str]
    after: list[str]
    reason: str
    sometimes: bool = False

    def __str__(self) -> str:
        return f"native/{self.file}: {self.code[0]!r}"

    def places(self, text: list[str]) -> list[int]:
        """Where in `text` the first line stands; numbers count from 1."""
        whole = self.after + self.code
        starts = range(len(text) - len(whole) + 1)
        return [at + len(self.after) + 1 for at in starts if text[at : at + len(whole)] == whole]


@dataclasses.dataclass
class Source:
    """A file: which of its lines have code, and which of these were run."""

    text: list[str]
    lines: set[int]
    run: set[int]


def lines_of(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]


def text_of(file: Path) -> list[str]:
    return [line.strip() for line in file.read_text().splitlines()]


def explanations() -> list[Explanation]:
    return [
        Explanation(
            entry["file"],
            lines_of(entry["code"]),
            lines_of(entry.get("after", "")),
            entry["reason"].strip(),
            entry.get("sometimes", False),
        )
        for entry in tomllib.loads(EXPLAINED.read_text())["explained"]
    ]


def sources(report: Path) -> dict[str, Source]:
    found: dict[str, Source] = {}
    for each in json.loads(report.read_text())["files"]:
        file = (ROOT / each["file"]).resolve()  # headers are included through links, one for each layer
        source = found.setdefault(str(file.relative_to(ROOT / "native")), Source(text_of(file), set(), set()))
        # A line is told once for each function it belongs to: templates, lambdas, inline functions.
        for line in each["lines"]:
            if not line.get("gcovr/noncode", False):
                source.lines.add(line["line_number"])
                if line["count"] > 0:
                    source.run.add(line["line_number"])
    return found


def judge(found: dict[str, Source], told: list[Explanation]) -> tuple[dict[str, set[int]], list[str]]:
    """The lines that are explained, by file, and what is wrong with the explanations."""
    explained: dict[str, set[int]] = {}
    wrong: list[str] = []
    for each in told:
        source = found.get(each.file, Source([], set(), set()))
        at = each.places(source.text)
        if len(at) != 1:
            wrong.append(f"{each}: stands there {len(at)} times, not once")
            continue
        own = set(range(at[0], at[0] + len(each.code))) & source.lines
        if not own:
            wrong.append(f"{each}: has no code")
        if not each.reason:
            wrong.append(f"{each}: has no reason")
        run = set() if each.sometimes else own & source.run
        wrong += [f"{each}: line {n} was run: {source.text[n - 1]}" for n in sorted(run)]
        explained.setdefault(each.file, set()).update(own - source.run)
    return explained, wrong


def main(report: str) -> int:
    found = sources(Path(report))
    explained, wrong = judge(found, explanations())
    missing = [
        f"native/{path}:{number}: {source.text[number - 1]}"
        for path, source in sorted(found.items())
        for number in sorted(source.lines - source.run - explained.get(path, set()))
    ]
    for layer in LAYERS:
        of = {path: source for path, source in found.items() if path.startswith(f"{layer}/")}
        lines = sum(len(source.lines) for source in of.values())
        run = sum(len(source.run) for source in of.values())
        told = sum(len(explained.get(path, set())) for path in of)
        print(f"{layer}: {lines} lines, {run} run ({run / lines:.1%}), {told} explained")
    if missing:
        print("Run by no test and not explained:", *missing, sep="\n  ")
    if wrong:
        print(f"Wrong in {EXPLAINED.relative_to(ROOT)}:", *wrong, sep="\n  ")
    return 1 if missing or wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
