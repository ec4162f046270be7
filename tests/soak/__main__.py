"""`python tests/soak --minutes N`: random programs of 4 to 32 interpreters, round after round.

Each round is a process of its own with its own seed, so that even a crash names its seed. Exit status 1 if a
round found anything; then also how to repeat that round (its choices; not its timing).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
GRACE = (
    240  # seconds a round may take beyond its own, to end its interpreters and to settle on a busy machine
)

#: What is broken on purpose to see the soak notice.
BREAKS = {
    "model": "the model expects another payload",
    "flip": "a bit flips in a SharedBuffer after its maker filled it",
    "loss": "every third message that was received is not written down",
    "leak": "a channel is kept beyond the end of a round",
    "stderr": "something is written to stderr",
}


class Shape:
    """How large a round is, and the limits its process starts with: all of it follows from the seed."""

    def __init__(self, seed: int) -> None:
        r = random.Random(f"{seed}:shape")
        self.seconds = r.choice((10.0, 20.0, 40.0))
        self.interpreters = r.choice((4, 5, 8, 12, 16, 24, 32))
        self.environment = {}
        settings = {
            "ISTHMUS_CAPACITY": ("64M", "1G"),
            "ISTHMUS_WINDOWS": ("4", "16"),
            "ISTHMUS_BUDGET": ("1M", "64M"),
            "ISTHMUS_MAPPING_CAP": ("60", "400"),
            "ISTHMUS_THRESHOLD": ("4K", "1M"),
        }
        for name, values in settings.items():
            if r.random() < 0.25:
                self.environment[name] = r.choice(values)


class Totals:
    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in ("deeds", "director", "faults")}
        self.rounds = 0
        self.failed: list[int] = []

    def add(self, seed: int, report: dict[str, Any], problems: list[str]) -> None:
        self.rounds += 1
        for name, counter in self.counts.items():
            counter.update(report.get(name, {}))
        if problems:
            self.failed.append(seed)

    def print(self, seconds: float) -> None:
        deeds = self.counts["deeds"]
        print(f"\n{self.rounds} rounds in {seconds / 60:.1f} minutes")
        for title, counter in self.counts.items():
            print(f"{title}:")
            for name, count in sorted(counter.items()):
                print(f"  {count:>12,}  {name}")
        print(f"compared {deeds['compared']:,} times; rounds that found something: {len(self.failed)}")


def run_round(
    seed: int, seconds: float, interpreters: int, wrong: str, environment: dict[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """What the round reports, and everything that is wrong with it or its end."""
    command = [sys.executable, str(HERE / "soak_round.py"), str(seed), str(seconds), str(interpreters), wrong]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=os.environ | environment,
    )
    problems = []
    try:
        out, err = process.communicate(timeout=seconds * 3 + GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        problems.append("the round hangs")
    except KeyboardInterrupt:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        raise
    if process.returncode != 0:
        problems.append(f"exit status {process.returncode}")
    if err:
        problems.append(f"on stderr:\n{err[-20_000:]}")
    try:
        report: dict[str, Any] = json.loads(out)
    except ValueError:
        problems.append(f"no report:\n{out[-2000:]}")
        report = {}
    return report, problems + report.get("problems", [])


def repeat_command(seed: int, seconds: float, interpreters: int, wrong: str) -> str:
    more = f" --break {wrong}" if wrong else ""
    return (
        f"{sys.executable} tests/soak --seed {seed} --seconds {seconds:g} --interpreters {interpreters}{more}"
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python tests/soak", description=__doc__)
    parser.add_argument("--minutes", type=float, help="rounds until so much time has passed; else one round")
    parser.add_argument("--seed", type=int, help="of the first round; the next ones count up; else random")
    parser.add_argument("--seconds", type=float, help="of each round; else as its seed says")
    parser.add_argument("--interpreters", type=int, help="at a time, 1 to 60; else as the seed says")
    parser.add_argument("--keep-going", action="store_true", help="after a round that found something")
    parser.add_argument("--break", dest="wrong", choices=BREAKS, default="", help=str(BREAKS)[1:-1])
    return parser.parse_args()


def main() -> int:
    given = arguments()
    seed = random.SystemRandom().randrange(1 << 30) if given.seed is None else given.seed
    began = time.monotonic()
    end = began + (given.minutes or 0) * 60
    totals = Totals()
    while totals.rounds == 0 or time.monotonic() < end:
        shape = Shape(seed)
        seconds = given.seconds or shape.seconds
        if given.seconds is None and given.minutes:
            seconds = max(2.0, round(min(seconds, end - time.monotonic()), 1))
        count = given.interpreters or shape.interpreters
        options = " ".join(f"{name}={value}" for name, value in shape.environment.items())
        print(f"seed {seed}: {count} interpreters, {seconds:g} s {options}", end=" ", flush=True)
        report, problems = run_round(seed, seconds, count, given.wrong, shape.environment)
        compared = report.get("deeds", {}).get("compared", 0)
        print(f"{compared} compared: {'FAILED' if problems else 'well'}", flush=True)
        totals.add(seed, report, problems)
        if problems:
            print(*problems, sep="\n")
            print(f"repeat: {repeat_command(seed, seconds, count, given.wrong)}", flush=True)
            if not given.keep_going:
                break
        seed += 1
    totals.print(time.monotonic() - began)
    return 1 if totals.failed else 0


if __name__ == "__main__":
    sys.exit(main())
