"""Parts of functions and classes that need not cross: annotations, globals that may never be asked for.

Each is a pickle by itself, so that one that can't cross, or be rebuilt where it arrives, is left out alone.
"""

from __future__ import annotations

import io
import pickle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


class _Pickler(pickle.Pickler):
    """For what need not cross. Spare parts have none of their own, so that circles of them end.

    What the message has anyway is not repeated: that goes to `shared`, by itself.
    """

    def __init__(self, file: io.BytesIO, memo: dict[Any, Any], shared: list[object]) -> None:
        super().__init__(file, 5)
        self._outer = memo
        self._shared = shared
        self._memo: dict[Any, Any] = {}

    def persistent_id(self, obj: Any) -> int | None:
        if id(obj) not in self._outer.get("classes", ()) and id(obj) not in self._outer.get("parameters", ()):
            return None
        self._shared.append(obj)
        return len(self._shared) - 1

    def reducer_override(self, obj: Any) -> Any:
        from isthmus import _reducers

        return _reducers.reduce(obj, self._memo, False) if _reducers.concerns(obj) else NotImplemented


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, shared: tuple[object, ...]) -> None:
        super().__init__(file)
        self._shared = shared

    def persistent_load(self, pid: int) -> object:
        return self._shared[pid]


def _taken_apart(value: object, memo: dict[Any, Any], shared: list[object]) -> bytes | None:
    file = io.BytesIO()
    try:
        _Pickler(file, memo, shared).dump(value)
    except Exception:
        return None
    return file.getvalue()


def taken_apart(values: dict[str, Any], memo: dict[Any, Any], shared: list[object]) -> dict[str, bytes]:
    """Those of `values` that can cross, each by itself, for `put_together`, which wants `shared` too."""
    parts = {name: _taken_apart(value, memo, shared) for name, value in values.items()}
    return {name: part for name, part in parts.items() if part is not None}


def put_together(spare: dict[str, bytes], shared: tuple[object, ...]) -> Iterator[tuple[str, Any]]:
    """What `taken_apart` took apart, as far as it can be rebuilt here."""
    for name, part in spare.items():
        try:
            yield name, _Unpickler(io.BytesIO(part), shared).load()
        except Exception:  # a class that is not known here, for one
            continue
