"""A page in headless Chromium, by the DevTools protocol over a pipe: it needs nothing but the
browser, and opens no port.

https://chromedevtools.github.io/devtools-protocol; messages are JSON, each ended by a NUL.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from par.core.errors import ParError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-sync"),
    *("--disable-dev-shm-usage", "--disable-background-networking", "--remote-debugging-pipe"),
)
# the browser reads from descriptor 3 and writes to 4
START = "import os, sys; [os.dup2(int(fd), n) for n, fd in zip((3, 4), sys.argv[1:3])]; "
START += "os.execv(sys.argv[3], sys.argv[3:])"
FIRST_FREE = 10  # of descriptors that are neither
ENDED = "Chromium has ended: see whether it starts at all on this machine"
SECONDS = 120  # in which the browser must answer


def found() -> str | None:
    """The path of the browser, None where there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


class Page:
    """A page that is open."""

    def __init__(self, send: int, receive: int, url: str):
        self._send, self._receive, self._rest, self._number = send, receive, b"", 0
        target = self._call("Target.createTarget", url=url)["targetId"]
        attached = self._call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]

    def value(self, expression: str) -> Any:
        """The value of an expression in JavaScript. Raises: ParError if it throws."""
        how = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        found = self._call("Runtime.evaluate", self._session, **how)
        if failed := found.get("exceptionDetails"):
            told = failed.get("exception", {}).get("description", failed["text"])
            raise ParError(f"the page failed: {told.splitlines()[0]}")
        return found["result"].get("value")

    def until(self, expression: str) -> Any:
        """Waits for a value that counts as true. Raises: ParError if it takes too long."""
        end = time.monotonic() + SECONDS
        while not (value := self.value(expression)):
            if time.monotonic() > end:
                raise ParError(f"the page has not answered within {SECONDS} s: {expression}")
            time.sleep(0.02)
        return value

    def _call(self, method: str, session: str = "", **values: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": values}
        if session:
            message["sessionId"] = session
        try:
            os.write(self._send, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            raise ParError(ENDED) from None
        while (answer := self._message()).get("id") != self._number:
            pass  # an event
        if "error" in answer:
            raise ParError(f"Chromium refused {method}: {answer['error']['message']}")
        return answer["result"]

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._receive], [], [], SECONDS)[0]:
                raise ParError(f"Chromium has not answered within {SECONDS} s")
            read = os.read(self._receive, 1 << 16)
            if not read:
                raise ParError(ENDED)
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


@contextlib.contextmanager
def opened(program: str, path: Path) -> Iterator[Page]:
    """A file as a page. program: of `found`. Raises: ParError if the browser does not work."""
    to_read, send = _pipe()
    receive, to_write = _pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [sys.executable, "-c", START, str(to_read), str(to_write), program, *FLAGS]
        browser = subprocess.Popen(
            [*command, f"--user-data-dir={profile}"],
            pass_fds=(to_read, to_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            os.close(to_read), os.close(to_write)
            yield Page(send, receive, path.resolve().as_uri())
        finally:
            os.close(send), os.close(receive)
            browser.kill()
            browser.wait()


def _pipe() -> tuple[int, int]:
    """A pipe whose ends are no descriptors of START."""
    ends = os.pipe()
    moved = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, FIRST_FREE) for end in ends)
    for end in ends:
        os.close(end)
    return moved
