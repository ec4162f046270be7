"""Functions on their way between interpreters: by reference if the other side can import them, else by code.

A function by code is a marshalled code object and what belongs to it. It runs with the globals of the
`__main__` where it arrives; the globals it refers to are put there if they are absent. Pickle's memo makes
recursion work: a function is made first, and what it refers to, itself perhaps, is filled in afterwards.

`reduce` is asked (see `_reducers`) for every function and closure cell in a value; its `memo` is one dict for
each message: closure cells by their id, and under names what else must be known of what has been met so far.
"""

from __future__ import annotations

import marshal
import sys
from types import CellType, CodeType, FunctionType, ModuleType

from isthmus import _spare_parts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_ALWAYS_THERE = frozenset({"__builtins__", "__name__", "__doc__", "__package__", "__loader__", "__spec__"})
_MAX_KNOWN = 256  # code objects whose marshalled form is remembered

# marshalled; the globals it can't do without; those it may not need
type _Compiled = tuple[bytes, tuple[str, ...], tuple[str, ...]]
_compiled: dict[tuple[CodeType, str], _Compiled] = {}
_importable: dict[str, tuple[ModuleType, bool]] = {}


# ---- what a function refers to


def _globals_of(code: CodeType, needed: dict[str, None], spare: dict[str, None]) -> None:
    """Collect the names of globals that `code` and the code in it look up, each once and in order.

    Spare are those that may not be meant or never be asked for: a name that a class body binds too, and what
    annotations refer to where they are evaluated lazily (3.14).
    """
    import dis

    lazy = code.co_name == "__annotate__"
    bound: set[str] = set()
    for step in dis.get_instructions(code):
        if step.opname == "STORE_NAME":
            bound.add(step.argval)
        elif step.opname in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS"):
            (spare if lazy or step.argval in bound else needed)[step.argval] = None
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _globals_of(constant, spare if lazy else needed, spare)


def _compiled_form(code: CodeType) -> _Compiled:
    # Code objects compare equal across files, but a traceback shows the file.
    known = _compiled.get((code, code.co_filename))
    if known is None:
        needed: dict[str, None] = {}
        spare: dict[str, None] = {}
        _globals_of(code, needed, spare)
        names = tuple(name for name in needed if name not in _ALWAYS_THERE)
        others = tuple(name for name in spare if name not in _ALWAYS_THERE and name not in needed)
        known = marshal.dumps(code), names, others
        if len(_compiled) >= _MAX_KNOWN:
            _compiled.clear()
        _compiled[code, code.co_filename] = known
    return known


def _found_on_path(module: ModuleType) -> bool:
    """Whether importing the top-level module of that name anew would find this one.

    A module that was loaded from a file outside `sys.path`, or made by hand, is known here only.
    """
    name = module.__name__
    known = _importable.get(name)
    if known is not None and known[0] is module:
        return known[1]
    origin = getattr(module.__spec__, "origin", None)
    result = False
    for finder in sys.meta_path:
        spec = finder.find_spec(name, None)
        if spec is not None:
            result = spec.origin == origin
            break
    _importable[name] = module, result
    return result


def _is_importable(module: object) -> bool:
    if not isinstance(module, ModuleType) or getattr(module, "__spec__", None) is None:
        return False
    top = sys.modules.get(module.__name__.partition(".")[0])
    return isinstance(top, ModuleType) and getattr(top, "__spec__", None) is not None and _found_on_path(top)


def is_known_by_name(f: FunctionType | type) -> bool:
    """Whether a function or class can be imported, under its name, where it arrives."""
    if not isinstance(f.__module__, str) or f.__module__ == "__main__":
        return False
    if f.__module__.startswith("isthmus._"):  # what others are rebuilt by
        return True
    found: Any = sys.modules.get(f.__module__)
    if f.__module__ != "builtins" and not _is_importable(found):
        return False
    for part in f.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is f


# ---- here


