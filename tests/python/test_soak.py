"""A short round of the soak, and that it notices what is broken on purpose."""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

from _subprocess import SANITIZED

SOAK = Path(__file__).resolve().parents[1] / "soak"


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SOAK), *arguments], capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.skipif(SANITIZED, reason="a sanitizer needs the address space that the soak limits")
def test_a_short_round_fits_its_model() -> None:
    """ISTHMUS_TEST_SEED repeats a round's choices."""
    seed = os.environ.get("ISTHMUS_TEST_SEED", str(random.SystemRandom().randrange(1 << 30)))
    done = soak("--seed", seed, "--seconds", "4", "--interpreters", "4")
    assert done.returncode == 0, done.stdout + done.stderr
    compared = re.search(r"compared ([\d,]+) times", done.stdout)
    assert compared is not None
    assert int(compared[1].replace(",", "")) > 20, done.stdout


@pytest.mark.parametrize(
    ("wrong", "noticed"),
    [
        ("model", r"payload \d+ \(.*\), .*: checksum 0x"),
        ("flip", r"memory \d+ of \d+ bytes, received: not what was written"),
        ("loss", r"channel \d+: received \d+, the workers' sum \d+"),
        ("leak", r"channels: 1 at the end, 0 at the start"),
        ("stderr", r"on stderr:\nnot expected"),
    ],
)
def test_what_is_broken_on_purpose_is_noticed(wrong: str, noticed: str) -> None:
    done = soak("--seed", "11", "--seconds", "1", "--interpreters", "4", "--break", wrong)
    assert done.returncode == 1, done.stdout + done.stderr
    assert re.search(noticed, done.stdout), done.stdout
    assert f"--seed 11 --seconds 1 --interpreters 4 --break {wrong}" in done.stdout
