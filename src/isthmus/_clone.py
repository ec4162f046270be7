"""What the structured clone leaves to Python: who has a say in how an object crosses, and errors.

The extension asks once a message for every type without a kind of its own (`speaks_for`), and then for each
of its objects (`reduce`). Everything else crosses by its class and attributes, or as pickle takes it apart.
"""

from __future__ import annotations

import copyreg
import pickle
import sys
from types import CellType, FunctionType

from isthmus import _functions
from isthmus._errors import NotShareableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    # what was being looked at, in which container, at which index or key
    type _Step = tuple[str, object, Any]

registered: dict[type, tuple[Callable[[Any], object], Callable[[Any], object]]] = {}

_SINGLETON_TYPES = {
    type(None): "NoneType",
    type(...): "EllipsisType",
    type(NotImplemented): "NotImplementedType",
}


def speaks_for(kind: type) -> bool:
    """Whether `reduce` takes objects of exactly this type apart."""
    return kind in registered or hasattr(kind, "__cross__") or kind in copyreg.dispatch_table


def reduce(obj: Any, memo: dict[int, Any]) -> Any:
    """Like `pickle.Pickler.reducer_override`; a str is the name of a global. `memo` is one dict a message."""
    kind = type(obj)
    if kind in registered:
        encode, decode = registered[kind]
        return decode, (encode(obj),)
    cross = getattr(kind, "__cross__", None)
    if cross is not None:
        return cross(obj)
    if isinstance(obj, FunctionType | CellType):
        reduced = _functions.reduce(obj, memo)
        return obj.__qualname__ if reduced is NotImplemented and isinstance(obj, FunctionType) else reduced
    known = copyreg.dispatch_table.get(kind)
    if known is not None:
        return known(obj)
    return obj.__qualname__ if isinstance(obj, type) else NotImplemented


# ---- by name


def _module_of(obj: object, name: str) -> str:
    module = getattr(obj, "__module__", None)
    if isinstance(module, str):
        return module
    for found, candidate in list(sys.modules.items()):
        if found not in ("__main__", "__mp_main__") and _at(candidate, name) is obj:
            return found
    return "__main__"


def _at(found: object, name: str) -> object:
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def locate(obj: object, name: str) -> tuple[str, str]:
    """Module and qualified name under which the other side finds `obj`."""
    if obj in _SINGLETON_TYPES:
        return "types", _SINGLETON_TYPES[obj]
    module = _module_of(obj, name)
    if "<locals>" in name.split("."):
        raise NotShareableError(f"it is local: {module}.{name}")
    try:
        __import__(module)
    except ImportError:
        raise NotShareableError(f"its module {module!r} can't be imported") from None
    if _at(sys.modules.get(module), name) is not obj:
        raise NotShareableError(f"it is not what is found as {module}.{name}")
    return module, name


def find(module: str, name: str) -> object:
    """The object that `locate` found, here. For the receiver."""
    __import__(module)
    found: Any = sys.modules[module]
    try:
        for part in name.split("."):
            found = getattr(found, part)
    except AttributeError:
        if module != "__main__":
            raise AttributeError(f"Can't get attribute {name!r} on {sys.modules[module]!r}") from None
        raise NotShareableError(
            f"__main__.{name} can't be sent to another interpreter (it crosses by name, and the __main__ "
            "there has no such name; define it in a module that both can import)"
        ) from None
    return found


# ---- errors


def _path(steps: list[_Step]) -> Iterator[str]:
    """Each container's part of the path to what is wrong."""
    in_state = False  # the last container is what an object is made of: its parts are the object's
    rest = iter(steps)
    owner: Any = None
    for what, container, key in rest:
        if what == "state" and isinstance(container, FunctionType | _functions.Script):
            yield _functions.name_of_part(container, (step[2] for step in rest))
        elif what == "[]" and in_state and isinstance(container, tuple):
            continue  # attributes, slots
        elif what == "[]" and in_state and hasattr(owner, "__dataclass_fields__"):
            yield f".{list(owner.__dataclass_fields__)[key]}"  # how one with slots is pickled
        elif what == "[]":
            yield "{...}" if isinstance(container, set | frozenset) else f"[{key}]"
        elif what == "key":
            yield f"[key {key!r}]"
        elif what == "attribute" or (what == "value" and in_state):
            yield f".{key}"
        elif what == "value":
            yield f"[{key!r}]"
        elif what != "state":
            yield f".<{what}>"
        in_state, owner = what == "state", container


def blame(steps: list[_Step], offender: object, error: BaseException) -> BaseException:
    """The exception to raise instead of `error`, which came up when `offender` was to be taken apart."""
    if not isinstance(error, pickle.PicklingError | TypeError | AttributeError):
        return error
    path = "".join(_path(steps))
    where = f"{path}: " if path else ""
    what = _functions.blamed(offender)
    told = NotShareableError(f"{where}{what} can't be sent to another interpreter ({error})")
    told.__cause__ = error
    return told
