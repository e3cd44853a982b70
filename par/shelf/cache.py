"""Networks fetched from shelves: each in a directory of its own, checked before every use.

CACHE/<12 digits of the shelf>/en_docs@v1/             appears whole or not at all
CACHE/<12 digits of the shelf>/.en_docs@v1.fetching    the lock of the process that fetches it
CACHE/<12 digits of the shelf>/.en_docs@v1.tar.partial what has arrived; it outlives a kill
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from par.core import files, locks, schema
from par.core.errors import DataError, UsageError
from par.core.progress import announce
from par.shelf import entry as entries
from par.shelf import packing
from par.shelf.entry import Entry
from par.shelf.reference import Reference, is_reference, parse
from par.shelf.shelves import Shelf
from par.train import run_config

MAX_BYTES = 4 << 30  # of an archive, unless more are allowed
DATA = "data"  # the data set inside a run from a shelf


class Fetched(NamedTuple):
    """A network in the cache; is_new: whether it was downloaded now."""

    path: Path
    entry: Entry
    is_new: bool


def default_cache() -> Path:
    """The directory of the cache where none is given: that of PAR_CACHE_DIR, else
    par-transformer-xl in the user's own cache. Raises: UsageError if the user has no home."""
    if own := os.environ.get("PAR_CACHE_DIR"):
        return Path(own)
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        raise UsageError(
            "this user has no home directory for the cache: give another one by --cache_dir or"
            " PAR_CACHE_DIR"
        ) from None
    return Path(base) / "par-transformer-xl"


def place_of(reference: Reference, cache_dir: Path) -> Path:
    """Where a network lies in the cache."""
    key = hashlib.sha256(Shelf(reference.shelf).base.encode()).hexdigest()[:12]
    return cache_dir.absolute() / key / str(reference)


def run_path(run: str | Path) -> Path:
    """The directory of a run that is named by it, or by a reference: then the one in the cache,
    fetched if it is not there. Raises: what `cached` does."""
    return cached(parse(str(run))) if is_reference(run) else Path(run)


def cached(reference: Reference, cache_dir: Path | None = None) -> Path:
    """The directory of a network in the cache, fetched if it is not there or was damaged. The
    shelf is not asked for one that is whole.

    Raises: what `fetch` does.
    """
    place = place_of(reference, cache_dir or default_cache())
    kept = kept_entry(place)
    if kept and not damage(place, kept):
        return place
    return fetch(reference, cache_dir).path


def fetch(
    reference: Reference, cache_dir: Path | None = None, max_bytes: int = MAX_BYTES
) -> Fetched:
    """Fetches a network into the cache, unless it is there; the shelf is asked in any case.

    Raises: DataError if the shelf does not have it, its archive is not what the entry says or is
    larger than `max_bytes`, or the tag names something else than when it was fetched;
    ResourceError if the disk takes no more; UsageError if the cache can't be written;
    StoppedError when interrupted.
    """
    shelf = Shelf(reference.shelf)
    place = place_of(reference, cache_dir or default_cache())
    entry = shelf.read_entry(reference)
    with _locked(place):
        kept = kept_entry(place)
        if kept and (changed := kept.differences(entry)):
            raise DataError(
                f"{reference} on shelf {shelf} is not what was fetched before, but a tag must not"
                f" change ({'; '.join(changed)}): ask the owner of the shelf, or remove {place} to"
                " take the other one"
            )
        if kept == entry and not damage(place, entry):
            return Fetched(place, entry, is_new=False)
        if place.exists():
            announce(f"{place} is damaged ({damage(place, entry)}): it is fetched again")
        if place.is_file():
            place.unlink()
        check_size(entry, max_bytes)
        files.check_space(place.parent, entry.archive.size + entry.size)
        archive = shelf.download(entry, place.parent)
        try:
            with files.building(place, entries.OWN, "cache_dir") as partial:
                packing.unpack(archive, entry.files, partial)
                _check_run(partial, entry)
                schema.write_json(partial / entries.OWN, schema.encode(entry))
        except DataError as error:
            archive.unlink()
            raise DataError(f"{reference} from shelf {shelf} is not used: {error}") from None
        archive.unlink()
    return Fetched(place, entry, is_new=True)


def kept_entry(place: Path) -> Entry | None:
    """The entry that lies in the cache; None if there is none, or it is damaged."""
    path = place / entries.OWN
    try:
        content = files.read_bytes(path, "entry", entries.MAX_BYTES)
        return entries.decode_entry(content, str(path), place.name)
    except DataError:
        return None


def damage(place: Path, entry: Entry) -> str:
    """How the files in the cache differ from what an entry says, or ''. Files that are there
    beside them, such as pictures of the network, are nobody's."""
    if kept_entry(place) != entry:
        return f"{entries.OWN} is not the entry of the network"
    for file in entry.files:
        path = place / file.name
        try:
            if path.is_symlink() or not path.is_file():
                return f"{file.name} is missing"
            if (size := path.stat().st_size) != file.size:
                return f"{file.name} has {size:,} bytes, not {file.size:,}"
            if (found := files.sha256(path)) != file.sha256:
                return f"{file.name} has SHA-256 {found}, not {file.sha256}"
        except OSError as error:
            return f"{file.name} can't be read: {error.strerror}"
    return ""


@contextlib.contextmanager
def _locked(place: Path) -> Iterator[None]:
    """Lets one process at a time fetch a network; another one waits."""
    lock = place.with_name(f".{place.name}.fetching")
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with locks.locked(lock, lambda: announce(f"another process is fetching {place.name}")):
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
    except OSError as error:
        if error.errno in files.DISK_FULL:
            raise files.write_error(place, 0, error) from None
        if str(lock.parent).startswith(str(error.filename)) or error.filename == str(lock):
            raise UsageError(
                f"the cache {place.parent.parent} can't be written ({error.strerror}): give"
                " another one by --cache_dir or PAR_CACHE_DIR"
            ) from None
        raise


def check_size(entry: Entry, max_bytes: int) -> None:
    """Raises: DataError for an archive that is larger than `max_bytes`, or is not as large as its
    files make it."""
    size, made = entry.archive.size, packing.archive_size(entry.files)
    if size != made:
        raise DataError(
            f"the entry of {entry.listed.name} says that its archive has {size:,} bytes, but its"
            f" files make {made:,}"
        )
    if size > max_bytes:
        raise DataError(
            f"{entry.listed.name} has {size:,} bytes, more than the {max_bytes:,} that are"
            f" allowed: `shelf.py fetch --max_bytes={size}` takes it"
        )


def _check_run(directory: Path, entry: Entry) -> None:
    """Raises: DataError unless what was unpacked is a run with its tokenizer, and reads nothing
    outside of its directory."""
    config, data_dir = run_config.load(directory)
    if data_dir != directory / DATA:
        raise DataError(
            f"the run of {entry.listed.name} has its data in {str(data_dir)[:200]!r}, not in"
            f" {DATA}/ beside its configuration: it is not used"
        )
    run_config.load_manifest(directory, config, data_dir)
