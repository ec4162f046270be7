"""What tests and soak both look at: what returns to its starting value, and what is still under way."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import isthmus
from isthmus import _isthmus

# Limits that only what is broken reaches, in seconds: generous, for a machine that is slow, busy or stands
# still for a while. Each is above the one before, so that what fails is the innermost wait that
# hangs; the outermost is faulthandler_timeout in pyproject.toml, for a whole test.
PATIENCE = 120.0  # until something that must happen is said never to
LIFE = 180.0  # until a process that must end is said to hang


def gauges() -> dict[str, object]:
    """Everything that returns to its starting value once users drop what they hold."""
    taken = isthmus.stats()
    return {
        "twins_live": taken.twins_live,
        "shares_outstanding": taken.shares_outstanding,
        "slots_live": taken.slots_live,
        "views_live": taken.views_live,
        "shared_buffers_live": taken.shared_buffers_live,
        "shared_buffer_bytes": taken.shared_buffer_bytes,
        "guarded_bytesio": _isthmus.doctor_facts()["guarded_bytesio"],
        "interpreters": sorted(each.id for each in isthmus.list_all()),
    }


def unsettled() -> dict[str, object]:
    """Whatever is still under way, or over the budget; empty when all is well."""
    taken = isthmus.stats()
    found: dict[str, object] = {}
    if taken.releases_posted != taken.releases_run:
        found["releases"] = (taken.releases_posted, taken.releases_run)
    if taken.pending_calls_posted != taken.pending_calls_run:
        found["pending_calls"] = (taken.pending_calls_posted, taken.pending_calls_run)
    if any(taken.inbox_depths.values()):
        found["inbox_depths"] = dict(taken.inbox_depths)
    if taken.bytes_resident > _isthmus.doctor_facts()["resident_budget"]:
        found["bytes_resident"] = taken.bytes_resident
    return found


def until(condition: Callable[[], bool], patience: float = PATIENCE) -> bool:
    """Whether `condition` came true in time; returns as soon as it does."""
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            return condition()
        threading.Event().wait(0.001)
    return True
