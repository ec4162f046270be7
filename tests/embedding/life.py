"""Run by host.cpp in each life of Python: uses isthmus in all ways, leaves everything alive."""

# ruff: noqa
import atexit, builtins, faulthandler, io, os, sys, threading

faulthandler.enable()
if os.environ.get("ISTHMUS_TEST_DUMP_AFTER"):
    faulthandler.dump_traceback_later(float(os.environ["ISTHMUS_TEST_DUMP_AFTER"]), exit=True)
import isthmus

before = isthmus.stats()
assert isthmus.get_main().id == 0 and isthmus.get_current() is isthmus.get_main()
assert [each.id for each in isthmus.list_all()] == [0], "interpreters of the life before"
isthmus.enable()
early = bytes([life]) * 1_000_000
assert isthmus.describe(early)["kind"] == "original", (life, isthmus.describe(early))

others = [isthmus.create(gil=gil) for gil in ("own", "own", "shared")]
there, back, left = (isthmus.create_channel(None) for _ in range(3))
lent = bytearray(range(256)) * 1000
buffer = isthmus.SharedBuffer(100_000)
for number, each in enumerate(others):
    there[1].send(early)
    there[1].send("é" * 200_000)
    there[1].send(memoryview(lent))
    there[1].send([buffer, {"x": early}, [1] * 10])
    each.run(
        "import atexit, builtins, io, sys\n"
        "got = [r.recv() for _ in range(4)]\n"
        "stream = io.BytesIO(got[0]); builtins.kept = got; sys.kept = got; ring = [got]; ring.append(ring)\n"
        "name = sys.intern(got[1]); atexit.register(len, got[2])\n"
        "s.send(bytes([n]) * 500_000); s.send_buffer(bytearray([n]) * 500_000); s.send(got)",
        r=there[0],
        s=back[1],
        n=number,
    )
    data, view, own = (back[0].recv() for _ in range(3))
    assert data == bytes(view) == bytes([number]) * 500_000
    assert own[0] is early and own[2] == lent and own[3][1]["x"] is early
    setattr(builtins, f"kept_{number}", [data, view, own])
    left[1].send([data, view, early, each])
kinds = [isthmus.describe(getattr(builtins, f"kept_{n}")[0])["kind"] for n in range(3)]
assert kinds == ["twin", "twin", "original"], kinds

stream = io.BytesIO(data)
ring = [data, view]
ring.append(ring)
local = threading.local()
local.kept = ring
named = sys.intern("n" * 200_000)
atexit.register(lambda: (bytes(view), data[:1]))
never = isthmus.create_channel()
queue = isthmus.create_queue()
queue.put(data)
after = isthmus.stats()
assert after.twins_made >= before.twins_made + 6 and after.fallback_copies == before.fallback_copies
if life % 2:
    others.pop(0).close()
