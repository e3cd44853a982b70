"""Compares what is on a shelf, and what was fetched from it, with the entries."""

from __future__ import annotations

import contextlib
import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from par.core import files
from par.core.errors import DataError
from par.shelf import cache, packing
from par.shelf.entry import CARD, Entry, Index
from par.shelf.reference import Reference
from par.shelf.shelves import Shelf


class Verified(NamedTuple):
    """What was found of an entry: the entry, None if it can't be read; whether a copy is in the
    cache; everything that is wrong, a line each."""

    reference: Reference
    entry: Entry | None
    is_cached: bool
    faults: list[str]


def verify(reference: Reference, index: Index, cache_dir: Path) -> Verified:
    """Reads the whole archive of an entry, and the copy in the cache if there is one. Nothing is
    changed. index: that of the shelf.

    Raises: ResourceError if the disk has no room for an archive that must be downloaded first.
    """
    shelf, place = Shelf(reference.shelf), cache.place_of(reference, cache_dir)
    is_cached = place.exists()
    try:
        entry = shelf.read_entry(reference)
    except DataError as error:
        return Verified(reference, None, is_cached, [str(error)])
    faults = [*_on_shelf(shelf, entry, index, cache_dir), *_in_cache(place, entry)]
    return Verified(reference, entry, is_cached, faults)


def _on_shelf(shelf: Shelf, entry: Entry, index: Index, cache_dir: Path) -> Iterator[str]:
    """What is wrong with the index, the card and the archive of an entry."""
    if entry.listed not in index.entries:
        yield "the index of the shelf says something else than the entry"
    try:
        card = hashlib.sha256(shelf.read_card(entry)).hexdigest()
        if card != next((file.sha256 for file in entry.files if file.name == CARD), None):
            yield f"{entry.about.tag}.md is not the card in the archive"
        with _archive(shelf, entry, cache_dir) as archive:
            packing.unpack(archive, entry.files, None)
    except DataError as error:
        yield str(error)


def _in_cache(place: Path, entry: Entry) -> Iterator[str]:
    """What is wrong with the copy in the cache, if there is one."""
    kept = cache.kept_entry(place)
    if kept and (changed := kept.differences(entry)):
        yield (
            f"the entry is not that of the copy {place} ({'; '.join(changed)}): a tag must not"
            " change"
        )
    elif place.exists() and (damaged := cache.damage(place, entry)):
        yield f"the copy {place} is damaged ({damaged}): the next use fetches it again"


@contextlib.contextmanager
def _archive(shelf: Shelf, entry: Entry, cache_dir: Path) -> Iterator[Path]:
    """The archive of an entry on this machine, downloaded if it is elsewhere. Raises: DataError if
    it is not the one that the entry says."""
    cache.check_size(entry, entry.archive.size)
    if shelf.directory is not None:
        path = shelf.directory / entry.about.name / entry.archive.name
        if not path.is_file():
            raise DataError(f"archive {path} is missing")
        if misfit := shelf.known(entry).misfit(path):
            raise DataError(f"archive {path} is not the one of the entry: {misfit}")
        yield path
        return
    cache_dir.mkdir(parents=True, exist_ok=True)
    files.check_space(cache_dir, entry.archive.size)
    with tempfile.TemporaryDirectory(prefix=".verify-", dir=cache_dir) as folder:
        yield shelf.download(entry, Path(folder))
