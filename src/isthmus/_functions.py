"""Functions on their way between interpreters: by reference if the other side can import them, else by code.

A function by code is a marshalled code object and what belongs to it. It runs with the globals of the
`__main__` where it arrives; the globals it refers to are put there if they are absent. Pickle's memo makes
recursion work: a function is made first, and what it refers to, itself perhaps, is filled in afterwards.

`reduce` is asked by the pickler (see `_pickling`) for every function and closure cell in a value.
"""

from __future__ import annotations

import marshal
import pickle
import sys
from types import CellType, CodeType, FunctionType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    import io
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


def _is_known_by_name(f: FunctionType) -> bool:
    if f.__module__ == __name__:  # what pickles of functions are made of
        return True
    if f.__module__ is None or f.__module__ == "__main__":
        return False
    found: Any = sys.modules.get(f.__module__)
    if not _is_importable(found):
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
        return _by_code(self.function, {}, True)


class _SparePickler(pickle.Pickler):
    """For what need not cross. Spare parts have none of their own, so that circles of them end."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, 5)
        self._cells: dict[int, CellType] = {}

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (FunctionType, CellType)):
            return reduce(obj, self._cells, False)
        return NotImplemented


def _spare_part(value: object) -> bytes | None:
    import io

    file = io.BytesIO()
    try:
        _SparePickler(file).dump(value)
    except Exception:
        return None
    return file.getvalue()


def _spare_parts(values: dict[str, Any]) -> dict[str, bytes]:
    parts = {name: _spare_part(value) for name, value in values.items()}
    return {name: part for name, part in parts.items() if part is not None}


def _annotations_of(f: FunctionType) -> dict[str, Any]:
    try:
        return f.__annotations__
    except Exception:  # evaluated lazily: a name in them may be unknown
        return {}


def _sendable(value: object) -> object:
    return _Module(value) if isinstance(value, ModuleType) else value


def _by_code(f: FunctionType, cells: dict[int, CellType], whole: bool) -> tuple[Any, ...]:
    data, needed, others = _compiled_form(f.__code__)
    closure = f.__closure__ or ()
    contents: list[tuple[object, ...]] = []
    for cell in closure:
        cells[id(cell)] = cell
        try:
            contents.append((_sendable(cell.cell_contents),))
        except ValueError:  # not bound yet
            contents.append(())
    around = f.__globals__
    state = (
        f.__defaults__,
        f.__kwdefaults__,
        f.__doc__,
        contents,
        {name: _sendable(around[name]) for name in needed if name in around},
        _spare_parts({n: _sendable(around[n]) for n in others if n in around}) if whole else {},
        _spare_parts(_annotations_of(f)) if whole else {},
        f.__dict__,
    )
    return _made, (data, f.__name__, f.__qualname__, f.__module__, closure), state, None, None, _fill


def reduce(obj: FunctionType | CellType, cells: dict[int, CellType], whole: bool = True) -> Any:
    """What `pickle.Pickler.reducer_override` returns for a function or a cell.

    A cell crosses empty, and its contents with each function that closes over it: so functions that share a
    variable go on sharing it. `cells` has those of this pickle.
    """
    if isinstance(obj, CellType):
        if id(obj) not in cells:
            raise TypeError("cannot pickle 'cell' object")
        return _empty_cell, ()
    return NotImplemented if _is_known_by_name(obj) else _by_code(obj, cells, whole)


def name_of_part(obj: object, keys: Iterator[Any]) -> str:
    """What to call a part of a function by code that can't cross; `keys` lead to it from its state."""
    f = obj.function if isinstance(obj, Script) else obj
    assert isinstance(f, FunctionType)
    name = f.__qualname__
    group = next(keys, None)
    match group:
        case 0:
            return f"<default {next(keys)} of {name}>"
        case 1:
            return f"<default of {next(keys)!r} of {name}>"
        case 3:
            variable = f.__code__.co_freevars[next(keys)]
            next(keys)  # the one content of the cell
            return f"<{variable!r} in the closure of {name}>"
        case 4:
            return f"<the global {next(keys)!r} of {name}>"
        case 7:
            return f"<attribute {next(keys)!r} of {name}>"
    return f"<{name}>"


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


def _loaded(spare: dict[str, bytes]) -> Iterator[tuple[str, Any]]:
    for name, part in spare.items():
        try:
            yield name, pickle.loads(part)
        except Exception:  # a class that is not known here, for one
            continue


def _fill(f: FunctionType, state: tuple[Any, ...]) -> None:
    defaults, kwdefaults, doc, contents, needed, spare, annotations, attributes = state
    f.__defaults__ = defaults
    f.__kwdefaults__ = kwdefaults
    f.__doc__ = doc
    for cell, held in zip(f.__closure__ or (), contents, strict=True):
        if held:
            cell.cell_contents = held[0]
    main = f.__globals__
    for name, value in needed.items():
        main.setdefault(name, value)
    for name, value in _loaded(spare):
        main.setdefault(name, value)
    if annotations:
        f.__annotations__ = dict(_loaded(annotations))
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
