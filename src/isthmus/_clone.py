"""What the structured clone leaves to Python: who has a say in how an object crosses, and errors.

The extension asks once a message for every type without a kind of its own (`speaks_for`), and then for each
of its objects (`reduce`). Everything else crosses by its class and attributes, or as pickle takes it apart.
"""

from __future__ import annotations

import copyreg
import pickle
import sys

from isthmus import _exception_values, _functions, _reducers
from isthmus._errors import NotShareableError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    # what was being looked at, in which container, at which index or key
    type _Step = tuple[str, object, Any]

registered: dict[type, tuple[Callable[[Any], object], Callable[[Any], object]]] = {}

# Builtin types that are not found under their names.
_NAMED_IN_TYPES = {
    "NoneType": type(None),
    "EllipsisType": type(...),
    "NotImplementedType": type(NotImplemented),
}


def speaks_for(kind: type) -> int:
    """Whether `reduce` takes objects of exactly this type apart: 0: no; 2: no user's code does."""
    if hasattr(kind, "__cross__"):
        return 1
    if type(kind).__hash__ is not None:  # a metaclass may have none
        if kind in registered or kind in copyreg.dispatch_table:
            return 1
        if kind in _reducers.types():
            return 2
    if issubclass(kind, BaseException):
        return 2 if kind.__module__ == "builtins" else 1
    return 0


def reduce(obj: Any, memo: dict[Any, Any]) -> Any:
    """Like `pickle.Pickler.reducer_override`; a str is the name of a global. `memo` is one dict a message."""
    kind = type(obj)
    if type(kind).__hash__ is not None and kind in registered:
        encode, decode = registered[kind]
        return decode, (encode(obj),)
    cross = getattr(kind, "__cross__", None)
    if cross is not None:
        return cross(obj)
    if type(kind).__hash__ is not None and kind in copyreg.dispatch_table:
        return copyreg.dispatch_table[kind](obj)
    return _reducers.reduce(obj, memo)


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
    if _NAMED_IN_TYPES.get(name) is obj:
        return "types", name
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


def _stood_for(obj: Any) -> object:
    """What an object that is written in the place of another one stands for."""
    match obj:
        case _functions._Module():
            return obj.module
        case _functions.Script() | _functions._Bare():
            return obj.function
        case _exception_values._Bare():
            return obj.exc
    return obj


def _named_part(container: object, inside: list[object]) -> tuple[str, int] | None:
    """What to call the part of a function, class or exception that leads on; which of `inside` it is."""
    if not _reducers.concerns(_stood_for(container)):
        return None
    for name, part in _reducers.parts(
        container if isinstance(container, _functions.Script) else _stood_for(container)
    ):
        for at, each in enumerate(inside):
            if _stood_for(part) is _stood_for(each):
                return name, at
    return None


def _path(steps: list[_Step], offender: object) -> Iterator[str]:
    """Each container's part of the path to what is wrong."""
    in_state = False  # the last container is what an object is made of: its parts are the object's
    owner: Any = None
    at = 0
    while at < len(steps):
        what, container, key = steps[at]
        at += 1
        named = _named_part(container, [*(step[1] for step in steps[at:]), offender])
        if named is not None:
            yield named[0]
            at += named[1]
            in_state = False
            continue
        if what == "[]" and in_state and isinstance(container, tuple):
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
        elif what == "class":
            yield f"<class {type(container).__qualname__}>"
        elif what != "state":
            yield f".<{what}>"
        in_state, owner = what == "state", container


def blame(steps: list[_Step], offender: object, error: BaseException) -> BaseException:
    """The exception to raise instead of `error`, which came up when `offender` was to be taken apart."""
    if not isinstance(error, pickle.PicklingError | TypeError | AttributeError):
        return error
    path = "".join(_path(steps, offender))
    where = f"{path}: " if path else ""
    what = _functions.blamed(offender)
    told = NotShareableError(f"{where}{what} can't be sent to another interpreter ({error})")
    told.__cause__ = error
    return told
