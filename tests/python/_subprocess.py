"""Runs a script of `tests/python/scripts` in a process of its own, and judges how that process ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from _accounts import LIFE

SCRIPTS = Path(__file__).resolve().parent / "scripts"
SANITIZED = "ISTHMUS_TEST_SANITIZER" in os.environ
FULL = os.environ.get("ISTHMUS_TEST_FULL") == "1"

#: Sanitizers reserve terabytes of addresses for themselves, so a limit on them stops the process at once.
limits_addresses = pytest.mark.skipif(SANITIZED, reason="address space is limited, a sanitizer needs it")

_FATAL = ("Fatal", "Segmentation", "Sanitizer", "terminate called", "double free", "corrupted", "Aborted")


def run_script(
    script: str,
    *arguments: str | float,
    status: int = 0,
    timeout: float = LIFE,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
    limit: Callable[[], None] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `scripts/<script>.py` and require its exit status and that nothing on stderr speaks of a crash.

    `timeout` in seconds; before it passes faulthandler prints all stacks, so that a hang shows where it is.
    `limit` runs in the child before Python starts. A negative `status` is a signal.
    """
    command = [sys.executable, *options, str(SCRIPTS / f"{script}.py"), *map(str, arguments)]
    environment = {
        **os.environ,
        "PYTHONFAULTHANDLER": "1",
        "PYTHONUNBUFFERED": "1",
        "ISTHMUS_TEST_DUMP_AFTER": str(timeout * 0.9),
        **(env or {}),
    }
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
        preexec_fn=limit,
        process_group=0,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # its children too: they hold the pipes open
        out, err = process.communicate()
        pytest.fail(f"{script} {arguments} hangs\n{out[-4000:]}\n{err[-8000:]}")
    how = f"exit status {process.returncode}, not {status}"
    told = f"{script} {arguments}: {how}\n{out[-4000:]}\n{err[-8000:]}"
    assert process.returncode == status, told
    if status not in (-signal.SIGKILL, -signal.SIGABRT):
        assert not [word for word in _FATAL if word in err], told
    return subprocess.CompletedProcess(command, process.returncode, out, err)
