"""Shared payloads: real `bytes` and `str`, one physical memory, and an original that nobody can change."""

from __future__ import annotations

import hashlib
import os
import pickle
import socket
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import isthmus
from _sample_types import Text
from conftest import LARGE, PATIENCE, Running, run_script, until
from isthmus import _isthmus

Create = Callable[..., isthmus.Interpreter]
Spawn = Callable[..., Running]

KINDS: dict[str, Any] = {
    "bytes": bytes(range(250)) * 500,
    "ascii": "a" * LARGE,
    "latin1": "é" * LARGE,
    "ucs2": "€" * LARGE,
    "surrogates": "\ud83d" * LARGE,
    "ucs4": "😀" * LARGE,
}
# What a receiver may try with its twin `x`; each leaves in `result` what came out.
USES = {
    "grow": "x += x[:1]\nresult = x",
    "grow in place": "y = x\ndel x\ny += y[:1]\nresult = y",
    "slice": "result = x[1:]",
    "slice whole": "result = x[:]",
    "join": "result = x[:0].join([x, x])",
    "repeat": "result = x * 2",
    "replace": "result = x.replace(x[:1], x[:1] * 2)",
    "dict key": "d = {x: 1}\nassert d[x] == 1 and d[type(x)(x)] == 1\nresult = next(iter(d))\ndel d",
    "attribute": "class C: pass\nC.value = x\nresult = C.value\ndel C",
    "format": "result = f'{x!s:>5}{x!r:.3}'",
    "percent": "result = x % () if isinstance(x, str) else b'%b' % x",
    "translate": "result = x.upper()",
    "compare": "assert x == (bytes(bytearray(x)) if isinstance(x, bytes) else ''.join(x))\nresult = None",
    "views": "result = bytes(memoryview(x)) if isinstance(x, bytes) else x.encode('utf-8', 'surrogatepass')",
    "hash": "result = hash(x)",
    "pickle": "import pickle\nresult = pickle.loads(pickle.dumps(x))\nassert result == x",
}


def checksum(value: bytes | str) -> str:
    data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
    return hashlib.sha256(data).hexdigest()


def copied() -> int:
    return isthmus.stats().payload_bytes_copied


@pytest.mark.parametrize("kind", KINDS)
def test_what_arrives_is_real_and_lies_in_the_same_memory(interp: isthmus.Interpreter, kind: str) -> None:
    value = KINDS[kind] + KINDS[kind][:5]
    before = isthmus.stats()
    interp.run(
        """if True:
        import isthmus
        assert type(x) in (bytes, str)
        facts = isthmus.describe(x)
        assert facts['kind'] == 'twin' and facts['owner'] is isthmus.get_main(), facts
        assert facts['bytes'] >= len(x) and facts['shares'] >= 1
        slot = facts['slot']
        assert isthmus.owner(x) is isthmus.get_main()
        assert isthmus.same_memory(x, x)
        assert hash(x) == hashed
        size = x.__sizeof__()
        """,
        x=value,
        hashed=hash(value),
    )
    facts = isthmus.describe(value)
    assert facts["kind"] == "original"
    assert facts["owner"] is isthmus.get_main()
    assert facts["slot"] is not None
    r, s = isthmus.create_channel(1)
    interp.run("s.send(x)\ns.close()", s=s)
    assert r.recv() is value
    interp.run("assert slot == expected and size == sized", expected=facts["slot"], sized=value.__sizeof__())
    after = isthmus.stats()
    assert after.payload_bytes_copied == before.payload_bytes_copied
    assert after.twins_made == before.twins_made + 1
    assert after.twins_live == before.twins_live + 1
    interp.run("del x")
    assert isthmus.stats().twins_live == before.twins_live


def test_payloads_are_told_apart(interp: isthmus.Interpreter) -> None:
    a, b = KINDS["bytes"] + b"1", KINDS["bytes"] + b"1"
    assert a == b
    assert not isthmus.same_memory(a, b)
    assert isthmus.same_memory(a, a)
    assert not isthmus.same_memory(b"small", b"s" + b"mall")
    interp.run("import isthmus\nassert not isthmus.same_memory(a, b)\nassert a == b", a=a, b=b)


def test_small_values_have_no_owner() -> None:
    for value in (b"small", "small", 5, None, [b"x"]):
        assert isthmus.owner(value) is None
        facts = isthmus.describe(value)
        assert (facts["owner"], facts["slot"], facts["shares"]) == (None, None, 0)
    assert isthmus.describe(b"small")["kind"] == "copy"
    assert isthmus.describe([])["kind"] == "value or pickle"


def test_a_second_receive_is_the_same_twin(interp: isthmus.Interpreter) -> None:
    value = KINDS["bytes"] + b"2"
    interp.run("assert x is y and (x,)[0] is z[0]", x=value, y=value, z=[value])
    interp.run("kept = x", x=value)
    interp.run("assert x is kept and x is y", x=value)


