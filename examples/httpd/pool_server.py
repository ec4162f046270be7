"""The peer of the benchmark: asyncio reads the requests, a pool of threads or processes runs the handlers.

pool_server.py HANDLER.py threads|processes WORKERS. What a Python programmer would write without isthmus; its
reading of HTTP is no more than the benchmark needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import runpy
import sys
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

_handle: Callable[[str, str, list[tuple[str, str]], bytes], bytes]


def load(path: str) -> None:
    """In each worker."""
    global _handle
    _handle = runpy.run_path(path)["handle"]


def call(method: str, target: str, headers: list[tuple[str, str]], body: bytes) -> bytes:
    return _handle(method, target, headers, body)


async def serve(pool: Executor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    loop = asyncio.get_running_loop()
    try:
        while head := await reader.readuntil(b"\r\n\r\n"):
            first, *lines = head.decode("latin-1").rstrip().split("\r\n")
            method, target, _ = first.split()
            headers = [(name, text.strip()) for name, _, text in (line.partition(":") for line in lines)]
            length = int({name.lower(): text for name, text in headers}.get("content-length", 0))
            body = await reader.readexactly(length)
            answer = await loop.run_in_executor(pool, call, method, target, headers, body)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(answer))
            writer.write(answer)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main(path: str, kind: str, workers: int) -> None:
    make = {"threads": ThreadPoolExecutor, "processes": ProcessPoolExecutor}[kind]
    with make(workers, initializer=load, initargs=(path,)) as pool:
        server = await asyncio.start_server(partial(serve, pool), "127.0.0.1", 0, limit=1 << 20)
        print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
        await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
