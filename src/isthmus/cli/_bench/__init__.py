"""The rows of `isthmus bench`. Each group of rows runs in a fresh process: see `__main__`."""

from __future__ import annotations
