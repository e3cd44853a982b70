"""The changelogs of this machine's Debian packages, entry by entry.

    bash (5.2.15-2) unstable; urgency=medium          /usr/share/doc/*/changelog.Debian.gz

      * Fix a crash ...                               the text, without its indentation

     -- Some Maintainer <name@host>  Sun, 15 Jan 2023 16:09:51 +0000

The author is the maintainer by name, the group the source package, the parent the entry before, of
the version before. Packages of one source have the same entries, which are read once. Debian and
Ubuntu bring such files, small images of them do not.
"""

from __future__ import annotations

import gzip
import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from par.core.errors import DataError
from par.core.progress import announce
from par.data.corpus import Corpus
from par.data.document_index import Document, gather

ROOT = Path("/")
PATTERN = "usr/share/doc/*/changelog.Debian.gz"
MAX_BYTES = 64 << 20  # of one changelog; the largest have a few
HEAD = re.compile(r"(\S+) \(([^()\s]+)\)( [^;]+)?;.*")
TRAILER = re.compile(r" -- (.*?)\s*<[^<>]*>.*")
OTHERS = re.compile(r"\s*\[ .+ \]\s*")  # the name of who did the next items


def debian_changelogs(
    split_by: str,
    fractions: Sequence[float],
    directory: Path | None = None,
    root: Path = ROOT,
) -> Corpus:
    """The corpus. Raises: DataError if this machine has no such changelogs."""
    paths = sorted(root.glob(PATTERN))
    if not paths:
        raise DataError(
            f"this machine has no {root / PATTERN}, as only Debian and Ubuntu have, and not their"
            " small images: --corpus=debian-changelogs needs them"
        )
    return gather(
        "debian-changelogs",
        _documents(paths),
        split_by=split_by,
        fractions=fractions,
        files_read=paths,
        directory=directory,
        note=f"{len(paths)} changelogs of {_system(root)}",
    )


def _system(root: Path) -> str:
    """The name of the system, as /etc/os-release gives it."""
    try:
        text = (root / "etc/os-release").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "an unnamed system"
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', text, re.MULTILINE)
    return found[1] if found else "an unnamed system"


def _documents(paths: Sequence[Path]) -> Iterator[Document]:
    """Every entry once, in the order of the files, each file's newest first as it is."""
    seen: set[str | None] = set()
    for file, path in enumerate(paths):
        found: dict[str | None, Document] = {}  # some changelogs have an entry twice
        for entry in _entries(_lines(path)):
            found.setdefault(entry.id, entry)
        for entry, parent in zip(found.values(), [*list(found)[1:], None]):
            if entry.id not in seen:
                seen.add(entry.id)
                yield entry._replace(file=file, parent=parent)


def _lines(path: Path) -> list[str]:
    """The lines of a changelog; none, and a line that says so, where it can't be read."""
    try:
        with gzip.open(path) as file:
            return file.read(MAX_BYTES).decode("utf-8", "replace").split("\n")
    except (OSError, EOFError, zlib.error) as error:
        announce(f"{path} is left out: it can't be read ({error})")
        return []


def _entries(lines: Sequence[str]) -> Iterator[Document]:
    """The entries of a changelog that begin with a head and end with a trailer."""
    head, begin, body = None, 0, []
    for number, line in enumerate(lines, 1):
        if found := HEAD.fullmatch(line):
            head, begin, body = found, number, []
        elif head and (trailer := TRAILER.fullmatch(line)):
            author = " ".join(unicodedata.normalize("NFC", trailer[1]).casefold().split())
            yield Document(
                "\n".join(body), f"{head[1]} {head[2]}", author or None, head[1], line=begin
            )
            head = None
        elif head and not OTHERS.fullmatch(line):
            body.append(line.removeprefix("  ").rstrip())
