"""Whatever CPython might do in place to an object that only its holder knows: no other holder sees it."""

from __future__ import annotations

import gc
import io
import zipfile

from common import MIB, eventually, nothing_is_held, payload

import isthmus

#: Run in the interpreter that received `x` (bytes) and `t` (str); each gives up every other reference first.
ATTEMPTS = {
    "BytesIO.write": "b = io.BytesIO(x); del x; b.write(b'!' * 300_000); b.seek(0, 2); b.write(b'!')",
    "BytesIO.getbuffer": "b = io.BytesIO(x); del x; v = b.getbuffer(); v[:] = b'!' * len(v); v.release()",
    "BytesIO.readinto": "b = io.BytesIO(x); del x; b.readinto(bytearray(100_000)); b.write(b'!')",
    "BytesIO.truncate": "b = io.BytesIO(x); del x; b.truncate(70_000); b.seek(0); b.write(b'!')",
    "BytesIO.setstate": "b = io.BytesIO(); b.__setstate__((x, 0, None)); del x; b.write(b'!')",
    "BytesIO.init": "b = io.BytesIO(b'y' * 2000); b.__init__(x); del x; b.write(b'!')",
    "subclass": "class B(io.BytesIO): pass\nb = B(x); del x; b.write(b'!')",
    "zipfile": (
        "import zipfile\nb = io.BytesIO(x); del x\n"
        "with zipfile.ZipFile(b, 'a') as z: z.writestr('more', b'm' * 1000)\n"
        "with zipfile.ZipFile(b) as z: assert z.namelist() == ['first', 'more']"
    ),
    "str +=": "t += 'y'; t += t",
    "bytes +=": "x += b'y'; x += x",
    "join": "u = ''.join([t]); u += '!'; v = b''.join([x]); v += b'!'; del t, x; u += '!'; v += b'!'",
    "intern": "import sys\nk = sys.intern(t); del t; k += '!'",
    "dict key": "d = {t: 1, x: 2}; d[t] += 1; hash(x)",
    "class attribute": "class C: x = x; t = t\nC.t += '!'; setattr(C, t, 1); C.x += b'!'",
    "encode": "t.encode(); t.encode('utf-16'); x.hex()[:1]; bytearray(x)[0:1] = b'!'; memoryview(x)",
    "pickle": "import pickle\npickle.loads(pickle.dumps((x, t))); p = pickle.PickleBuffer(x); p.raw()",
    "replace": "x.replace(b'zzz', b''); t.replace('zzz', ''); t.translate({}); '%s' % t",
    "strip": "x.strip(b'zzz'); t.strip(); t.center(10); x.ljust(10); x[:]; t[:]; bytes(x); str(t)",
    "exec": "compile('#' + 'c' * 10, t[:5], 'exec'); eval(repr(t))",
}

CLEAN = "for n in 'xtuvbdCkzpB': globals().pop(n, None)"
UNCHANGED = "assert sums == (zlib.crc32(x), zlib.crc32(t.encode()))"


def _archive() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("first", payload(MIB))
    return stream.getvalue()


def main() -> None:
    isthmus.enable()
    archive = _archive()
    text = "t" * 200_000
    before = (bytes(bytearray(archive)), "".join(list(text)))
    with isthmus.create() as first, isthmus.create() as second, isthmus.create() as witness:
        held_r, held_s = isthmus.create_channel(None)
        held_s.send((archive, text))
        witness.run("x, t = r.recv(); import zlib; sums = zlib.crc32(x), zlib.crc32(t.encode())", r=held_r)
        for name, attempt in ATTEMPTS.items():
            # Sent by its owner, and forwarded by one that is no owner.
            for turn, other in enumerate((first, second)):
                print(name, turn)
                r, s = isthmus.create_channel(None)
                back_r, back_s = isthmus.create_channel(None)
                s.send((archive, text))
                other.run(f"import io\nx, t = r.recv()\n{attempt}", r=r)
                other.run(CLEAN)
                assert (archive, text) == before, name
                witness.run(UNCHANGED)
                witness.run("s.send((x, t))", s=back_s)
                forwarded = back_r.recv()
                assert forwarded[0] is archive
                assert forwarded[1] is text
                del forwarded
                witness.run("s.send((x, t))", s=s)
                second.run(f"import io\nx, t = r.recv()\n{attempt}", r=r)
                second.run(CLEAN)
                assert (archive, text) == before, name
                witness.run(UNCHANGED)
            # The owner, while others look.
            here = {"x": archive, "t": text, "io": io}
            exec(attempt, here)
            here.clear()
            assert (archive, text) == before, name
            witness.run(UNCHANGED)
    gc.collect()  # the class
    eventually(lambda: nothing_is_held(4), "everything given back")


main()