@pytest.mark.parametrize("kind", KINDS)
def test_forwarding_shares_the_same_memory(new_interp: Create, kind: str) -> None:
    value = KINDS[kind] + KINDS[kind][:3]
    (r, s), (back_r, back_s) = isthmus.create_channel(1), isthmus.create_channel(1)
    before = copied()
    a, b = new_interp(), new_interp()
    a.run("s.send(x)\ndel x", x=value, s=s)
    b.run(
        """if True:
        import isthmus
        x = r.recv()
        facts = isthmus.describe(x)
        assert facts['kind'] == 'twin' and facts['owner'] is isthmus.get_main()
        back.send([x])
        """,
        r=r,
        back=back_s,
    )
    assert back_r.recv()[0] is value
    assert copied() == before
    b.run("assert x == y", y=KINDS[kind] + KINDS[kind][:3])


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_receiver_does_the_original_stays(interp: isthmus.Interpreter, kind: str) -> None:
    value = KINDS[kind] + KINDS[kind][:7]
    before = checksum(value)
    for use, source in USES.items():
        r, s = isthmus.create_channel(1)
        expected: dict[str, Any] = {"x": value}
        exec(source, expected)
        interp.run(source + "\ns.send(result)", x=value, s=s)
        assert r.recv() == expected["result"], use
        assert checksum(value) == before, use
        interp.run("for name in ('x', 'y', 'result', 's'): globals().pop(name, None)")
        assert checksum(value) == before, use


def test_interning_a_twin() -> None:
    """In an interpreter of its own process: an interned string may live as long as its interpreter."""
    run_script(
        """
        import hashlib, isthmus
        isthmus.enable()
        value = "i" * 100_000
        before = hashlib.sha256(value.encode()).digest()
        interp = isthmus.create()
        interp.run('''if True:
            import sys
            interned = sys.intern(x)
            assert interned == x and sys.intern("".join(["i"] * 100_000)) is interned
            setattr(sys, interned, 5)
            assert getattr(sys, x) == 5
            delattr(sys, x)
            del x
            ''', x=value)
        interp.run("assert interned == 'i' * 100_000")
        assert hashlib.sha256(value.encode()).digest() == before
        interp.close()
        assert isthmus.stats().twins_live == 0, isthmus.stats()
        assert hashlib.sha256(value.encode()).digest() == before
        """
    )


def test_the_owner_may_not_change_a_shared_original_in_place(interp: isthmus.Interpreter) -> None:
    text = "".join(["t"] * LARGE)
    interp.prepare_main(x=text)
    grown = text
    del text  # this name holds the only reference of ours: `+=` may work in place, were it not shared
    grown += "more"
    assert grown == "t" * LARGE + "more"
    interp.run("assert x == 't' * 100_000 and len(x) == 100_000")


@pytest.mark.parametrize("first", ["sender", "receiver"])
def test_payloads_outlive_either_side(new_interp: Create, first: str) -> None:
    sender, receiver = new_interp(), new_interp()
    r, s = isthmus.create_channel(None)
    sender.run("x = bytes(range(250)) * 4000\ns.send(x)\ns.send(x)", s=s)
    receiver.run("x = r.recv()", r=r)
    here = r.recv()
    (sender if first == "sender" else receiver).close()
    assert here == bytes(range(250)) * 4000
    if first == "sender":
        assert isthmus.owner(here) is None
        receiver.run("assert x == bytes(range(250)) * 4000\ndel x")
    else:
        sender.run("assert x == bytes(range(250)) * 4000\ndel x")
    again_r, again_s = isthmus.create_channel(1)
    again_s.send(here)
    assert again_r.recv() is here


def test_both_sides_gone_with_a_message_under_way(new_interp: Create) -> None:
    sender = new_interp()
    r, s = isthmus.create_channel(None)
    sender.run("s.send('u' * 1_000_000)", s=s)
    sender.close()
    assert isthmus.stats().shares_outstanding > 0
    assert r.recv() == "u" * 1_000_000


@pytest.mark.parametrize("how", ["idle", "busy", "blocked"])
def test_a_release_reaches_its_owner(new_interp: Create, spawn: Spawn, tmp_path: Path, how: str) -> None:
    owner, start = new_interp(), isthmus.stats()
    r, s = isthmus.create_channel(None)
    go_r, go_s = isthmus.create_channel(None)
    owner.run("s.send(bytes(1_000_000))", s=s)
    end = tmp_path / "end"
    running: Running | None = None
    if how == "blocked":
        running = spawn(owner, "r.recv()", r=go_r)
        running.until_asleep()
    elif how == "busy":  # with bytecode that makes no call of isthmus
        running = spawn(owner, "import os\nwhile not os.path.exists(end): pass", end=str(end))
    value = r.recv()
    assert isthmus.stats().shares_outstanding == start.shares_outstanding + 1
    del value
    try:
        assert until(lambda: isthmus.stats().slots_live == start.slots_live)
        assert isthmus.stats().shares_outstanding == start.shares_outstanding
    finally:
        end.touch()
        go_s.send(None)
        if running is not None:
            running.join()


