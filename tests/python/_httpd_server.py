"""A server of examples/httpd that runs, and the handler it starts with."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
from pathlib import Path
from typing import IO

from _accounts import PATIENCE

HANDLER = """
import isthmus

VERSION = 1

def handle(method, target, headers, body):
    if target == "/copied":
        return str(isthmus.stats().payload_bytes_copied).encode()
    if target == "/fail":
        raise ValueError("for the log only")
    if target == "/loop":
        while True:
            pass
    if target == "/hold":  # until somebody who writes to that file has done so
        with open(body) as held:
            return held.read().encode()
    if target == "/wrong":
        return "text"
    if target == "/split":
        return 200, [("X", "a\\r\\nSet-Cookie: b")], b""
    if target == "/see":
        return 203, [("X-Seen", f"{method} {dict(headers)['X-Sent']}"), ("Content-Length", "7")], body[::-1]
    if target == "/large":
        return bytes(64 << 20)
    if target == "/version":
        return str(VERSION).encode()
    return body
"""


class Server:
    def __init__(self, process: subprocess.Popen[str], log: Path, handler: Path) -> None:
        assert process.stdout is not None
        self.process, self.out, self.log, self.handler = process, process.stdout, log, handler
        line = self.out.readline()
        assert line.startswith("http://127.0.0.1:"), log.read_text()
        self.port = int(line.rpartition(":")[2])

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def ask(
        self, target: str, body: bytes | None = None, on: http.client.HTTPConnection | None = None
    ) -> tuple[int, bytes]:
        connection = on or self.connect()
        try:
            connection.request("GET" if body is None else "POST", target, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            if on is None:
                connection.close()

    def raw(self, sent: bytes) -> bytes:
        """What comes back until the server ends the connection."""
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as plain:
            plain.sendall(sent)
            with plain.makefile("rb") as answer:
                return answer.read()

    def copied(self) -> int:
        return int(self.ask("/copied")[1])

    def reload(self, source: str, log: IO[str], told: str) -> str:
        """Have the handler read again, and return the log's part that ends with `told`."""
        self.handler.write_text(source)
        self.process.send_signal(signal.SIGHUP)
        read = ""
        while told not in read:
            read += log.readline()
            assert self.process.poll() is None, read
        return read

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)