class _Module:
    """A module that a function refers to: imported where the function arrives."""

    def __init__(self, module: ModuleType) -> None:
        self.module = module

    def __reduce__(self) -> tuple[Any, ...]:
        name = self.module.__name__
        if sys.modules.get(name) is not self.module or (
            name != "__main__" and not _is_importable(self.module)
        ):
            raise TypeError(f"the module {name!r} can't be imported under its name")
        return _imported, (name,)


class Script:
    """A function that always crosses by code, to be run as a script in `__main__`."""

    def __init__(self, function: FunctionType) -> None:
        self.function = function

    def __reduce__(self) -> tuple[Any, ...]:
        return *_bare_form(self.function, {}), _state(self.function, {}, True), None, None, _fill


class _Bare:
    """A function without anything it refers to, see `bare`."""

    def __init__(self, function: FunctionType, form: tuple[Any, ...]) -> None:
        self.function = function  # alive, so that its id stays its own
        self._form = form

    def __reduce__(self) -> tuple[Any, ...]:
        return self._form


def _annotations_of(f: FunctionType) -> dict[str, Any]:
    try:
        return f.__annotations__
    except Exception:  # evaluated lazily: a name in them may be unknown
        return {}


def sendable(value: object) -> object:
    """What stands for a value that a function or class refers to: modules are imported over there."""
    return _Module(value) if isinstance(value, ModuleType) else value


def _bare_form(f: FunctionType, memo: dict[Any, Any]) -> tuple[Any, ...]:
    closure = f.__closure__ or ()
    for cell in closure:
        memo[id(cell)] = cell
    return _made, (_compiled_form(f.__code__)[0], f.__name__, f.__qualname__, f.__module__, closure)


def _state(f: FunctionType, memo: dict[Any, Any], whole: bool) -> tuple[Any, ...]:
    _, needed, others = _compiled_form(f.__code__)
    contents: list[tuple[object, ...]] = []
    for cell in f.__closure__ or ():
        try:
            contents.append((sendable(cell.cell_contents),))
        except ValueError:  # not bound yet
            contents.append(())
    around = f.__globals__
    parameters = f.__type_params__
    memo.setdefault("parameters", {}).update((id(each), each) for each in parameters)
    shared: list[object] = []
    spare, annotations = {}, {}
    if whole:
        spare = _spare_parts.taken_apart(
            {n: sendable(around[n]) for n in others if n in around}, memo, shared
        )
        annotations = _spare_parts.taken_apart(_annotations_of(f), memo, shared)
    return (
        f.__defaults__,
        f.__kwdefaults__,
        f.__doc__,
        contents,
        {name: sendable(around[name]) for name in needed if name in around},
        spare,
        annotations,
        f.__dict__,
        parameters,
        tuple(shared),
    )


def bare(f: FunctionType, memo: dict[Any, Any]) -> object:
    """What arrives as `f` before anything it refers to does.

    A class is given its methods that way: it may be needed by what they refer to.
    """
    if is_known_by_name(f) or id(f) in memo.setdefault("functions", {}):
        return f
    bares = memo.setdefault("bare functions", {})
    if id(f) not in bares:
        bares[id(f)] = _Bare(f, _bare_form(f, memo))
    return bares[id(f)]


def reduce(obj: FunctionType | CellType, memo: dict[Any, Any], whole: bool = True) -> Any:
    """The reduce value of a function or a cell.

    A cell crosses empty, and its contents with each function that closes over it: so functions that share a
    variable go on sharing it. `whole`: with what it may not need, such as annotations.
    """
    if isinstance(obj, CellType):
        if id(obj) not in memo:
            raise TypeError("cannot pickle 'cell' object")
        return _empty_cell, ()
    if is_known_by_name(obj):
        return obj.__qualname__
    memo.setdefault("functions", {})[id(obj)] = obj
    held = memo.get("bare functions", {}).get(id(obj))
    form = _bare_form(obj, memo) if held is None else (_same, (held,))
    return *form, _state(obj, memo, whole), None, None, _fill


