"""What `make run` runs: count the identifiers in real source files, on every core and on one interpreter.

Reads the files named on the command line, or, without any, every source file of the standard library that
this Python has. Prints the ten most common identifiers, the throughput, the time of the same job on one
interpreter, and the payload bytes that were copied between interpreters.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from isthmus.cli.errors import CommandError
from isthmus.cli.map import Report, run_map

SCRIPT = str(Path(__file__).with_name("count_identifiers.py"))


def standard_library() -> list[str]:
    """The source files of the standard library, tests included where they are installed, in a fixed order."""
    root = Path(sysconfig.get_path("stdlib"))
    return sorted(
        str(path) for path in root.rglob("*.py") if "site-packages" not in path.parts and path.is_file()
    )


def one_run(files: list[str], workers: int) -> Report:
    """The job on `workers` interpreters."""
    return run_map(SCRIPT, files, workers=workers)


def show(report: Report, alone: Report, what: str) -> None:
    """Print both runs side by side."""
    print(f"The ten most common identifiers in {what}:\n")
    for name, times in report.result:
        print(f"  {times:>10,}  {name}")
    many = f"{report.workers} interpreters"
    width = max(len(many), len("1 interpreter"))
    print(f"\n  input           {report.bytes / 1e6:,.1f} MB in {report.chunks:,} chunks")
    for label, run in ((many, report), ("1 interpreter", alone)):
        print(f"  {label:<{width}}  {run.seconds:.3f} s, {run.bytes / run.seconds / 1e6:,.1f} MB/s")
    print(f"  speed-up        {alone.seconds / report.seconds:.2f} x on {os.process_cpu_count()} cores")
    print(f"  payload copied  {report.payload_bytes_copied:,} bytes between interpreters")


def main(arguments: list[str]) -> int:
    """Run the job over `arguments`, or over the standard library; returns the exit status."""
    files = arguments or standard_library()
    what = (
        f"{len(files):,} files"
        if arguments
        else f"{len(files):,} files of Python {sys.version.split()[0]}'s library"
    )
    if not files:
        print("no source files of the standard library here; name files to read", file=sys.stderr)
        return 2
    try:
        # The first run also warms the page cache, so that neither timed run waits for the disk.
        one_run(files, 1)
        report = one_run(files, os.process_cpu_count() or 1)
        alone = one_run(files, 1)
    except CommandError as error:
        print(error.report("count_identifiers"), file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("count_identifiers: interrupted", file=sys.stderr)
        return 130
    if report.result != alone.result:
        print("the two runs disagree", file=sys.stderr)
        return 1
    show(report, alone, what)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
