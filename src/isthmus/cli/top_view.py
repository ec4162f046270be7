"""How `isthmus top` draws a snapshot. Text of the other process is made harmless for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from isthmus.inspection import ChannelView, InterpreterView, QueueView, Rates, Snapshot

__all__ = ["busiest", "command_of", "harmless", "picture", "processes"]

#: Lines of a picture besides the rows of its tables, when the paragraphs take two lines each.
FIXED_LINES = 16

#: Blanks between two columns, as rich draws the box below.
BETWEEN_COLUMNS = 3
#: What is left at least of a column that gives way.
SHORTEST_CUT = 12


class _Column(NamedTuple):
    name: str
    #: where there is no room for all columns, those with the highest numbers go first
    rank: int = 0
    left: bool = False
    #: may be cut at the end, down to a few characters, before any column goes
    gives_way: bool = False


def harmless(text: str) -> str:
    """Without anything that a terminal would obey."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def command_of(pid: int) -> str:
    """The command line of a process, "" if it can't be read."""
    try:
        said = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return harmless(said.rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace"))


def processes(found: Sequence[Snapshot], *, width: int) -> RenderableType:
    """A table of processes that serve."""
    if not found:
        return Text(
            "No process of this user serves inspection. Start one with ISTHMUS_INSPECTION=1 in its "
            "environment, or let it call isthmus.inspection.serve()."
        )
    columns = (
        _Column("pid"), _Column("interpreters", 1), _Column("channels", 2), _Column("queues", 2),
        _Column("command", 0, left=True, gives_way=True),
    )  # fmt: skip
    rows = [
        [
            str(each.pid),
            f"{len(each.interpreters):,}",
            f"{len(each.channels) + each.channels_left_out:,}",
            f"{len(each.queues) + each.queues_left_out:,}",
            command_of(each.pid),
        ]
        for each in found
    ]
    return _table(columns, rows, width)


def picture(
    seen: Snapshot | None, passed: Rates | None, *, width: int, height: int | None = None, note: str = ""
) -> RenderableType:
    """All of a snapshot. `width`, `height`: columns and lines that there are.

    What does not fit is left out: columns that matter least, the channels and queues that are least busy.
    """
    if seen is None:
        return Text(note)
    room = None
    if height is not None:
        tables = bool(seen.channels) + bool(seen.queues)
        room = max(1, (height - FIXED_LINES - len(seen.interpreters)) // max(1, tables))
    parts: list[RenderableType] = [_heading(seen, note), _memory(seen), _interpreters(seen, width)]
    if seen.channels:
        parts += _channels(seen, passed, width, room)
    if seen.queues:
        parts += _queues(seen, passed, width, room)
    parts.append(_counters(seen.counters, passed))
    return Group(*parts)


def _heading(seen: Snapshot, note: str) -> RenderableType:
    heading = Text(f"process {seen.pid}", style="bold", no_wrap=True, overflow="ellipsis")
    heading.append(f"  {command_of(seen.pid)}", style="not bold dim")
    return Group(heading, Text(note, style="bold yellow")) if note else heading


def _memory(seen: Snapshot) -> Text:
    m = seen.memory
    facts = [
        f"{m.slots_live:,} slots",
        f"{_bytes(m.bytes_resident)} resident, {_bytes(m.bytes_idle)} of it idle (budget {_bytes(m.budget)})",
        f"{m.twins_live:,} twins",
        f"{m.views_live:,} views",
        f"{m.shares_outstanding:,} shares",
        f"{m.shared_buffers_live:,} shared buffers ({_bytes(m.shared_buffer_bytes)})",
        f"{m.mappings:,} of {m.mapping_cap:,} mappings",
        f"{seen.counters.get('fallback_copies', 0):,} fallback copies",
        f"{_bytes(seen.counters.get('payload_bytes_copied', 0))} copied",
    ]
    return Text("memory: " + ", ".join(facts))


def _interpreters(seen: Snapshot, width: int) -> Table:
    columns = (
        _Column("interpreter"), _Column("name", 2, left=True, gives_way=True), _Column("gil", 3, left=True),
        _Column("state", 0, left=True), _Column("waits", 1), _Column("helper", 2, left=True),
        _Column("inbox", 1), _Column("lent", 4), _Column("window", 4), _Column("slots", 2),
        _Column("bytes", 1), _Column("made by", 5, left=True),
    )  # fmt: skip
    return _table(columns, [_interpreter_row(each) for each in seen.interpreters], width)


def _interpreter_row(each: InterpreterView) -> list[str]:
    return [
        str(each.id),
        each.name or "",
        each.gil,
        "closing" if each.state == "closing" else "running" if each.running else "idle",
        str(each.waits),
        each.helper,
        f"{each.releases_waiting}+{each.errands_waiting}",
        str(each.lent),
        "-" if each.window is None else str(each.window),
        f"{each.slots:,}",
        _bytes(each.slot_bytes),
        each.whence,
    ]


def _channels(seen: Snapshot, passed: Rates | None, width: int, room: int | None) -> list[RenderableType]:
    columns = (
        _Column("channel"), _Column("capacity", 4), _Column("depth"), _Column("senders", 2, left=True),
        _Column("receivers", 2, left=True), _Column("waiting s/r", 1), _Column("sent", 3),
        _Column("received", 3), _Column("sent/s", 1), _Column("received/s", 1), _Column("", 2, left=True),
    )  # fmt: skip
    rates = passed.channels if passed is not None else {}
    chosen = busiest(seen.channels, rates, room)
    rows = [
        [
            str(each.id),
            "none" if each.capacity is None else f"{each.capacity:,}",
            f"{each.depth:,}",
            _ids(each.senders),
            _ids(each.receivers),
            f"{each.waiting_senders}/{each.waiting_receivers}",
            f"{each.sent:,}",
            f"{each.received:,}",
            *_both(rates.get(each.id)),
            "poisoned" if each.poisoned else "closed" if each.closed else "",
        ]
        for each in chosen
    ]
    left_out = len(seen.channels) - len(chosen) + seen.channels_left_out
    return [_table(columns, rows, width), *_rest(left_out, "channels")]


def _queues(seen: Snapshot, passed: Rates | None, width: int, room: int | None) -> list[RenderableType]:
    columns = (
        _Column("queue"), _Column("maxsize", 4), _Column("depth"), _Column("interpreters", 2, left=True),
        _Column("waiting p/g", 1), _Column("put", 3), _Column("got", 3), _Column("put/s", 1),
        _Column("got/s", 1), _Column("", 2, left=True),
    )  # fmt: skip
    rates = passed.queues if passed is not None else {}
    chosen = busiest(seen.queues, rates, room)
    rows = [
        [
            str(each.id),
            f"{each.maxsize:,}" if each.maxsize > 0 else "none",
            f"{each.depth:,}",
            _ids(each.interpreters),
            f"{each.waiting_putters}/{each.waiting_getters}",
            f"{each.put:,}",
            f"{each.got:,}",
            *_both(rates.get(each.id)),
            "shut down" if each.shut_down else "",
        ]
        for each in chosen
    ]
    left_out = len(seen.queues) - len(chosen) + seen.queues_left_out
    return [_table(columns, rows, width), *_rest(left_out, "queues")]


def _counters(counters: Mapping[str, int], passed: Rates | None) -> Text:
    """Those that have counted anything."""
    told = []
    for name, count in counters.items():
        if count:
            rate = f" ({_rate(passed.counters.get(name, 0.0))}/s)" if passed is not None else ""
            told.append(f"{harmless(name)} {count:,}{rate}")
    return Text("counters: " + (", ".join(told) or "all 0"), style="dim")


# --- details


def _table(columns: Sequence[_Column], rows: Sequence[Sequence[str]], width: int) -> Table:
    """A table of the columns for which there is room; at least those of rank 0."""
    rows = [[harmless(cell) for cell in row] for row in rows]
    widths = [
        max([cell_len(column.name), *(cell_len(row[place]) for row in rows)])
        for place, column in enumerate(columns)
    ]
    needed = [
        min(full, SHORTEST_CUT) if column.gives_way else full
        for full, column in zip(widths, columns, strict=True)
    ]
    shown = list(range(len(columns)))
    while (spare := width + BETWEEN_COLUMNS - sum(needed[at] + BETWEEN_COLUMNS for at in shown)) < 0:
        droppable = [place for place in shown if columns[place].rank]
        if not droppable:
            break
        # Of equal ones the rightmost.
        shown.remove(max(droppable, key=lambda place: (columns[place].rank, place)))
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for place in shown:
        justify: Literal["left", "right"] = "left" if columns[place].left else "right"
        table.add_column(columns[place].name, justify=justify, no_wrap=True, overflow="ellipsis")
    for row in rows:
        cells = [Text(row[place]) for place in shown]
        for place, cell in zip(shown, cells, strict=True):
            if columns[place].gives_way:  # rich would take the room from all columns alike
                cell.truncate(needed[place] + max(0, spare), overflow="ellipsis")
        table.add_row(*cells)
    return table


def _rest(left_out: int, what: str) -> list[RenderableType]:
    return [Text(f"and {left_out:,} more {what}", style="dim")] if left_out > 0 else []


def busiest[View: (ChannelView, QueueView)](
    views: Sequence[View], rates: Mapping[int, tuple[float, float]], room: int | None
) -> list[View]:
    """As many as there is room for, by id: those that pass most, then those that hold most."""
    if room is None or len(views) <= room:
        return list(views)
    ordered = sorted(views, key=lambda each: (-sum(rates.get(each.id, (0.0, 0.0))), -each.depth, each.id))
    return sorted(ordered[:room], key=attrgetter("id"))


def _ids(ids: Sequence[int]) -> str:
    most = 6
    return " ".join(map(str, ids[:most])) + (f" +{len(ids) - most}" if len(ids) > most else "")


def _both(pair: tuple[float, float] | None) -> tuple[str, str]:
    return ("", "") if pair is None else (_rate(pair[0]), _rate(pair[1]))


def _rate(per_second: float) -> str:
    return f"{per_second:,.0f}" if per_second >= 10 or per_second == 0 else f"{per_second:.1f}"


def _bytes(count: int) -> str:
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:,.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:,.3g} TiB"
