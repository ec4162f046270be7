"""One group of rows in this process: `python -m isthmus.cli._bench [--quick] GROUP` prints them as JSON.

A fresh process per group keeps what one leaves behind (warm memory, placement, interpreters) out of the next.
"""

from __future__ import annotations

import json
import sys

from isthmus.cli._bench import (
    channels,
    cloning,
    hook,
    hosting,
    interpreters,
    mapping,
    posting,
    releasing,
    views,
    waiting,
)
from isthmus.cli._bench.measure import FULL, QUICK

GROUPS = (
    channels.GROUPS
    | waiting.GROUPS
    | posting.GROUPS
    | releasing.GROUPS
    | views.GROUPS
    | cloning.GROUPS
    | mapping.GROUPS
    | interpreters.GROUPS
    | hook.GROUPS
    | hosting.GROUPS
)


def main(arguments: list[str]) -> int:
    """Measure the group named last; returns the exit status."""
    settings = QUICK if arguments[:-1] == ["--quick"] else FULL
    rows = GROUPS[arguments[-1]](settings)
    print(json.dumps([row.as_json() for row in rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
