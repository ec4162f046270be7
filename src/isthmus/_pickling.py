"""The fallback crossing: pickle protocol 5, with large and identity-bearing values out of band."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

from isthmus._errors import NotShareableError

_MAX_SEARCHED = 10_000  # objects looked at to name the part that can't cross


class _Pickler(pickle.Pickler):
    def __init__(
        self,
        file: io.BytesIO,
        persistent_id: Callable[[Any], int | None],
        buffer_callback: Callable[[pickle.PickleBuffer], Any],
    ) -> None:
        # Set before the base looks for it: a C function called for every object, without a Python frame.
        self.persistent_id = persistent_id  # type: ignore[method-assign]
        super().__init__(file, 5, buffer_callback=buffer_callback)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, persistents: list[Any], buffers: list[Any]) -> None:
        super().__init__(file, buffers=buffers)
        self._persistents = persistents

    def persistent_load(self, pid: int) -> Any:
        return self._persistents[pid]


def _dump(
    obj: object, persistent_id: Callable[[Any], int | None], buffers: list[pickle.PickleBuffer]
) -> bytes:
    file = io.BytesIO()
    # A falsy result keeps a buffer out of band; list.append returns None.
    _Pickler(file, persistent_id, buffers.append).dump(obj)
    return file.getvalue()


def dumps(
    obj: object, persistent_id: Callable[[Any], int | None], buffers: list[pickle.PickleBuffer]
) -> bytes:
    """Pickle `obj`; out-of-band buffers go to `buffers`, values with an id are left to the caller."""
    try:
        return _dump(obj, persistent_id, buffers)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        path, part = _offender(obj, persistent_id)
        where = f"{path}: " if path else ""
        kind = type(part)
        text = f"{where}{kind.__module__}.{kind.__qualname__} can't be sent to another interpreter ({error})"
        raise NotShareableError(text) from error


def loads(data: bytes, persistents: list[Any], buffers: list[Any]) -> Any:
    """Rebuild what `dumps` took apart."""
    return _Unpickler(io.BytesIO(data), persistents, buffers).load()


def _parts(obj: object) -> Iterator[tuple[str, object]]:
    if isinstance(obj, (tuple, list)):
        yield from ((f"[{i}]", part) for i, part in enumerate(obj))
    elif isinstance(obj, dict):
        for key, part in obj.items():
            yield f"[key {key!r}]", key
            yield f"[{key!r}]", part
    elif isinstance(obj, (set, frozenset)):
        yield from (("{...}", part) for part in obj)
    else:
        yield from ((f".{name}", part) for name, part in getattr(obj, "__dict__", {}).items())


def _fails(obj: object, persistent_id: Callable[[Any], int | None]) -> bool:
    try:
        _dump(obj, persistent_id, [])
    except (pickle.PicklingError, TypeError, AttributeError):
        return True
    return False


def _offender(obj: object, persistent_id: Callable[[Any], int | None]) -> tuple[str, object]:
    """The innermost part that can't be pickled, and the path to it."""
    path, current = "", obj
    looked_at: set[int] = set()
    while id(current) not in looked_at and len(looked_at) < _MAX_SEARCHED:
        looked_at.add(id(current))
        for step, part in _parts(current):
            if id(part) not in looked_at and _fails(part, persistent_id):
                path, current = path + step, part
                break
        else:
            break
    return path, current
