"""Puts isthmus in the place of the standard library's modules about interpreters.

Python imports this module at start-up when its folder is on PYTHONPATH: in the process that runs CPython's
tests, in those that the tests start, and in every interpreter of them.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

HERE = Path(__file__).resolve().parent
LIBRARY = Path(importlib.util.__file__).parents[1]

if sys.version_info >= (3, 14):
    PACKAGE = "concurrent.interpreters"
    STANDINS = {
        PACKAGE: "interpreters",
        f"{PACKAGE}._queues": "queues",
        "test.support.channels": "channels",
    }
else:
    PACKAGE = "test.support.interpreters"
    STANDINS = {
        PACKAGE: "interpreters",
        f"{PACKAGE}.queues": "queues",
        f"{PACKAGE}.channels": "channels",
    }


class Finder:
    """First in `sys.meta_path`: finds the stand-ins under the names of what they stand in for."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name not in STANDINS:
            return None
        # What a stand-in doesn't replace (_crossinterp) is found where it is installed.
        inside = [str(LIBRARY.joinpath(*name.split(".")))] if name == PACKAGE else None
        return importlib.util.spec_from_file_location(
            name, HERE / f"standin_{STANDINS[name]}.py", submodule_search_locations=inside
        )


sys.meta_path.insert(0, Finder)
