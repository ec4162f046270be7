"""Classes on their way between interpreters: by code, where the other side can't import them.

A class has one identity in the process: its owner's (the interpreter that defined it) and a number. Where it
arrives it is made once and found again under that key as long as somebody there holds it; in its owner it is
itself. The first definition that arrives counts.

It is made in three steps, so that whatever a class refers to may refer to the class: a skeleton (name,
bases, slots; an enumeration's members), then bare methods, which make instances usable, then everything else.
No code of the class or its bases runs meanwhile: neither metaclass nor `__init_subclass__` nor
`__set_name__`. What they did when the class was defined arrives as its result.
"""

from __future__ import annotations

import sys
import types
from _weakref import ref
from itertools import count
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType

from isthmus import _functions, _spare_parts
from isthmus._isthmus import identity

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    type _Key = tuple[int, int]

_IMMUTABLE, _HEAP_TYPE = 1 << 8, 1 << 9  # Include/object.h
_NOTHING, _FOR_SPARE_PARTS, _WHOLE = range(3)  # how much of a class is here
_LAZY_ANNOTATIONS = frozenset({"__annotate__", "__annotate_func__", "__annotations_cache__"})
_CELLS = frozenset({"__classcell__", "__classdictcell__"})  # of the class body; NamedTuple leaves one
_NOT_COPIED = frozenset({"__module__", "__annotations__", "_abc_impl"}) | _LAZY_ANNOTATIONS | _CELLS


# ---- identity


class _Known(ref[type]):
    """A class with an identity, in the two tables below as long as the class lives."""

    __slots__ = ("ident", "key", "level")

    ident: int
    key: _Key
    level: int

    def __new__(cls, known: type, key: _Key, level: int) -> _Known:
        made = super().__new__(cls, known, _forget)
        made.ident, made.key, made.level = id(known), key, level
        return made

    def __init__(self, known: type, key: _Key, level: int) -> None:
        super().__init__(known, _forget)  # type: ignore[call-arg]


_by_key: dict[_Key, _Known] = {}
_by_id: dict[int, _Known] = {}
_numbers = count(1)


def _forget(gone: Any, by_key: dict[_Key, _Known] = _by_key, by_id: dict[int, _Known] = _by_id) -> None:
    key, ident = gone.key, gone.ident
    if by_key.get(key) is gone:
        del by_key[key]
    if by_id.get(ident) is gone:
        del by_id[ident]


def _key_of(cls: type) -> _Key:
    if id(cls) not in _by_id:
        new = _Known(cls, (identity(), next(_numbers)), _WHOLE)
        known = _by_id.setdefault(id(cls), new)  # another thread may have been first
        _by_key.setdefault(known.key, known)
    return _by_id[id(cls)].key


# ---- here


def _refuse_if_made_in_c(cls: type) -> None:
    if not cls.__flags__ & _HEAP_TYPE or cls.__flags__ & _IMMUTABLE:
        raise TypeError(f"{cls.__module__}.{cls.__qualname__} can't be imported under its name")
    for each in type.mro(type(cls)):
        if each is type:  # the others are Python's
            return
        if not each.__flags__ & _HEAP_TYPE or each.__flags__ & _IMMUTABLE:
            raise TypeError(f"the metaclass of {cls.__qualname__} is made in C")


def _own_slots(cls: type) -> tuple[str, ...] | None:
    """What `__slots__` made of it; None if it has none. Not its value, an iterator perhaps."""
    namespace = vars(cls)
    if "__slots__" not in namespace:
        return None
    found = [name for name, value in namespace.items() if _is_made_by_type(cls, value)]
    # Given by a base anyway, and asked for by name refused beside `int` and the like.
    if any(base.__dictoffset__ for base in cls.__bases__) and "__dict__" in found:
        found.remove("__dict__")
    if any(base.__weakrefoffset__ for base in cls.__bases__) and "__weakref__" in found:
        found.remove("__weakref__")
    return tuple(found)


def _is_made_by_type(cls: type, value: object) -> bool:
    """A slot, or the descriptor of `__dict__` or `__weakref__`, which all classes may share (3.15)."""
    if isinstance(value, GetSetDescriptorType):
        return value.__objclass__ is cls or value.__name__ in ("__dict__", "__weakref__")
    return isinstance(value, MemberDescriptorType) and value.__objclass__ is cls


def _namespace(cls: type) -> dict[str, Any]:
    """What is set on the class once it is made."""
    return {
        name: _functions.sendable(value)
        for name, value in vars(cls).items()
        if name not in _NOT_COPIED and not _is_made_by_type(cls, value)
    }