def parts(obj: object) -> Iterator[tuple[str, object]]:
    """What of a function by code may be unable to cross, and how to call it."""
    f = obj.function if isinstance(obj, Script) else obj
    if not isinstance(f, FunctionType) or (f is obj and is_known_by_name(f)):
        return
    name = f.__qualname__
    for variable, cell in zip(f.__code__.co_freevars, f.__closure__ or (), strict=True):
        if cell != CellType():  # bound
            yield f"<{variable!r} in the closure of {name}>", sendable(cell.cell_contents)
    for needed in _compiled_form(f.__code__)[1]:
        if needed in f.__globals__:
            yield f"<the global {needed!r} of {name}>", sendable(f.__globals__[needed])
    for i, value in enumerate(f.__defaults__ or ()):
        yield f"<default {i} of {name}>", value
    for argument, value in (f.__kwdefaults__ or {}).items():
        yield f"<default of {argument!r} of {name}>", value
    for attribute, value in f.__dict__.items():
        yield f"<attribute {attribute!r} of {name}>", value


def blamed(obj: object) -> str:
    """What to call an object that can't cross: its type; a module, by its name."""
    if isinstance(obj, _Module):
        return f"the module {obj.module.__name__!r}"
    kind = type(obj.function if isinstance(obj, Script) else obj)
    return f"{kind.__module__}.{kind.__qualname__}"


# ---- there


def _imported(name: str) -> ModuleType:
    __import__(name)
    return sys.modules[name]


def _empty_cell() -> CellType:
    return CellType()


def _made(data: bytes, name: str, qualname: str, module: str, closure: tuple[CellType, ...]) -> FunctionType:
    main = _imported("__main__").__dict__
    f = FunctionType(marshal.loads(data), main, name, None, closure or None)
    f.__qualname__ = qualname
    f.__module__ = module
    return f


def _same(f: FunctionType) -> FunctionType:
    return f


def _fill(f: FunctionType, state: tuple[Any, ...]) -> None:
    defaults, kwdefaults, doc, contents, needed, spare, annotations, attributes, parameters, shared = state
    f.__defaults__ = defaults
    f.__kwdefaults__ = kwdefaults
    f.__doc__ = doc
    for cell, held in zip(f.__closure__ or (), contents, strict=True):
        if held:
            cell.cell_contents = held[0]
    main = f.__globals__
    for name, value in needed.items():
        main.setdefault(name, value)
    for name, value in _spare_parts.put_together(spare, shared):
        main.setdefault(name, value)
    if parameters:
        f.__type_params__ = parameters
    if annotations:
        f.__annotations__ = dict(_spare_parts.put_together(annotations, shared))
    f.__dict__.update(attributes)


def call_from_main(f: Any, args: tuple[Any, ...], keywords: dict[str, Any] | None) -> Any:
    """Call a builtin that looks at its caller as if `__main__` were that."""
    main = _imported("__main__").__dict__
    if f is eval or f is exec:
        around = (main,) if len(args) == 1 and "globals" not in (keywords or {}) else ()
        return f(*args, *around, **(keywords or {}))
    if args:
        return f(*args, **(keywords or {}))
    return sorted(main) if f is dir else main


# ---- what `exec` takes


def _returns_a_value(code: CodeType) -> bool:
    import dis

    steps = list(dis.get_instructions(code))
    for before, step in zip([None, *steps], steps, strict=False):
        if step.opname == "RETURN_CONST" and step.argval is not None:
            return True
        if step.opname == "RETURN_VALUE" and (
            before is None or not before.opname.startswith("LOAD_") or before.argrepr != "None"
        ):
            return True
    return False


def script(code: CodeType | FunctionType) -> bytes | Script:
    """The form in which code crosses that runs as a script does: without arguments, closure and result."""
    body = code.__code__ if isinstance(code, FunctionType) else code
    takes = body.co_argcount or body.co_kwonlyargcount
    if takes or body.co_flags & 0xC:  # *args, **kwargs
        raise ValueError("code that takes arguments is not a script")
    if body.co_freevars:
        raise ValueError("a closure is not a script")
    if body.co_flags & 0x2A0:  # generators, coroutines, asynchronous generators
        raise ValueError("a generator or coroutine is not a script")
    if _returns_a_value(body):
        raise ValueError("code that returns a value is not a script")
    return Script(code) if isinstance(code, FunctionType) else marshal.dumps(code)
