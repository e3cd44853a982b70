"""A file of known digest (par/data/known_file.py), fetched from the first of several URLs that has
it, or not at all.

The digest decides what is right, not where the bytes came from: so a download is continued at any
mirror, without a validator (If-Range), and a partial file that turns out wrong is discarded and
fetched anew. requests and urllib3 speak HTTP; continuing, the digest, the limits on size and on
slowness, and redirects are checked here, as neither of them does that.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from par import __version__
from par.core.errors import DataError, StoppedError, UsageError
from par.core.progress import Progress, announce
from par.core.text import escape
from par.data.known_file import Known, clear, keep, partial, size_of, write

# wikitext.smerity.com answers 403 to urllib's own
USER_AGENT = f"Mozilla/5.0 (compatible; par-transformer-xl/{__version__})"
TIMEOUT = 15.0  # seconds without an answer or a byte
SLOWEST = 500  # bytes a second: less, over TIMEOUT, and the next mirror is tried
ATTEMPTS = 5  # at one URL, as long as each is worth another
PIECE = 1 << 16
RETRY = Retry(  # of a server that is busy for a moment; a broken download is continued below
    total=2,
    connect=0,
    read=0,
    other=0,
    status_forcelist=(429, 502, 503, 504),
    backoff_factor=0.5,
    raise_on_status=False,
    respect_retry_after_header=False,  # it may be hours, and there may be another mirror
)
MAX_REDIRECTS = 10


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
            f"--mirror must be http://HOST/..., https://HOST/... or file:///PATH, but is {url!r}"
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


def _try(url: str, known: Known, file: io.FileIO, timeout: float) -> bool:
    """Whether the partial file now holds the known bytes; each failure is announced."""
    for _ in range(ATTEMPTS):
        resumed = size_of(file)
        try:
            if resumed < known.size:
                _receive(url, known, file, timeout)
            if not (difference := known.differs(file)):
                return True
            clear(file)
            raise _Failed(difference, again=resumed > 0)
        except _Failed as failure:
            is_lost = resumed > 0 and not size_of(file)
            announce(
                f"{url}: {failure}" + (", so what arrived before is discarded" if is_lost else "")
            )
            if not failure.again:
                return False
    return False


def _receive(url: str, known: Known, file: io.FileIO, timeout: float) -> None:
    """Completes the partial file from one URL, whatever it holds. Raises: _Failed."""
    offset = size_of(file)
    announce(f"downloading {url}" + (f" from byte {offset:,} on" if offset else ""))
    with _source(url, known, file, timeout) as (offset, read_piece):
        gained, since, at = 0, time.monotonic(), 0
        with Progress(f"downloading {known.name}", "byte", known.size, done=offset) as made:
            while piece := _read(read_piece, timeout, again=gained > 0):
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


@contextlib.contextmanager
def _source(
    url: str, known: Known, file: io.FileIO, timeout: float
) -> Iterator[tuple[int, Callable[[], bytes]]]:
    """Yields where in the file the bytes begin that a URL gives, and what reads the next piece of
    them; the partial file is cut back to that place. Raises: _Failed."""
    if url.startswith("file:"):  # own: requests has no files, and a redirect must not lead to one
        path = url2pathname(urlsplit(url).path)
        if not os.path.isfile(path):  # a pipe would block
            raise _Failed("no such file")
        with _network(timeout):
            source = open(path, "rb")  # noqa: SIM115
        with source:
            _check_length(str(os.fstat(source.fileno()).st_size), known)
            clear(file)
            yield 0, functools.partial(source.read, PIECE)
        return
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if offset := size_of(file):
        headers["Range"] = f"bytes={offset}-"
    with requests.Session() as session:
        session.max_redirects = MAX_REDIRECTS
        for scheme in ("http://", "https://"):  # nor any other one after a redirect
            session.mount(scheme, HTTPAdapter(max_retries=RETRY))
        with _network(timeout):
            response = session.get(
                url,
                headers=headers,
                stream=True,
                timeout=timeout,
                hooks={"response": _close_redirect},
            )
        with response:
            offset = _accept(response, known, file)
            yield offset, functools.partial(response.raw.read1, PIECE, decode_content=False)


def _close_redirect(response: requests.Response, **_: object) -> None:
    """What comes with a redirect is not read: requests would, however much it is."""
    if response.is_redirect:
        response.close()


def _accept(response: requests.Response, known: Known, file: io.FileIO) -> int:
    """Where in the file the response begins; the partial file is cut back to it. Raises: _Failed
    if it does not answer the request."""
    offset, code = size_of(file), response.status_code
    if code >= HTTPStatus.MULTIPLE_CHOICES:
        is_beyond = code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset > 0
        if is_beyond:
            clear(file)
        raise _Failed(f"answers {code} {response.reason}", again=is_beyond)
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/html":
        raise _Failed("answers with a web page")
    if code != HTTPStatus.PARTIAL_CONTENT:
        _check_length(response.headers.get("Content-Length", ""), known)
        clear(file)
        return 0
    ranges = re.fullmatch(
        r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", "").strip()
    )
    if ranges and ranges[2] != "*":
        _check_length(ranges[2], known)
    if not ranges or ranges[1] != str(offset):
        clear(file)
        raise _Failed("answers with another range than requested", again=offset > 0)
    return offset


def _check_length(length: str, known: Known) -> None:
    """Raises: _Failed if a file is said to have another length."""
    if length not in ("", str(known.size)):
        raise _Failed(f"has {length} bytes, not {known.size}")


def _read(read_piece: Callable[[], bytes], timeout: float, again: bool) -> bytes:
    with _network(timeout, again):
        return read_piece()


@contextlib.contextmanager
def _network(timeout: float, again: bool = False) -> Iterator[None]:
    """Turns what a broken connection or a broken answer raises into _Failed."""
    try:
        yield
    except (OSError, HTTPError, ValueError) as error:
        chain = list(_causes(error))
        if any(isinstance(cause, TimeoutError) for cause in chain):
            raise _Failed(f"does not answer within {timeout:g} s", again) from None
        cause = chain[-1]
        raise _Failed(
            getattr(cause, "strerror", None) or str(cause) or type(cause).__name__, again
        ) from None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those inside: requests wraps urllib3's, and that the system's."""
    while error is not None:
        yield error
        inside = [getattr(error, "reason", None), *reversed(error.args), error.__cause__]
        error = next((cause for cause in inside if isinstance(cause, BaseException)), None)