def _annotations_of(cls: type) -> dict[str, Any]:
    if sys.version_info < (3, 14):
        found = vars(cls).get("__annotations__", {})
    else:
        try:
            found = cls.__annotations__
        except Exception:  # evaluated lazily: a name in them may be unknown
            return {}
    return dict(found) if isinstance(found, dict) else {}


def _virtual_subclasses(cls: type) -> tuple[type, ...] | None:
    """Those registered with an abstract base class; None if it is none."""
    if "_abc_impl" not in vars(cls):
        return None
    import _abc  # type: ignore[import-not-found]

    alive = [each() for each in _abc._get_dump(cls)[0]]
    return tuple(each for each in alive if each is not None)


def _is_enumeration(cls: type) -> bool:
    enum: Any = sys.modules.get("enum")
    return enum is not None and isinstance(cls, enum.EnumType) and "_member_map_" in vars(cls)


def _made_from(member: Any, kind: type) -> tuple[Any, ...]:
    """The arguments of `kind.__new__` for a member that is also an instance of that data type."""
    if kind is object:
        return ()
    if hasattr(kind, "__getnewargs__"):
        return tuple(kind.__getnewargs__(member))
    reduced: Any = vars(kind)["__reduce__"](member) if "__reduce__" in vars(kind) else ()
    return tuple(reduced[1]) if reduced else ()


def _members_of(cls: Any) -> tuple[Any, ...]:
    """Of an enumeration: the data type of its members; each one's name, value and what to make it from; the
    names, aliases included, and the values, with the name of the member each stands for.
    """
    kind = cls._member_type_
    by_name, by_value = vars(cls)["_member_map_"], vars(cls)["_value2member_map_"]
    own = {member._name_: member for member in by_name.values()}
    return (
        kind,
        [(name, member._value_, _made_from(member, kind)) for name, member in own.items()],
        [(name, member._name_) for name, member in by_name.items()],
        # Others are combinations of flags, made when asked for.
        [(v, m._name_) for v, m in by_value.items() if m._name_ in own and own[m._name_] is m],
    )


class _Early:
    """Sets bare methods as soon as the skeleton is made, in the middle of taking the rest apart."""

    def __init__(self, cls: type, methods: dict[str, Any]) -> None:
        self._given = cls, methods

    def __reduce__(self) -> tuple[Any, ...]:
        return _set_early, self._given


class _EarlyWrapper:
    def __init__(self, wrapper: staticmethod[Any, Any] | classmethod[Any, Any, Any], bare: object) -> None:
        self._given = isinstance(wrapper, classmethod), bare

    def __reduce__(self) -> tuple[Any, ...]:
        from isthmus import _class_parts

        return _class_parts._wrapper, self._given


