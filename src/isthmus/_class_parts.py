"""What classes are made of and pickle has no way for: wrappers, type parameters, marks of `dataclasses`."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    type _Way = Callable[[Any, dict[Any, Any]], Any]


# ---- wrappers


def _reduce_wrapper(wrapper: Any, memo: dict[Any, Any]) -> tuple[Any, ...]:
    return _wrapper, (isinstance(wrapper, classmethod), wrapper.__func__)


def _wrapper(of_class: bool, function: Any) -> Any:
    return classmethod(function) if of_class else staticmethod(function)


def _reduce_property(p: property, memo: dict[Any, Any]) -> tuple[Any, ...]:
    return _property, (p.fget, p.fset, p.fdel, p.__doc__)


def _property(*made_of: Any) -> property:
    return property(*made_of)


def _reduce_cached(cached: Any, memo: dict[Any, Any]) -> Any:
    from isthmus import _functions

    if _functions.is_known_by_name(cached):
        return cached.__qualname__
    wrapped = cached.__wrapped__
    rest = {name: value for name, value in vars(cached).items() if name != "__wrapped__"}
    parameters = cached.cache_parameters()
    return _cached, (wrapped, parameters["maxsize"], parameters["typed"], rest)


def _cached(wrapped: Any, maxsize: int | None, typed: bool, rest: dict[str, Any]) -> Any:
    import functools

    made = functools.lru_cache(maxsize, typed)(wrapped)
    vars(made).update(rest)
    return made


def _reduce_partial_method(method: Any, memo: dict[Any, Any]) -> tuple[Any, ...]:
    # Its own way leaves out the function, which its constructor wants from 3.14 on.
    return _partial_method, (method.func, method.args, method.keywords)


def _partial_method(function: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    import functools

    return functools.partialmethod(function, *args, **keywords)


# ---- type parameters


def _reduce_parameter(p: Any, memo: dict[Any, Any]) -> Any:
    module: Any = sys.modules.get(p.__module__) if isinstance(p.__module__, str) else None
    name = p.__name__
    if p.__module__ != "__main__" and getattr(module, name, None) is p:
        return name
    kind = type(p).__name__
    options: dict[str, Any] = {"default": p.__default__} if p.has_default() else {}
    constraints: tuple[Any, ...] = ()
    if kind == "TypeVar":
        constraints = p.__constraints__
        options["infer_variance"] = p.__infer_variance__
    if kind != "TypeVarTuple":
        bound = None if constraints else p.__bound__
        options |= {"bound": bound, "covariant": p.__covariant__, "contravariant": p.__contravariant__}
    return _parameter, (kind, p.__name__, p.__module__, constraints, options)


def _parameter(
    kind: str, name: str, module: str | None, constraints: tuple[Any, ...], options: dict[str, Any]
) -> Any:
    import typing

    p = getattr(typing, kind)(name, *constraints, **options)
    if module is not None:
        p.__module__ = module
    return p


def _reduce_forward(reference: Any, memo: dict[Any, Any]) -> tuple[Any, ...]:
    r = reference
    module = r.__forward_module__ if isinstance(r.__forward_module__, str) else None
    return _forward, (r.__forward_arg__, r.__forward_is_argument__, module, r.__forward_is_class__)


def _forward(arg: str, is_argument: bool, module: str | None, is_class: bool) -> Any:
    import typing

    return typing.ForwardRef(arg, is_argument=is_argument, module=module, is_class=is_class)


# ---- marks


def _reduce_mark(mark: object, memo: dict[Any, Any]) -> str:
    """`dataclasses.MISSING` and its like are what they are."""
    found = vars(sys.modules["dataclasses"])
    name: str = next(name for name, value in found.items() if value is mark)
    return name


def add_types(table: dict[type, _Way]) -> None:
    """Put in the types known so far."""
    import _typing  # type: ignore[import-not-found]

    table[staticmethod] = table[classmethod] = _reduce_wrapper
    table[property] = _reduce_property
    for name in ("TypeVar", "ParamSpec", "TypeVarTuple"):
        table[getattr(_typing, name)] = _reduce_parameter
    typing: Any = sys.modules.get("typing")
    if typing is not None and hasattr(typing, "ForwardRef"):
        table[typing.ForwardRef] = _reduce_forward
    functools: Any = sys.modules.get("functools")
    if functools is not None and hasattr(functools, "_lru_cache_wrapper"):
        table[functools._lru_cache_wrapper] = _reduce_cached
        table[functools.partialmethod] = _reduce_partial_method
    dataclasses: Any = sys.modules.get("dataclasses")
    if dataclasses is not None:
        for name in ("_MISSING_TYPE", "_FIELD_BASE", "_HAS_DEFAULT_FACTORY_CLASS", "_KW_ONLY_TYPE"):
            kind = getattr(dataclasses, name, None)
            if isinstance(kind, type):
                table[kind] = _reduce_mark
