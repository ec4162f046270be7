"""How long a function takes over all blobs: isolated interpreters beside Python's own sqlite3 module.

    python bench.py UDF [BLOBS [MIB [ROUNDS]]]

UDF is the program that was built. Its rows and the peer's are measured in turn. Each figure is the fastest:
what else the machine does only adds.
"""

from __future__ import annotations

import importlib.util
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPT = HERE / "functions.py"
FUNCTIONS = ("checksum", "sparse_sum")
HOSTS = ("bound", "read", "column")


def make_database(path: Path, blobs: int, size: int) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE blobs(id INTEGER PRIMARY KEY, data BLOB)")
    for _ in range(blobs):
        connection.execute("INSERT INTO blobs(data) VALUES(?)", (os.urandom(size),))
    connection.commit()
    connection.close()


def scalars() -> dict[str, Callable[[bytes], int]]:
    spec = importlib.util.spec_from_file_location("functions", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dict[str, Callable[[bytes], int]] = module.SCALARS
    return found


def peer(path: Path, function: Callable[[bytes], int], threads: int) -> tuple[float, int]:
    """The same statement as `column`, by the module sqlite3: it copies each blob into a `bytes`."""
    sums = [0] * threads
    start = threading.Barrier(threads + 1)

    def work(number: int) -> None:
        connection = sqlite3.connect(path)
        connection.create_function("f", 1, function)
        start.wait()
        sql = "SELECT sum(f(data)) FROM blobs WHERE id % ? = ?"
        (sums[number],) = connection.execute(sql, (threads, number)).fetchone()
        connection.close()

    workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
    for each in workers:
        each.start()
    start.wait()
    began = time.perf_counter()
    for each in workers:
        each.join()
    return time.perf_counter() - began, sum(sums)


def host(program: str, path: Path, function: str, how: str, threads: int) -> tuple[float, int]:
    command = [program, "--python", sys.executable, "--bench", str(path), str(SCRIPT), function, how]
    done = subprocess.run([*command, str(threads)], capture_output=True, text=True, check=True)
    seconds, total = done.stdout.split()
    return float(seconds), int(total)


def main(program: str, blobs: int = 64, mib: int = 4, rounds: int = 5) -> None:
    functions = scalars()
    times: dict[tuple[str, str, int], list[float]] = {}
    totals: dict[str, set[int]] = {name: set() for name in FUNCTIONS}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "blobs.db"
        make_database(path, blobs, mib << 20)
        for _ in range(rounds):
            for name in FUNCTIONS:
                for threads in (1, 2):
                    for how in (*HOSTS, "sqlite3"):
                        if how == "sqlite3":
                            seconds, total = peer(path, functions[name], threads)
                        else:
                            seconds, total = host(program, path, name, how, threads)
                        times.setdefault((name, how, threads), []).append(seconds)
                        totals[name].add(total)
    assert all(len(each) == 1 for each in totals.values()), totals
    print(f"{blobs} blobs of {mib} MiB, the fastest of {rounds} rounds; Python {sys.version.split()[0]}")
    print("| function | blobs | 1 thread | 2 threads | speed-up | 2 threads, beside sqlite3 |")
    print("|---|---|---|---|---|---|")
    for name in FUNCTIONS:
        of_peer = min(times[name, "sqlite3", 2])
        for how in (*HOSTS, "sqlite3"):
            one, two = (min(times[name, how, threads]) for threads in (1, 2))
            ratios = f"{one / two:.2f} x | {of_peer / two:.2f} x"
            print(f"| {name} | {how} | {one * 1e3:.0f} ms | {two * 1e3:.0f} ms | {ratios} |")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:5]))
