"""Only exact `bytes` and `str` are twinned: large objects of other types cross another way."""

from __future__ import annotations

from common import eventually, nothing_is_held
from exact_types import BareOctets, BareText, Octets, Text

import isthmus


def main() -> None:
    isthmus.enable()
    with isthmus.create() as other:
        r, s = isthmus.create_channel(None)
        back_r, back_s = isthmus.create_channel(None)
        data, text = b"b" * 100_000, "t" * 100_000
        for value in (
            Octets(data),
            BareOctets(data),
            Text(text),
            BareText(text),
            bytearray(data),
            tuple(data),
        ):
            made = isthmus.stats().twins_made
            s.send(value)
            other.run("x = r.recv(); s.send((type(x).__name__, len(x))); s.send(x); del x", r=r, s=back_s)
            assert back_r.recv() == (type(value).__name__, 100_000)
            back = back_r.recv()
            assert type(back) is type(value)
            assert back == value
            assert back is not value
            # Its pickle may be a twin, there and back; the object never is.
            assert isthmus.stats().twins_made - made <= 2
            assert isthmus.describe(value)["shares"] == 0
        del value, back
    eventually(lambda: nothing_is_held(2), "everything given back")


main()
