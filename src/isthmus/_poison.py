"""What a channel was poisoned with, on its way to everybody who uses that channel.

Packed it is 8 bytes, native byte order: how many follow that say it in words, as UTF-8 (for C++ threads);
those; the exception, or nothing if it was C++ that poisoned the channel.
"""

from __future__ import annotations

import pickle
import sys

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
    words = f"{type(exc).__qualname__}: {exc!s}".encode("utf-8", "backslashreplace")
    return len(words).to_bytes(8, sys.byteorder) + words + pickled


def unpack(data: bytes) -> BaseException:
    """Build the exception to raise here; an InterpreterError that describes it if its class is not known."""
    end = 8 + int.from_bytes(data[:8], sys.byteorder)
    words, pickled = data[8:end].decode("utf-8", "replace"), data[end:]
    if not pickled:
        return InterpreterError(f"the channel was poisoned: {words}")
    stand_in = InterpreterError(f"the channel was poisoned with {words}")
    try:
        exc = pickle.loads(pickled)
    except Exception as error:
        stand_in.__cause__ = error
        return stand_in
    return exc if isinstance(exc, BaseException) else stand_in
