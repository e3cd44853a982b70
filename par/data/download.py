"""A file that is known by its digest, fetched from the first of several URLs that has it, or not
at all.

    data/raw/.NAME.partial   what has arrived, held by one process at a time; it outlives a kill,
                             and the next attempt asks for the rest
    data/raw/NAME            appears when the digest is right, and is never replaced

The digest decides what is right, not where the bytes came from: so a download is continued at any
mirror, without a validator (If-Range), and
a partial file that turns out wrong is thrown away and fetched anew.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.client
import io
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from par import __version__
from par.core import files, locks
from par.core.errors import DataError, StoppedError, UsageError
from par.core.progress import Progress, announce
from par.core.text import escape

# wikitext.smerity.com answers 403 to urllib's own
USER_AGENT = f"Mozilla/5.0 (compatible; par-transformer-xl/{__version__})"
TIMEOUT = 15.0  # seconds without an answer or a byte
SLOWEST = 500  # bytes a second: less, over TIMEOUT, and the next mirror is tried
ATTEMPTS = 5  # at one URL, as long as each is worth another
PIECE = 1 << 16
HANDLERS = (  # what urllib.request.build_opener takes, but for ftp: and data:
    urllib.request.ProxyHandler,
    urllib.request.HTTPHandler,
    urllib.request.HTTPSHandler,
    urllib.request.FileHandler,
    urllib.request.UnknownHandler,
    urllib.request.HTTPDefaultErrorHandler,
    urllib.request.HTTPRedirectHandler,
    urllib.request.HTTPErrorProcessor,
)
ALGORITHMS = {"sha256": "SHA-256", "sha1": "SHA-1"}


@dataclasses.dataclass(frozen=True)
class Known:
    """A file known before it is there: name, size in bytes, digest `sha256:HEX` or `sha1:HEX`, and
    where it lies.

    Without `urls` it is only found in an archive or placed by hand; then the size may be an upper
    bound.
    """

    name: str
    size: int
    digest: str
    urls: tuple[str, ...] = ()

    def __str__(self) -> str:
        algorithm, value = self.digest.split(":")
        return f"{ALGORITHMS[algorithm]} {value}"

    def differs(self, file: io.BufferedIOBase | io.RawIOBase) -> str:
        """What the digest of an open file is, if it is another; else an empty text."""
        algorithm, value = self.digest.split(":")
        file.seek(0)
        found = hashlib.file_digest(file, algorithm).hexdigest()
        return "" if found == value else f"its {ALGORITHMS[algorithm]} is {found}, not {value}"

    def misfit(self, path: Path) -> str:
        """Why the file at a path is not this one: its digest beside the known one, or what keeps
        it from being read; else an empty text."""
        try:
            with open(path, "rb") as file:
                return self.differs(file)
        except OSError as error:
            return f"it can't be read ({error.strerror})"

    def check(self, path: Path) -> Path:
        """Returns the path. Raises: DataError, with both digests, if it holds another file or
        can't be read."""
        if misfit := self.misfit(path):
            raise DataError(
                f"{path} is another file than expected: {misfit}; move it away, or see"
                " data/README.md for what belongs there"
            )
        return path


class Unavailable(DataError):
    """No URL has the file."""


class _Failed(Exception):
    """One attempt at one URL; `again` if another one there may do better."""

    def __init__(self, reason: object, again: bool = False):
        # a server may have written it: no control character reaches the terminal
        super().__init__(escape(" ".join(str(reason).split())[:200]))
        self.again = again


def check_url(url: str) -> None:
    """Raises: UsageError unless it is http://HOST/..., https://HOST/... or file:///PATH."""
    try:
        parts = urlsplit(url)
        fits = (
            bool(parts.netloc)
            if parts.scheme in ("http", "https")
            else parts.scheme == "file" and parts.netloc in ("", "localhost")
        )
        fits = fits and (parts.scheme != "file" or parts.path.startswith("/"))
    except ValueError:
        fits = False
    if not fits:
        raise UsageError(
            f"a mirror must be http://HOST/..., https://HOST/... or file:///PATH, but is {url!r}"
        )


def fetch(known: Known, urls: Sequence[str], folder: Path, timeout: float = TIMEOUT) -> Path:
    """The file `folder`/NAME, downloaded unless it is there. Each URL that fails is one line on
    stderr. `timeout` in seconds.

    Raises: Unavailable if no URL has it; DataError if another file is there; ResourceError if the
    disk takes no more; StoppedError when interrupted.
    """
    path = Path(folder) / known.name
    try:
        with partial(path, known.size) as file:
            if path.exists():
                return known.check(path)
            for url in urls:
                if _try(url, known, file, timeout):
                    keep(file, path)
                    return path
    except KeyboardInterrupt:
        raise StoppedError(
            f"stopped while {known.name} was downloaded: what has arrived is kept, and the same"
            " command again continues"
        ) from None
    by_hand = (
        "place it there by hand"
        f" ({', '.join([f'{known.size:,} bytes', str(known), *known.urls[:1]])})"
    )
    raise Unavailable(
        f"{path} can't be downloaded, for the reasons above: {by_hand}, or name a mirror with"
        " --mirror=URL; see data/README.md"
    )


