"""`isthmus --cmakedir`: where the files are that a C++ host's `find_package(isthmus CONFIG)` needs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isthmus.cli.errors import CallError

__all__ = ["CMakeDirectory", "cmake_directory"]


def cmake_directory(package: Path) -> Path:
    """Where isthmusConfig.cmake is that belongs to the package at `package`. CallError: nowhere."""
    # In a wheel inside the package; under a prefix as `cmake --install` makes it, beside the other libraries.
    for libraries in (package / "lib", package.parents[2]):
        found = libraries / "cmake" / "isthmus"
        if (found / "isthmusConfig.cmake").is_file():
            return found
    raise CallError(
        f"{package} is a source checkout, which holds no package files: use `pip install .`, or "
        "`cmake --install build/release --prefix DIR`"
    )


class CMakeDirectory(argparse.Action):
    """Prints the directory and ends the program, as `--version` does."""

    def __init__(self, option_strings: Sequence[str], dest: str, **_: Any) -> None:
        super().__init__(
            option_strings,
            dest=argparse.SUPPRESS,
            nargs=0,
            help="print where the CMake package of the C++ libraries is (for isthmus_DIR), and exit",
        )

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        import isthmus

        print(cmake_directory(Path(isthmus.__file__).resolve().parent))
        parser.exit()
