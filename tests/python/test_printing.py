"""What calls print, and when it is written."""

from __future__ import annotations

import os
import subprocess
import sys

from _accounts import LIFE

PRINTING = """
import sys
def idle(): pass
def nothing(): sys.stdout.flush()
def words(): print("words", end=" ")
def two(): print("a", end=""); print("b", end=" ")
def below(): sys.stdout.buffer.write(b"below ")
def both(): sys.stdout.write("above "); sys.stdout.flush(); sys.stdout.buffer.write(b"below ")
def long(): sys.stdout.write("x" * 9000 + " ")
def other(): sys.stdout = open(1, "w", closefd=False); print("other", end=" ")
def failing(): print("failing", end=" "); 1 / 0
def broken(): sys.stderr.write("broken ")
"""
PRINTED = {
    "words": "words ",
    "idle": "",
    "nothing": "",
    "two": "ab ",
    "below": "below ",
    "both": "above below ",
    "long": "x" * 9000 + " ",
    "failing": "failing ",
    "other": "other ",
}


def test_what_a_call_prints_is_written_when_it_returns() -> None:
    """However it was written, also by the first call after some that wrote nothing."""
    names = [*PRINTED, "words", "below"]
    code = f"""
import os, isthmus
interp = isthmus.create()
interp.exec({PRINTING!r})
def posted(name):
    interp.post(eval, name + "()").result()
for way in [lambda name: interp.exec(name + "()"), lambda name: interp.exec("idle()") or posted(name)]:
    for name in {names!r}:
        try:
            way(name)
        except isthmus.ExecutionFailed:
            pass
        os.write(1, b"|")
interp.exec("broken()")
os.write(2, b"|")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=LIFE,
        check=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )
    assert done.stdout.split("|") == [*[PRINTED[name] for name in names * 2], ""]
    assert done.stderr == "broken |"


def test_what_is_kept_in_an_interpreter_is_let_go_of_at_its_exit() -> None:
    """Names, and the dict of sys: references of isthmus's own, which nobody else would drop."""
    code = """
import atexit, sys
kept = 0
def after_ours():
    print(kept - sys.getrefcount(sys.__dict__))
atexit.register(after_ours)  # the first one registered runs last
import isthmus
before = sys.getrefcount(sys.__dict__)
isthmus.get_main().post(len, ()).result()
kept = sys.getrefcount(sys.__dict__)
print(kept - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIFE, check=True
    )
    assert done.stdout.split() == ["1", "1"], done
