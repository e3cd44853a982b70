"""A local server that misbehaves in every way, for tests of what downloads."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

BODY = random.Random(1).randbytes(300_007)
OTHER = random.Random(2).randbytes(len(BODY))
PAGE = b"<html><title>Sign in</title></html>" * 50
Behaviour = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers each request to a path with the next behaviour of its script, the last one for ever;
    keeps what was asked for."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.scripts: dict[str, list[Behaviour]] = {}
        self.asked: list[tuple[str, str | None, str]] = []  # path, Range, User-Agent
        self.closing = threading.Event()

    def url(self, path: str, *script: Behaviour) -> str:
        self.scripts[f"/{path}"] = list(script)
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def share(self, root: Path) -> str:
        """The URL of a directory, every file of which is served well."""
        for path in root.rglob("*"):
            if path.is_file():
                self.url(f"{root.name}/{path.relative_to(root).as_posix()}", serve_file(path))
        return f"http://127.0.0.1:{self.server_port}/{root.name}"

    @property
    def ranges(self) -> list[str | None]:
        """The Range header of each request."""
        return [asked for _, asked, _ in self.asked]

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that leaves is not a fault of the server."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers["Range"], self.headers["User-Agent"]))
        script = self.server.scripts.get(self.path, [status(404)])
        (script.pop(0) if len(script) > 1 else script[0])(self)

    def begin(self, code: int, **headers: object) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        pass


@contextlib.contextmanager
def running_server() -> Iterator[Server]:
    """A Server that answers until the block ends."""
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.closing.set()
        running.shutdown()
        thread.join()


# ---- how a server answers ----


def serve_file(path: Path) -> Behaviour:
    """A file as it is when it is asked for."""
    return lambda handler: serve(path.read_bytes())(handler)


def serve(body: bytes, resume: bool = True, **headers: object) -> Behaviour:
    """A file, or what is asked of it."""

    def answer(handler: Handler) -> None:
        asked = handler.headers["Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked and resume else 0
        if start >= len(body):
            handler.begin(416, Content_Range=f"bytes */{len(body)}")
            return
        ranges = (
            {"Content_Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
            if asked and resume
            else {}
        )
        handler.begin(
            206 if ranges else 200, **{"Content_Length": len(body) - start, **ranges, **headers}
        )
        handler.wfile.write(body[start:])

    return answer


def status(code: int, **headers: object) -> Behaviour:
    def answer(handler: Handler) -> None:
        handler.begin(code, Content_Length=len(PAGE), **headers)
        handler.wfile.write(PAGE)

    return answer


def part(
    stop: int,
    length: int | str | None = len(BODY),
    then: Behaviour | None = None,
    body: bytes = BODY,
) -> Behaviour:
    """A body up to `stop`, then nothing more; `length` is what Content-Length promises."""

    def answer(handler: Handler) -> None:
        handler.begin(200, **({"Content_Length": length} if length is not None else {}))
        handler.wfile.write(body[:stop])
        if then:
            then(handler)

    return answer


def wait(handler: Handler) -> None:
    handler.server.closing.wait(120)


def reset(handler: Handler) -> None:
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def silent_first(handler: Handler) -> None:
    wait(handler)


def drip(handler: Handler) -> None:
    for i in range(len(BODY)):
        handler.wfile.write(BODY[i : i + 1])
        if handler.server.closing.wait(0.02):
            return


def endless(handler: Handler) -> None:
    """A hundred times what was asked for: more would fill the disk of whoever breaks the code."""
    handler.begin(200)
    for _ in range(100):
        handler.wfile.write(OTHER)


def broken_chunk(handler: Handler) -> None:
    handler.protocol_version = "HTTP/1.1"
    handler.begin(200, Transfer_Encoding="chunked", Connection="close")
    handler.wfile.write(b"186a1\r\n" + BODY[:1000])
    handler.close_connection = True


def noise(handler: Handler) -> None:
    handler.wfile.write(b"\x1b[31m no HTTP at all\r\n\r\n")


def long_reason(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.0 500 " + b"x" * 9000 + b"\r\n\r\n")


def many_headers(handler: Handler) -> None:
    handler.begin(200, **{f"X_{i}": "x" for i in range(200)})


def loop(handler: Handler) -> None:
    handler.begin(302, Location=handler.path)


def to(url: str) -> Behaviour:
    return lambda handler: handler.begin(302, Location=url)
