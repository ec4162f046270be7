"""The fallback crossing: pickle protocol 5, with large and identity-bearing values out of band."""

from __future__ import annotations

import io
import pickle

from isthmus import _functions, _reducers
from isthmus._errors import NotShareableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    type _Hooks = tuple[Callable[[Any], int | None], Callable[[Any], Any]]

_MAX_SEARCHED = 10_000  # objects looked at to name the part that can't cross


class _Pickler(pickle.Pickler):
    def __init__(
        self,
        file: io.BytesIO,
        hooks: _Hooks,
        buffer_callback: Callable[[pickle.PickleBuffer], Any],
    ) -> None:
        # Set before the base looks for them: C functions called for every object, without a Python frame.
        # The second one calls `_reducers.reduce` for what that concerns only.
        self.persistent_id, self.reducer_override = hooks  # type: ignore[method-assign]
        super().__init__(file, 5, buffer_callback=buffer_callback)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, persistents: list[Any], buffers: list[Any]) -> None:
        super().__init__(file, buffers=buffers)
        self._persistents = persistents

    def find_class(self, module: str, name: str) -> Any:
        try:
            return super().find_class(module, name)
        except AttributeError:
            if module != "__main__":
                raise
        raise NotShareableError(
            f"__main__.{name} can't be sent to another interpreter (it crosses by name, and the __main__ "
            "there has no such name; define it in a module that both can import)"
        )

    def persistent_load(self, pid: int) -> Any:
        return self._persistents[pid]


def _dump(obj: object, hooks: _Hooks, buffers: list[pickle.PickleBuffer]) -> bytes:
    file = io.BytesIO()
    # A falsy result keeps a buffer out of band; list.append returns None.
    _Pickler(file, hooks, buffers.append).dump(obj)
    return file.getvalue()


def dumps(obj: object, hooks: _Hooks, buffers: list[pickle.PickleBuffer]) -> bytes:
    """Pickle `obj`; out-of-band buffers go to `buffers`, values with an id are left to the caller."""
    try:
        return _dump(obj, hooks, buffers)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        path, part = _offender(obj, hooks)
        where = f"{path}: " if path else ""
        what = _functions.blamed(part)
        raise NotShareableError(f"{where}{what} can't be sent to another interpreter ({error})") from error


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
        yield from _reducers.parts(obj)


def _fails(obj: object, hooks: _Hooks) -> bool:
    try:
        _dump(obj, hooks, [])
    except (pickle.PicklingError, TypeError, AttributeError):
        return True
    return False


def _offender(obj: object, hooks: _Hooks) -> tuple[str, object]:
    """The innermost part that can't be pickled, and the path to it."""
    path, current = "", obj
    looked_at: set[int] = set()
    while id(current) not in looked_at and len(looked_at) < _MAX_SEARCHED:
        looked_at.add(id(current))
        for step, part in _parts(current):
            if id(part) not in looked_at and _fails(part, hooks):
                path, current = path + step, part
                break
        else:
            break
    return path, current
