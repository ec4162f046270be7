"""What a look at a process shows: the dataclasses of `isthmus.inspection`, made of JSON and into it."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal


@dataclasses.dataclass(frozen=True, slots=True)
class InterpreterView:
    """One interpreter that isthmus knows: it made it, or the interpreter has imported isthmus.

    `runs`: calls of run, exec, call under way; `running`: there are some, or it is the main interpreter.
    `waits`: its threads' waits in isthmus. `helper`: its service thread. `releases_waiting`,
    `errands_waiting`: depths of its inboxes, for memory it owns and for all else. `lent`: buffers of its
    exporters that others look at. `window`: through which it sees shared memory, None if it can't;
    interpreters under the main one's GIL share one, and with it `slots` and `slot_bytes`, the live objects
    there and their sizes' sum, and `releases_waiting`.
    """

    id: int
    name: str | None
    whence: str
    gil: Literal["own", "shared"]
    state: Literal["open", "closing"]
    running: bool
    runs: int
    waits: int
    helper: Literal["none", "idle", "busy"]
    releases_waiting: int
    errands_waiting: int
    lent: int
    window: int | None
    slots: int
    slot_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class ChannelView:
    """One channel. `receivers`, `senders`: ids of associated interpreters. Counts as in ChannelStatistics."""

    id: int
    capacity: int | None
    depth: int
    closed: bool
    poisoned: bool
    receivers: tuple[int, ...]
    senders: tuple[int, ...]
    waiting_receivers: int
    waiting_senders: int
    sent: int
    received: int
    dropped: int


@dataclasses.dataclass(frozen=True, slots=True)
class QueueView:
    """One queue. `interpreters`: ids of those that hold it. put = got + dropped + what lies there."""

    id: int
    maxsize: int
    depth: int
    shut_down: bool
    interpreters: tuple[int, ...]
    waiting_getters: int
    waiting_putters: int
    put: int
    got: int
    dropped: int


@dataclasses.dataclass(frozen=True, slots=True)
class MemoryView:
    """Shared memory of the process. Gauges as in Statistics.

    `bytes_idle`: of the resident ones, kept for reuse; at most `budget` stay. At `mapping_cap` mappings
    objects are copied.
    """

    slots_live: int
    bytes_resident: int
    bytes_idle: int
    budget: int
    mappings: int
    mapping_cap: int
    twins_live: int
    shares_outstanding: int
    views_live: int
    shared_buffers_live: int
    shared_buffer_bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Snapshot:
    """A look at a process. Each part is of one moment; all of them are not of the same.

    `taken`: seconds on the monotonic clock, which all processes share. `channels` and `queues`: oldest
    first, 10,000 of each at most; `channels_left_out`, `queues_left_out`: how many more there are.
    `counters`: only grow.
    """

    pid: int
    taken: float
    interpreters: tuple[InterpreterView, ...]
    channels: tuple[ChannelView, ...]
    channels_left_out: int
    queues: tuple[QueueView, ...]
    queues_left_out: int
    memory: MemoryView
    counters: Mapping[str, int]

    def as_dict(self) -> dict[str, Any]:
        """What json can write: the fields by name, dicts and lists below."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}


@dataclasses.dataclass(frozen=True, slots=True)
class Rates:
    """What happened per second between two snapshots. `seconds` is the time between them.

    `channels`: (sent, received) by id; `queues`: (put, got) by id; `counters` by name.
    """

    seconds: float
    channels: Mapping[int, tuple[float, float]]
    queues: Mapping[int, tuple[float, float]]
    counters: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """What json can write."""
        return {
            "seconds": self.seconds,
            "channels": {str(id): list(pair) for id, pair in self.channels.items()},
            "queues": {str(id): list(pair) for id, pair in self.queues.items()},
            "counters": dict(self.counters),
        }


def rates(earlier: Snapshot, later: Snapshot) -> Rates:
    """Compare two snapshots of one process. ValueError: they are of two, or in the wrong order.

    What was not there yet has begun at 0.
    """
    seconds = later.taken - earlier.taken
    if earlier.pid != later.pid or seconds <= 0:
        raise ValueError("rates need an earlier and a later snapshot of one process")
    channels = {each.id: (each.sent, each.received) for each in earlier.channels}
    queues = {each.id: (each.put, each.got) for each in earlier.queues}
    return Rates(
        seconds,
        types.MappingProxyType(
            {
                each.id: _per_second(channels.get(each.id), (each.sent, each.received), seconds)
                for each in later.channels
            }
        ),
        types.MappingProxyType(
            {
                each.id: _per_second(queues.get(each.id), (each.put, each.got), seconds)
                for each in later.queues
            }
        ),
        types.MappingProxyType(
            {
                name: (count - earlier.counters.get(name, 0)) / seconds
                for name, count in later.counters.items()
            }
        ),
    )


def snapshot_of(said: Mapping[str, Any]) -> Snapshot:
    """What a line of the wire format says. KeyError, TypeError: it leaves out what is needed."""
    return Snapshot(
        pid=said["pid"],
        taken=said["taken"] / 1e9,
        interpreters=tuple(_made(InterpreterView, each) for each in said["interpreters"]),
        channels=tuple(_made(ChannelView, each) for each in said["channels"]),
        channels_left_out=said["channels_left_out"],
        queues=tuple(_made(QueueView, each) for each in said["queues"]),
        queues_left_out=said["queues_left_out"],
        memory=_made(MemoryView, said["memory"]),
        counters=types.MappingProxyType(dict(said["counters"])),
    )


def _made[View](kind: type[View], said: Mapping[str, Any]) -> View:
    """Fields that a later isthmus adds are left out."""
    names = kind.__dataclass_fields__  # type: ignore[attr-defined]
    return kind(**{name: tuple(v) if isinstance(v := said[name], list) else v for name in names})


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, types.MappingProxyType):
        return dict(value)
    if dataclasses.is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return value


def _per_second(before: tuple[int, int] | None, now: tuple[int, int], seconds: float) -> tuple[float, float]:
    first, second = before or (0, 0)
    return (now[0] - first) / seconds, (now[1] - second) / seconds