@contextlib.contextmanager
def partial(path: Path, size: int) -> Iterator[io.FileIO]:
    """The open partial file of `path`, for appending, held by this process alone; while another
    one holds it, waits. Left empty, it is removed.

    Raises: ResourceError, naming the path and the `size` in bytes that it needs, if the disk takes
    no more.
    """
    try:
        with _held(path) as file:
            yield file
    except OSError as error:
        if error.errno in files.DISK_ERRORS:
            raise files.write_error(path, size, error) from None
        raise


@contextlib.contextmanager
def _held(path: Path) -> Iterator[io.FileIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = _partial_path(path)

    def announce_wait() -> None:
        announce(f"another process is getting {path}: waiting for it")

    with (
        locks.locked(partial, on_wait=announce_wait) as descriptor,
        open(descriptor, "a+b", buffering=0, closefd=False) as file,
    ):
        try:
            yield file
        finally:
            if not _size(file):
                partial.unlink(missing_ok=True)


def keep(file: io.FileIO, path: Path) -> None:
    """Puts a partial file in its place."""
    os.fsync(file.fileno())
    os.replace(_partial_path(path), path)


def write(file: io.FileIO, piece: bytes) -> None:
    """Appends the whole piece."""
    rest = memoryview(piece)
    while rest:
        rest = rest[file.write(rest) :]


def clear(file: io.FileIO) -> None:
    """Throws away what the partial file holds."""
    if _size(file):
        file.truncate(0)


def _partial_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _size(file: io.FileIO) -> int:
    return os.fstat(file.fileno()).st_size


def _try(url: str, known: Known, file: io.FileIO, timeout: float) -> bool:
    """Whether the partial file holds the known bytes at last; else each failure was announced."""
    for _ in range(ATTEMPTS):
        resumed = _size(file)
        try:
            if resumed < known.size:
                _receive(url, known, file, timeout)
            if not (difference := known.differs(file)):
                return True
            clear(file)
            raise _Failed(difference, again=resumed > 0)
        except _Failed as failure:
            announce(
                f"{url}:"
                f" {failure}{', so what arrived before is thrown away' if resumed and not _size(file) else ''}"
            )
            if not failure.again:
                return False
    return False


def _receive(url: str, known: Known, file: io.FileIO, timeout: float) -> None:
    """Completes the partial file from one URL, without a look at what it holds. Raises:
    _Failed."""
    offset = _size(file)
    announce(f"downloading {url}" + (f" from byte {offset:,} on" if offset else ""))
    with _open(url, offset, file, timeout) as response:
        offset = _accept(response, known, file)
        gained, since, at = 0, time.monotonic(), 0
        with Progress(f"downloading {known.name}", "byte", known.size, done=offset) as made:
            while piece := _read(response, timeout, again=gained > 0):
                if offset + gained + len(piece) > known.size:
                    clear(file)
                    raise _Failed(f"sends more than {known.size:,} bytes", again=offset > 0)
                write(file, piece)
                made(len(piece))
                gained += len(piece)
                if (seconds := time.monotonic() - since) > timeout:
                    if gained - at < SLOWEST * seconds:
                        raise _Failed(f"sends only {(gained - at) / seconds:.0f} bytes a second")
                    since, at = time.monotonic(), gained
    if offset + gained < known.size:
        raise _Failed(f"ended after {offset + gained:,} of {known.size:,} bytes", again=gained > 0)


def _open(url: str, offset: int, file: io.FileIO, timeout: float) -> Any:
    """The response to a request for all bytes from `offset` on."""
    # a pipe would block
    if url.startswith("file:") and not os.path.isfile(
        urllib.request.url2pathname(urlsplit(url).path)
    ):
        raise _Failed("no such file")
    opener = urllib.request.OpenerDirector()
    for handler in HANDLERS:
        opener.add_handler(handler())
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"} | (
        {"Range": f"bytes={offset}-"} if offset else {}
    )
    try:
        with _network(timeout):
            return opener.open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and offset:
                clear(file)
            raise _Failed(
                f"answers {error.code} {error.reason}", again=bool(offset) and not _size(file)
            ) from None


def _accept(response: Any, known: Known, file: io.FileIO) -> int:
    """Where in the file the response begins; the partial file is cut back to it. Raises: _Failed
    if it is no answer to what was asked."""
    if response.headers.get_content_type() == "text/html":
        raise _Failed("answers with a web page")
    offset, length = _size(file), response.headers.get("Content-Length", "")
    if getattr(response, "status", None) != http.client.PARTIAL_CONTENT:
        if length not in ("", str(known.size)):
            raise _Failed(f"has {length} bytes, not {known.size}")
        clear(file)
        return 0
    ranges = re.fullmatch(
        r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
    )
    if ranges and ranges[2] not in ("*", str(known.size)):
        raise _Failed(f"has {ranges[2]} bytes, not {known.size}")
    if not ranges or ranges[1] != str(offset):
        clear(file)
        raise _Failed("answers with another range than was asked for", again=offset > 0)
    return offset


def _read(response: Any, timeout: float, again: bool) -> bytes:
    with _network(timeout, again):
        return response.read1(PIECE)


@contextlib.contextmanager
def _network(timeout: float, again: bool = False) -> Iterator[None]:
    """Turns what a broken connection or a broken answer raises into _Failed; an HTTP status stays
    an HTTPError."""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise _Failed(f"does not answer within {timeout:g} s", again) from None
        raise _Failed(
            getattr(reason, "strerror", None) or reason or type(reason).__name__, again
        ) from None