def test_subclasses_are_not_twins(interp: isthmus.Interpreter) -> None:
    text = Text("x" * LARGE)
    r, s = isthmus.create_channel(1)
    interp.run("import isthmus\nassert isthmus.owner(x) is None\ns.send(x)", x=text, s=s)
    got = r.recv()
    assert type(got) is Text
    assert got == text
    assert got is not text
    assert isthmus.owner(text) is None


def test_a_block_that_shrinks_leaves_its_slot() -> None:
    a, b = socket.socketpair()
    with a, b:
        before = isthmus.stats().slots_live
        a.send(b"x" * 100)
        got = b.recv(1_000_000)
        assert len(got) == 100
        assert isthmus.stats().slots_live == before
        assert isthmus.describe(got)["slot"] is None


def test_a_string_that_grows_enters_a_slot(interp: isthmus.Interpreter) -> None:
    before = copied()
    text = "".join(["s"] * 1000)
    for _ in range(100):
        text += "s" * 1000
    interp.run("assert x == 's' * 101_000", x=text)
    assert copied() == before


def test_what_usual_calls_make_is_sendable_as_it_lies(interp: isthmus.Interpreter, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"f" * LARGE)
    with path.open("rb") as file:
        made: dict[str, bytes | str] = {
            "read": file.read(),
            "pread": os.pread(file.fileno(), LARGE, 0),
            "join": b"".join([b"j" * 1000] * 101),
            "compress": zlib.compress(os.urandom(LARGE), 0),
            "dumps": pickle.dumps([1.5] * LARGE),
            "decode": (b"d" * LARGE).decode(),
            "encode": ("e" * LARGE).encode(),
            "text": path.read_text(),
        }
    before = copied()
    for name, value in made.items():
        interp.run("assert hash(x) == hashed, name\ndel x", x=value, hashed=hash(value), name=name)
        assert copied() == before, name


def test_hashes_are_carried_and_agree(interp: isthmus.Interpreter) -> None:
    for kind, value in KINDS.items():
        known, unknown = value + value[:1], value + value[:2]
        hash(known)
        interp.prepare_main(a=known, b=unknown, kind=kind)
        interp.run("hashes = (hash(a), hash(b))")
        interp.run("assert hashes == expected, kind", expected=(hash(known), hash(unknown)))


def test_objects_from_before_are_copied_once_while_shares_are_out() -> None:
    run_script(
        """
        import isthmus
        values = [b"o" * 100_000, "é" * 100_000, "€" * 100_000]
        assert all(isthmus.describe(each)["kind"] == "copy" for each in values)
        isthmus.enable()
        interp = isthmus.create()
        assert isthmus.stats().payload_bytes_copied == 0
        for value in values:
            before = isthmus.stats().payload_bytes_copied
            r, s = isthmus.create_channel(None)
            for _ in range(3):
                s.send(value)
            size = isthmus.stats().payload_bytes_copied - before
            assert value.__sizeof__() - 64 <= size <= value.__sizeof__() + 64, size
            interp.run("x = r.recv(); y = r.recv(); assert x is y; s.send(x)", r=r, s=s)
            assert r.recv() is value and r.recv() is value
            assert isthmus.owner(value) is isthmus.get_main()
            interp.run("import isthmus; assert isthmus.describe(x)['kind'] == 'twin'; del x, y, r, s")
            assert isthmus.stats().payload_bytes_copied - before == size
        # A new sharing period copies anew: nothing of the old one is kept.
        assert isthmus.stats().slots_live == 0, isthmus.stats()
        interp.run("assert x == b'o' * 100_000; del x", x=values[0])
        assert isthmus.stats().payload_bytes_copied == before + size + values[0].__sizeof__()
        """
    )


def test_placement_begins_with_the_first_create_or_enable() -> None:
    run_script(
        """
        import isthmus
        assert isthmus.describe(b"x" * 100_000)["slot"] is None
        isthmus.enable()
        isthmus.enable()
        assert isthmus.describe(b"x" * 100_000)["slot"] is not None
        assert isthmus.stats().slots_live == 0
        """
    )
    run_script(
        """
        import isthmus
        with isthmus.create():
            assert isthmus.describe(b"x" * 100_000)["slot"] is not None
        """
    )


def test_free_slots_are_kept_within_the_budget(interp: isthmus.Interpreter) -> None:
    budget = _isthmus.doctor_facts()["resident_budget"]
    for _ in range(3):
        interp.run("assert len(x) == n\ndel x", x=bytes(budget // 2), n=budget // 2)
    assert until(lambda: isthmus.stats().bytes_resident <= budget)


def test_reference_counts_are_of_ones_own(interp: isthmus.Interpreter) -> None:
    value = KINDS["bytes"] + b"r"
    before = sys.getrefcount(value)
    interp.run("kept = [x] * 1000\nimport sys\nassert sys.getrefcount(x) >= 1000", x=value)
    assert sys.getrefcount(value) == before + 1  # the keeper
    interp.run("del kept, x")
    isthmus.stats()
    assert sys.getrefcount(value) == before
    r, s = isthmus.create_channel(1)
    s.send(value, timeout=PATIENCE)
    del r, s
    isthmus.stats()
    assert sys.getrefcount(value) == before
