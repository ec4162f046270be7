"""How `isthmus bench` shows its rows: a table, Markdown, a picture. Rows are as `Row.as_json` makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["json_machine", "markdown", "plot", "table"]

HEADINGS = ("what", "isthmus", "peer in the same run", "peer / isthmus", "target", "of target")


def figure(value: float) -> str:
    """Three digits that count, thousands apart."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def _spread(numbers: dict[str, Any], unit: str) -> str:
    return f"{figure(numbers['median'])} {unit} ({figure(numbers['min'])} to {figure(numbers['max'])})"


def _lines(row: dict[str, Any]) -> list[tuple[str, ...]]:
    """The cells of a row, one line per peer."""
    unit = row["unit"]
    target, reached = row["target"] or "", ""
    if row["target_ratio"] is not None:
        reached = f"{figure(row['target_ratio'])} x {'met' if row['met'] else 'MISSED'}"
        if row["met"] is None:
            reached = f"{figure(row['target_ratio'])} x, in part not measured"
    lines: list[tuple[str, ...]] = []
    first = (f"{row['name']}: {row['what']}", f"{_spread(row, unit)}, n={row['n']}")
    for name, peer in row["peers"].items() or [("", {"skipped": ""})]:
        head = first if not lines else ("", "")
        tail = (target, reached) if not lines else ("", "")
        if "skipped" in peer:
            lines.append((*head, f"{name}: not measured, {peer['skipped']}" if name else "", "", *tail))
        else:
            spread = f"{name}: {_spread(peer, unit)}, n={peer['n']}"
            lines.append((*head, spread, f"{figure(peer['ratio'])} x", *tail))
    return lines


def table(rows: Sequence[dict[str, Any]]) -> Table:
    """A rich table; medians, extremes in brackets."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=box.SIMPLE_HEAD)
    for heading, ratio in zip(HEADINGS, (5, 3, 5, 1, 3, 1), strict=True):
        shown.add_column(heading, ratio=ratio, overflow="fold", min_width=8)
    for row in rows:
        lines = _lines(row)
        for number, cells in enumerate(lines):
            style = "red" if row["met"] is False else "green" if row["met"] else ""
            texts = [Text(cell) for cell in cells]
            texts[-1].stylize(style)
            shown.add_row(*texts, end_section=number == len(lines) - 1)
    return shown


def markdown(document: dict[str, Any]) -> str:
    """The machine in one line, and the same table for the project's pages."""
    machine = document["machine"]
    text = (
        f"isthmus {document['isthmus']}, Python {machine['python']}, {machine['system']}, "
        f"{machine['cpus']} CPUs ({machine['processor']}), load {machine['load']:.1f} at the start\n\n"
    )
    text += f"| {' | '.join(HEADINGS)} |\n|{'---|' * len(HEADINGS)}\n"
    for row in document["rows"]:
        for cells in _lines(row):
            text += f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |\n"
    return text


def json_machine() -> dict[str, Any]:
    """What the figures depend on besides isthmus."""
    import os
    import platform

    processor = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    processor = line.split(":", 1)[1].strip()
                    break
    except OSError:
        pass
    return {
        "python": platform.python_version(),
        "compiler": platform.python_compiler(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processor": processor,
        "cpus": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
    }


def plot(rows: Sequence[dict[str, Any]], path: str) -> None:
    """Draw how many times better isthmus is than each peer, on a logarithmic axis. Needs matplotlib."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    bars = [
        (f"{row['name']}\n{name}", peer["ratio"])
        for row in rows
        for name, peer in row["peers"].items()
        if "ratio" in peer
    ]
    bars.reverse()
    figure_, axes = pyplot.subplots(figsize=(10, 1 + 0.36 * len(bars)), layout="constrained")
    drawn = axes.barh([name for name, _ in bars], [ratio for _, ratio in bars], height=0.7)
    axes.bar_label(drawn, labels=[f"{figure(ratio)} x" for _, ratio in bars], padding=3, fontsize=8)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.margins(x=0.12)
    axes.set_xlabel("times better than the peer (medians of one run); left of 1: the peer is better")
    axes.tick_params(axis="y", labelsize=8)
    figure_.savefig(path)
