"""What a channel was poisoned with, on its way to everybody who uses that channel."""

from __future__ import annotations

import pickle

from isthmus._errors import InterpreterError, NotShareableError


def pack(exc: BaseException | type[BaseException]) -> bytes:
    """Take the exception down. Each user of the channel gets one of its own."""
    if isinstance(exc, type) and issubclass(exc, BaseException):
        exc = exc()
    if not isinstance(exc, BaseException):
        raise TypeError(f"a channel is poisoned with an exception, not {type(exc).__qualname__}")
    try:
        pickled = pickle.dumps(exc, 5)
    except Exception as error:
        kind = type(exc)
        text = f"{kind.__module__}.{kind.__qualname__} can't be sent to other interpreters ({error})"
        raise NotShareableError(text) from error
    return pickle.dumps((pickled, type(exc).__qualname__, str(exc)), 5)


def unpack(data: bytes) -> BaseException:
    """Build the exception to raise here; an InterpreterError that describes it if its class is not known."""
    pickled, name, text = pickle.loads(data)
    stand_in = InterpreterError(f"the channel was poisoned with {name}: {text}")
    try:
        exc = pickle.loads(pickled)
    except Exception as error:
        stand_in.__cause__ = error
        return stand_in
    return exc if isinstance(exc, BaseException) else stand_in
