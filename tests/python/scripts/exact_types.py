"""Subclasses that other interpreters can import, with and without the collector's header before them."""

from __future__ import annotations


class Octets(bytes):
    """Lies behind the collector's header, off the object base."""


class BareOctets(bytes):
    """Has no such header: its base is where that of `bytes` would be."""

    __slots__ = ()


class Text(str):
    """Its characters lie in a block of their own."""


class BareText(str):
    """Like `Text`, without a `__dict__`."""

    __slots__ = ()
