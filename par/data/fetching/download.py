"""A file of known digest (known_file.py), fetched from the first of several URLs that has
it, or not at all.

The digest decides what is right, not where the bytes came from: so a download is continued at any
mirror, without a validator (If-Range), and a partial file that turns out wrong is discarded and
fetched anew. par/core/urls.py opens the URLs; continuing, and the digest are checked here.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

import requests

from par.core.errors import StoppedError, UsageError
from par.core.progress import Progress, announce
from par.core.text import without_users
from par.core.urls import (
    ATTEMPTS,
    TIMEOUT,
    Failed,
    Unavailable,
    check_answer,
    opened,
    pieces,
)
from par.data.fetching.known_file import Known, clear, keep, partial, size_of, write


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
            "--mirror must be http://HOST/..., https://HOST/... or file:///PATH, but is"
            f" {without_users(url)!r}"
        )


def fetch(
    known: Known,
    urls: Sequence[str],
    folder: Path,
    timeout: float = TIMEOUT,
    remedy: str = "",
) -> Path:
    """The file `folder`/NAME, downloaded unless it is there. Each URL that fails is one line on
    stderr. `timeout` in seconds. remedy: what to do if no URL has the file; "": how to get a
    corpus in another way.

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
    remedy = remedy or f"{by_hand}, or name a mirror with --mirror=URL; see data/README.md"
    raise Unavailable(f"{path} can't be downloaded, for the reasons above: {remedy}")


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
            raise Failed(difference, again=resumed > 0)
        except Failed as failure:
            is_lost = resumed > 0 and not size_of(file)
            announce(
                f"{without_users(url)}: {failure}"
                + (", so what arrived before is discarded" if is_lost else "")
            )
            if not failure.again:
                return False
    return False


def _receive(url: str, known: Known, file: io.FileIO, timeout: float) -> None:
    """Completes the partial file from one URL, whatever it holds. Raises: Failed."""
    offset = size_of(file)
    announce(f"downloading {without_users(url)}" + (f" from byte {offset:,} on" if offset else ""))
    with _source(url, known, file, timeout) as (offset, read_piece):
        gained = 0
        with Progress(f"downloading {known.name}", "byte", known.size, done=offset) as made:
            for piece in pieces(read_piece, timeout):
                if offset + gained + len(piece) > known.size:
                    clear(file)
                    raise Failed(f"sends more than {known.size:,} bytes", again=offset > 0)
                write(file, piece)
                made(len(piece))
                gained += len(piece)
    if offset + gained < known.size:
        raise Failed(f"ended after {offset + gained:,} of {known.size:,} bytes", again=gained > 0)


@contextlib.contextmanager
def _source(
    url: str, known: Known, file: io.FileIO, timeout: float
) -> Iterator[tuple[int, Callable[[], bytes]]]:
    """Yields where in the file the bytes begin that a URL gives, and what reads the next piece of
    them; the partial file is cut back to that place. Raises: Failed."""
    with opened(url, timeout, size_of(file)) as source:
        if source.answer is not None:
            yield _accept(source.answer, known, file), source.read
        else:
            _check_length(source.length, known)
            clear(file)
            yield 0, source.read


def _accept(response: requests.Response, known: Known, file: io.FileIO) -> int:
    """Where in the file the response begins; the partial file is cut back to it. Raises: Failed
    if it does not answer the request."""
    offset, code = size_of(file), response.status_code
    if code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and offset > 0:
        clear(file)
        raise Failed(f"answers {code} {response.reason}", again=True)
    check_answer(response)
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
        raise Failed("answers with another range than requested", again=offset > 0)
    return offset


def _check_length(length: str, known: Known) -> None:
    """Raises: Failed if a file is said to have another length."""
    if length not in ("", str(known.size)):
        raise Failed(f"has {length} bytes, not {known.size}")
