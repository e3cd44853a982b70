"""A shelf by its address: a directory, file:///PATH, http(s)://HOST/PATH, or whatever else
TensorFlow's gfile reads, such as gs://BUCKET/PATH."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from par.core import urls
from par.core.errors import DataError, UsageError
from par.core.text import without_users
from par.data.fetching import download
from par.data.fetching.known_file import Known
from par.shelf import entry as entries
from par.shelf.entry import Entry, Index
from par.shelf.reference import Reference

INDEX = "_index.json"
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclasses.dataclass(frozen=True)
class Shelf:
    """A shelf. Raises: UsageError for an address that can't be one."""

    address: str

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.address)
            fits = bool(self.address) and "\0" not in self.address
            if self.is_url:
                fits = fits and not parts.query and not parts.fragment
                is_file = parts.scheme == "file"
                fits = fits and (parts.netloc in ("", "localhost") if is_file else parts.netloc)
        except ValueError:
            fits = False
        if not fits:
            raise UsageError(
                "--shelf must be a directory, file:///PATH, http(s)://HOST/PATH, or another URL"
                f" that TensorFlow reads, without ? and #, but is {str(self)[:200]!r}"
            )

    def __str__(self) -> str:
        return without_users(self.address)

    @property
    def is_url(self) -> bool:
        """Whether the address is a URL, not a directory."""
        return SCHEME.match(self.address) is not None

    @property
    def needs_tensorflow(self) -> bool:
        """Whether only TensorFlow's gfile reads it."""
        scheme = self.address.partition(":")[0].lower()
        return self.is_url and scheme not in ("http", "https", "file")

    @property
    def directory(self) -> Path | None:
        """The directory of a shelf on this machine; None for any other one."""
        if not self.is_url:
            return Path(self.address).absolute()
        if self.address.lower().startswith("file:"):
            return Path(url2pathname(urlsplit(self.address).path))
        return None

    @property
    def base(self) -> str:
        """The URL of the shelf, the same for all ways to write it, without / at its end."""
        if self.directory is not None:
            return self.directory.resolve().as_uri()
        return self.address.rstrip("/")

    def read_entry(self, reference: Reference) -> Entry:
        """The entry that a reference names. Raises: DataError if there is none, it can't be read,
        or is not valid."""
        url = f"{self.base}/{reference.name}/{reference.tag}.json"
        try:
            content = urls.read(url, entries.MAX_BYTES)
        except urls.Unavailable as error:
            raise DataError(
                f"{reference} is not on shelf {self}: {error}; `shelf.py list` prints what is"
            ) from None
        return entries.decode_entry(content, without_users(url), str(reference))

    def read_index(self) -> Index:
        """What is on the shelf. Raises: DataError if that can't be read or is not valid."""
        url = f"{self.base}/{INDEX}"
        try:
            content = urls.read(url, entries.MAX_BYTES)
        except urls.Unavailable as error:
            raise DataError(f"there is no shelf at {self}: {error}") from None
        return entries.decode_index(content, without_users(url))

    def read_card(self, found: Entry) -> bytes:
        """The model card beside an entry. Raises: DataError if it can't be read."""
        return urls.read(f"{self.base}/{found.about.name}/{found.about.tag}.md", entries.MAX_BYTES)

    def known(self, found: Entry) -> Known:
        """The archive of an entry, as it is called where it was downloaded to."""
        archive = found.archive
        return Known(f"{found.listed.name}.tar", archive.size, f"sha256:{archive.sha256}")

    def download(self, found: Entry, folder: Path) -> Path:
        """The archive of an entry, downloaded to `folder`/NAME@TAG.tar.

        Raises: DataError if the shelf does not have the archive that the entry names;
        ResourceError if the disk takes no more; StoppedError when interrupted.
        """
        known = self.known(found)
        path = folder / known.name
        if path.exists() and known.misfit(path):  # of a fetch that was killed, or changed since
            path.unlink()
        url = f"{self.base}/{found.about.name}/{found.archive.name}"
        remedy = f"shelf {self} does not have the archive that its entry names; ask its owner"
        return download.fetch(known, [url], folder, remedy=remedy)