def _methods(namespace: dict[str, Any], memo: dict[Any, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in namespace.items():
        if isinstance(value, FunctionType):
            found[name] = _functions.bare(value, memo)
        elif type(value) in (staticmethod, classmethod) and isinstance(value.__func__, FunctionType):
            found[name] = _EarlyWrapper(value, _functions.bare(value.__func__, memo))
        elif name == "__dataclass_fields__":  # what `__setstate__` of a frozen one with slots looks at
            found[name] = value
    return found


def reduce(cls: Any, memo: dict[Any, Any], whole: bool) -> tuple[Any, ...]:
    """The reduce value of a class that can't be imported. TypeError unless Python code defined it."""
    name = next((name for name, value in vars(types).items() if value is cls), None)
    if name is not None:  # such as that of None
        return _of_types, (name,)
    _refuse_if_made_in_c(cls)
    memo.setdefault("classes", {})[id(cls)] = cls
    parameters: tuple[Any, ...] = (*cls.__type_params__, *vars(cls).get("__parameters__", ()))
    memo.setdefault("parameters", {}).update((id(each), each) for each in parameters)
    shared: list[object] = []
    annotations = _spare_parts.taken_apart(_annotations_of(cls), memo, shared) if whole else {}
    members: tuple[Any, ...] | None = None
    attributes: dict[str, Any] = {}
    namespace = _namespace(cls)
    if _is_enumeration(cls):
        members = _members_of(cls)
        attributes = {each._name_: vars(each) for each in cls._member_map_.values()}
        tables = ("_member_map_", "_value2member_map_")
        namespace = {n: v for n, v in namespace.items() if n not in tables and not isinstance(v, cls)}
    made = (
        _key_of(cls),
        (cls.__name__, cls.__qualname__, cls.__module__),
        cls.__bases__,
        type(cls),
        _own_slots(cls),
        "_abc_impl" in vars(cls),
        members,
    )
    state = (
        _Early(cls, _methods(namespace, memo)),
        _WHOLE if whole else _FOR_SPARE_PARTS,
        namespace,
        annotations,
        tuple(shared),
        attributes,
        _virtual_subclasses(cls) or (),
    )
    return _made, made, state, None, None, _fill


def parts(cls: type) -> Iterator[tuple[str, object]]:
    """What of a class by code may be unable to cross, and how to call it."""
    yield from ((f"<base {i} of {cls.__qualname__}>", each) for i, each in enumerate(cls.__bases__))
    if type(cls) is not type:
        yield f"<metaclass of {cls.__qualname__}>", type(cls)
    if cls.__flags__ & _HEAP_TYPE:
        yield from ((f".{name}", value) for name, value in _namespace(cls).items())


# ---- there


def _of_types(name: str) -> Any:
    return getattr(types, name)


def _quiet(of: type) -> type:
    """A base with the layout of `of` whose `__init_subclass__` does nothing."""

    def nothing(cls: type, /, **keywords: Any) -> None:
        pass

    slots = [
        name
        for name, offset in (("__dict__", of.__dictoffset__), ("__weakref__", of.__weakrefoffset__))
        if offset
    ]
    return type("quiet", (), {"__slots__": slots, "__init_subclass__": nothing})


def _skeleton(name: str, bases: tuple[type, ...], metaclass: type, namespace: dict[str, Any]) -> Any:
    inherited = {n for base in bases for each in base.__mro__[:-1] for n in vars(each)}
    if "__init_subclass__" not in inherited:
        return type.__new__(metaclass, name, bases, namespace)
    # That of a base would run, without the keywords it may want: one before it hides it meanwhile.
    owners = {each for base in bases for each in base.__mro__ if "__init_subclass__" in vars(each)} - {object}
    failure = TypeError("no bases")
    for layout in (*bases, object):
        try:
            made: Any = type.__new__(metaclass, name, (_quiet(layout), *bases), dict(namespace))
            type.__setattr__(made, "__bases__", bases)
            return made
        except TypeError as error:  # layouts differ
            failure = error
    if any(each.__module__ != "typing" for each in owners):
        raise failure
    # Those of Generic and Protocol may run: they want this name, and what they set arrives by itself.
    made = type.__new__(metaclass, name, bases, {**namespace, "__orig_bases__": ()})
    type.__delattr__(made, "__orig_bases__")
    return made


def _add_members(cls: Any, given: tuple[Any, ...]) -> None:
    kind, members, names, values = given
    own: dict[str, Any] = {}
    for name, value, made_from in members:
        member = own[name] = kind.__new__(cls, *made_from)
        member.__dict__.update(_name_=name, _value_=value, __objclass__=cls)
    by_name = {name: own[stands_for] for name, stands_for in names}
    for name, member in by_name.items():
        type.__setattr__(cls, name, member)
    type.__setattr__(cls, "_member_map_", by_name)
    type.__setattr__(cls, "_value2member_map_", {value: own[name] for value, name in values})


def _made(
    key: _Key,
    names: tuple[str, str, str],
    bases: tuple[type, ...],
    metaclass: type,
    slots: tuple[str, ...] | None,
    is_abstract: bool,
    members: tuple[Any, ...] | None,
) -> type:
    """The class of that identity: the one that is here, or a skeleton."""
    held = _by_key.get(key)
    here = held() if held is not None else None
    if here is not None:
        return here
    name, qualname, module = names
    namespace: dict[str, Any] = {"__qualname__": qualname, "__module__": module}
    if slots is not None:
        namespace["__slots__"] = slots
    made: Any = _skeleton(name, bases, metaclass, namespace)
    if is_abstract:
        import _abc

        _abc._abc_init(made)
    if members is not None:
        _add_members(made, members)
    known = _Known(made, key, _NOTHING)
    _by_id[id(made)] = known
    first = _by_key.setdefault(key, known)()  # another thread may have been faster
    if first is None:
        _by_key[key] = known
    return made if first is None else first


def _is_complete(cls: type, level: int) -> bool:
    """Until it is, everybody who receives it fills it: nobody goes on with half a class of another thread."""
    known = _by_id.get(id(cls))
    return known is not None and known.level >= level


def _set_early(cls: type, methods: dict[str, Any]) -> None:
    if not _is_complete(cls, _FOR_SPARE_PARTS):
        for name, method in methods.items():
            type.__setattr__(cls, name, method)


def _fill(cls: Any, state: tuple[Any, ...]) -> None:
    _, level, namespace, annotations, shared, attributes, virtual_subclasses = state
    if _is_complete(cls, level):
        return
    for name, value in namespace.items():
        type.__setattr__(cls, name, value)
    if annotations:
        cls.__annotations__ = dict(_spare_parts.put_together(annotations, shared))
    for name, given in attributes.items():
        vars(cls)["_member_map_"][name].__dict__.update(given)
    for each in virtual_subclasses:
        cls.register(each)
    known = _by_id.get(id(cls))
    if known is not None:
        known.level = level
