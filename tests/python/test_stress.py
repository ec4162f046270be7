"""Long and random: a program of several interpreters, cycles of create and close, memory held by many."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import pytest

from _subprocess import FULL, SANITIZED, SCRIPTS, run_script


def test_a_random_program_leaves_nothing_behind() -> None:
    """ISTHMUS_TEST_SEED repeats a run's choices, not its timing; ISTHMUS_TEST_SECONDS makes it longer."""
    seed = int(os.environ.get("ISTHMUS_TEST_SEED", random.SystemRandom().randrange(1 << 30)))
    seconds = float(os.environ.get("ISTHMUS_TEST_SECONDS", "10"))
    print(f"ISTHMUS_TEST_SEED={seed}")
    done = run_script("stress", seed, seconds, timeout=seconds * 3 + 60)
    print(done.stdout)


@pytest.mark.skipif(SANITIZED, reason="a sanitizer keeps freed memory")
@pytest.mark.parametrize(("bare", "ours"), [("bare", "created"), ("bare_import", "used")])
def test_cycles_leave_no_more_than_bare_interpreters_do(bare: str, ours: str) -> None:
    """1,000 cycles with ISTHMUS_TEST_FULL=1."""
    count = 1000 if FULL else 120
    running = [
        subprocess.Popen(
            [sys.executable, str(SCRIPTS / "cycling.py"), how, str(count)],
            stdout=subprocess.PIPE,
            text=True,
            # CPython's own allocator leaves whole arenas of 1 MiB: too coarse to see a leak beside them.
            env={**os.environ, "PYTHONMALLOC": "malloc"},
        )
        for how in (bare, ours)
    ]
    grown = []
    for process in running:
        out, _ = process.communicate(timeout=900)
        assert process.returncode == 0
        grown.append(json.loads(out))
    print(grown)
    assert grown[1]["threads"] == grown[1]["descriptors"] == 0, grown
    assert grown[1]["mappings"] <= grown[0]["mappings"] + 20, grown
    # 4 KiB a cycle, and what allocators leave in pieces.
    assert grown[1]["rss_kib"] <= grown[0]["rss_kib"] + 4 * count + 1024, grown


@pytest.mark.skipif(SANITIZED, reason="a sanitizer's shadow memory is counted too")
def test_bytes_held_by_eight_interpreters_exist_once() -> None:
    """1 GiB with ISTHMUS_TEST_FULL=1, 256 MiB otherwise."""
    mebibytes = 1024 if FULL else 256
    done = run_script("holding", mebibytes, timeout=300)
    added = int(done.stdout) / (mebibytes * 1024 * 1024)
    print(f"{mebibytes} MiB held by 8 interpreters add {added:.4f} of that")
    assert added <= 1.02
