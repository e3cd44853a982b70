"""URLs that are read: of a server (http, https), of this machine (file), or of any other system
that TensorFlow's gfile reads, such as gs, s3 or hdfs.

requests and urllib3 speak HTTP; the limits on size and on slowness, and redirects are checked
here, as neither of them does that.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import time
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from par import __version__
from par.core.errors import DataError
from par.core.text import escape, without_users

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


class Failed(Exception):
    """One attempt at one URL; `again` if another one there may do better."""

    def __init__(self, reason: object, again: bool = False):
        # a server may have written it: no control character reaches the terminal
        super().__init__(escape(without_users(" ".join(str(reason).split()))[:200]))
        self.again = again


def read(url: str, limit: int, timeout: float = TIMEOUT) -> bytes:
    """The content of a URL that has at most `limit` bytes. `timeout` in seconds.

    Raises: Unavailable, with the reason, if it has none, or more.
    """
    for _ in range(ATTEMPTS):
        try:
            return _content(url, limit, timeout)
        except Failed as failure:
            reason = failure
            if not failure.again:
                break
    raise Unavailable(f"{without_users(url)} can't be read ({reason})")


def _content(url: str, limit: int, timeout: float) -> bytes:
    """The content of a URL. Raises: Failed."""
    content = bytearray()
    with opened(url, timeout) as source:
        if source.answer is not None:
            check_answer(source.answer)
        for piece in pieces(source.read, timeout):
            content += piece
            if len(content) > limit:
                raise Failed(f"sends more than {limit:,} bytes")
    return bytes(content)


class Opened(NamedTuple):
    """A URL that is open: what its server answers, None where there is no server; how many bytes
    it has as far as they are told, else ""; and what reads the next piece of them."""

    answer: requests.Response | None
    length: str
    read: Callable[[], bytes]


@contextlib.contextmanager
def opened(url: str, timeout: float, offset: int = 0) -> Iterator[Opened]:
    """Opens a URL; of a server, the bytes from `offset` on are asked for. Raises: Failed."""
    # own: requests has no files, and a redirect must not lead to one
    scheme = url.partition(":")[0].lower()
    if scheme not in ("http", "https"):
        with _network(timeout):
            source, length = (_open_file if scheme == "file" else _open_gfile)(url)
        with source:
            yield Opened(None, str(length), functools.partial(source.read, PIECE))
        return
    headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
    if offset:
        headers["Range"] = f"bytes={offset}-"
    with session_of(scheme) as session:
        with _network(timeout):
            response = session.get(
                url,
                headers=headers,
                stream=True,
                timeout=timeout,
                hooks={"response": _close_redirect},
            )
        with response:
            length = response.headers.get("Content-Length", "")
            read_piece = functools.partial(response.raw.read1, PIECE, decode_content=False)
            yield Opened(response, length, read_piece)


def session_of(scheme: str) -> requests.Session:
    """A session that speaks HTTPS, and where a URL begins so HTTP: no redirect leads elsewhere,
    nor from the former to the latter."""
    session = requests.Session()
    session.max_redirects = MAX_REDIRECTS
    session.adapters.clear()
    for each in {"https", scheme}:
        session.mount(f"{each}://", HTTPAdapter(max_retries=RETRY))
    return session


def _open_file(url: str) -> tuple[io.BufferedReader, int]:
    """A file of this machine, and its bytes. Raises: OSError; Failed if it is not a file."""
    path = url2pathname(urlsplit(url).path)
    if not os.path.isfile(path):  # a pipe would block
        raise Failed("no such file")
    source = open(path, "rb")  # noqa: SIM115
    return source, os.fstat(source.fileno()).st_size


def _open_gfile(url: str) -> tuple[_Gfile, int]:
    """A file of another system that TensorFlow reads, such as gs:// or hdfs://, and its bytes.
    Raises: OSError."""
    source = _Gfile(url)
    return source, source.length()


class _Gfile(contextlib.AbstractContextManager):
    """A file as TensorFlow's gfile reads it, with the errors of the system's own files."""

    def __init__(self, url: str):
        import tensorflow as tf

        self._file, self._error = tf.io.gfile.GFile(url, "rb"), tf.errors.OpError

    def read(self, size: int) -> bytes:
        """The next bytes, at most `size`. Raises: OSError."""
        return self._told(self._file.read, size)

    def length(self) -> int:
        """The bytes of the whole file. Raises: OSError."""
        return self._told(self._file.size)

    def _told(self, work: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return work(*arguments)
        except self._error as error:
            raise OSError(error.message or type(error).__name__) from None

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _close_redirect(response: requests.Response, **_: object) -> None:
    """What comes with a redirect is not read: requests would, however much it is."""
    if response.is_redirect:
        response.close()


def check_answer(response: requests.Response) -> None:
    """Raises: Failed if a server answers with an error, or with a page for people."""
    if response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
        raise Failed(f"answers {response.status_code} {response.reason}")
    if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "text/html":
        raise Failed("answers with a web page")


def pieces(read_piece: Callable[[], bytes], timeout: float) -> Iterator[bytes]:
    """Piece after piece until the source ends. Raises: Failed if it breaks, or is slower than
    SLOWEST."""
    gained, since, at = 0, time.monotonic(), 0
    while piece := _read(read_piece, timeout, again=gained > 0):
        yield piece
        gained += len(piece)
        if (seconds := time.monotonic() - since) > timeout:
            if gained - at < SLOWEST * seconds:
                raise Failed(f"sends only {(gained - at) / seconds:.0f} bytes a second")
            since, at = time.monotonic(), gained


def _read(read_piece: Callable[[], bytes], timeout: float, again: bool) -> bytes:
    with _network(timeout, again):
        return read_piece()


@contextlib.contextmanager
def _network(timeout: float, again: bool = False) -> Iterator[None]:
    """Turns what a broken connection or a broken answer raises into Failed."""
    try:
        yield
    except (OSError, HTTPError, ValueError) as error:
        chain = list(_causes(error))
        if any(isinstance(cause, TimeoutError) for cause in chain):
            raise Failed(f"does not answer within {timeout:g} s", again) from None
        cause = chain[-1]
        raise Failed(
            getattr(cause, "strerror", None) or str(cause) or type(cause).__name__, again
        ) from None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those inside: requests wraps urllib3's, and that the system's."""
    while error is not None:
        yield error
        inside = [getattr(error, "reason", None), *reversed(error.args), error.__cause__]
        error = next((cause for cause in inside if isinstance(cause, BaseException)), None)
