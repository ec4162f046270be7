"""bench.py HTTPD: measures the server beside its peers, alternating, in one run. Needs wrk.

Prints medians over the rounds, and their ratios taken round by round, which is what is left to say on a
machine that does other things as well.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent


@contextmanager
def running(*command: str | Path) -> Iterator[int]:
    """The server's port."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline().rpartition(":")[2])
        finally:
            process.send_signal(signal.SIGINT)


def requests_per_second(port: int, seconds: int, connections: int) -> float:
    told = subprocess.run(
        ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", f"http://127.0.0.1:{port}/"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = re.search(r"Requests/sec:\s*([\d.]+)", told)
    assert found is not None, told
    assert "Non-2xx" not in told, told
    return float(found[1])


def seconds_of_upload(port: int, body: bytes) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.connect()
    start = time.perf_counter()
    connection.request("POST", "/", body)
    answer = connection.getresponse()
    answer.read()
    taken = time.perf_counter() - start
    assert answer.status == 200
    connection.close()
    return taken


def copied(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/")
    count = int(connection.getresponse().read().split()[1])
    connection.close()
    return count


def alternating(
    ports: dict[str, int], rounds: int, measure: Callable[[int], float]
) -> dict[str, list[float]]:
    """Each server once a round; the first round is not counted."""
    taken: dict[str, list[float]] = {name: [] for name in ports}
    for number in range(rounds + 1):
        for name, port in ports.items():
            figure = measure(port)
            if number:
                taken[name].append(figure)
    return taken


def tell(title: str, unit: str, taken: dict[str, list[float]], base: str) -> None:
    print(f"\n{title}\n\n| server | {unit} (median) | / {base}, by round: median (least to most) |")
    print("|---|---|---|")
    for name, figures in taken.items():
        ratios = [one / other for one, other in zip(figures, taken[base], strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        print(f"| {name} | {statistics.median(figures):.4g} | {statistics.median(ratios):.2f} ({spread}) |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("httpd", type=Path)
    parser.add_argument("--python", default=sys.executable, help="that has isthmus")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement with wrk")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--upload", type=int, default=64, help="MiB")
    given = parser.parse_args()
    if shutil.which("wrk") is None:
        sys.exit("bench.py needs wrk (Debian: wrk)")

    def ours(stack: ExitStack, handler: str, workers: int, gil: str = "own") -> int:
        options = ["--workers", str(workers), "--gil", gil, "--python", given.python]
        return stack.enter_context(running(given.httpd, HERE / "handlers" / handler, *options))

    def peer(stack: ExitStack, handler: Path, kind: str) -> int:
        return stack.enter_context(running(given.python, HERE / "pool_server.py", handler, kind, "2"))

    print(f"{len(os.sched_getaffinity(0))} CPUs, load before: {os.getloadavg()[0]:.1f}")
    with ExitStack() as stack:
        work = HERE / "handlers" / "work.py"
        ports = {
            "1 interpreter": ours(stack, "work.py", 1),
            "2 interpreters": ours(stack, "work.py", 2),
            "2 threads, one GIL": ours(stack, "work.py", 2, "shared"),
            "asyncio + 2 threads": peer(stack, work, "threads"),
            "asyncio + 2 processes": peer(stack, work, "processes"),
        }
        title = f"CPU-bound handler, {given.connections} connections, {given.rounds} rounds"
        rates = alternating(
            ports, given.rounds, lambda port: requests_per_second(port, given.seconds, given.connections)
        )
        tell(title, "requests/s", rates, "1 interpreter")
    body = os.urandom(1 << 20) * given.upload
    with ExitStack() as stack:
        port = ours(stack, "measure.py", 2)
        ports = {
            "2 interpreters": port,
            "asyncio + 2 threads": peer(stack, HERE / "handlers" / "measure.py", "threads"),
            "asyncio + 2 processes": peer(stack, HERE / "handlers" / "measure.py", "processes"),
        }
        before = copied(port)
        times = alternating(ports, given.rounds, lambda each: seconds_of_upload(each, body))
        tell(f"Upload of {given.upload} MiB", "seconds", times, "2 interpreters")
        print(f"\nPayload bytes that httpd copied for these uploads: {copied(port) - before}")


if __name__ == "__main__":
    main()
