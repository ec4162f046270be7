"""A frozen look at what the runtime holds and has done, over all interpreters of the process."""

from __future__ import annotations

from types import MappingProxyType

from isthmus import _isthmus

TYPE_CHECKING = False  # as typing's; importing that costs every new interpreter milliseconds
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Never


class Statistics:
    """Counters only grow; gauges return to their starting values once users drop what they hold.

    `payload_bytes_copied`: counter, bytes of objects at or above the twin threshold that were copied after
    all (an object from before `enable()`, a fallback, a writable buffer of a pickle). `fallback_copies`:
    counter, how often a limit or a failed self-test was the reason. `twins_live`, `shares_outstanding`,
    `slots_live`: gauges. `bytes_resident`: gauge, bytes of shared memory that may have pages, idle ones
    within the budget included. `views_live`: gauge, buffers lent to other interpreters and not given back;
    `views_made`: counter. `views_orphaned`: counter, those whose owner closed first: their memory stays,
    their exporters are never released. `releases_posted`, `releases_run`: counters that balance when nothing
    is under way. `pending_calls_posted`, `pending_calls_run`: likewise, calls posted and calls that came to
    an end, whether they ran, were cancelled or failed with their interpreter. `shared_buffers_live`,
    `shared_buffer_bytes`: gauges, SharedBuffers that some interpreter or message holds, and their sizes' sum.
    `inbox_depths`: releases and posted calls that wait, by interpreter id.
    """

    payload_bytes_copied: int
    fallback_copies: int
    twins_live: int
    twins_made: int
    shares_outstanding: int
    slots_live: int
    bytes_resident: int
    views_live: int
    views_made: int
    views_orphaned: int
    releases_posted: int
    releases_run: int
    pending_calls_posted: int
    pending_calls_run: int
    shared_buffers_live: int
    shared_buffer_bytes: int
    inbox_depths: Mapping[int, int]

    __slots__ = (
        "bytes_resident",
        "fallback_copies",
        "inbox_depths",
        "payload_bytes_copied",
        "pending_calls_posted",
        "pending_calls_run",
        "releases_posted",
        "releases_run",
        "shared_buffer_bytes",
        "shared_buffers_live",
        "shares_outstanding",
        "slots_live",
        "twins_live",
        "twins_made",
        "views_live",
        "views_made",
        "views_orphaned",
    )

    def __init__(self, **facts: Any) -> None:
        for name in self.__slots__:
            object.__setattr__(self, name, facts[name])

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError(f"a snapshot is frozen: {name!r} can't be set")

    def __delattr__(self, name: str) -> Never:
        raise AttributeError(f"a snapshot is frozen: {name!r} can't be deleted")

    def __repr__(self) -> str:
        return f"Statistics({', '.join(f'{name}={getattr(self, name)!r}' for name in self.__slots__)})"


def stats() -> Statistics:
    """Take a snapshot. First runs the releases that wait in this interpreter's inbox."""
    facts = _isthmus.stats()
    facts["inbox_depths"] = MappingProxyType(facts["inbox_depths"])
    return Statistics(**facts)
