"""Puts a trained run on a shelf of this machine: archive, card, entry, index, in this order, so
that whatever is named is there."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from par import __version__
from par.core import files, locks, schema
from par.core.errors import DataError, UsageError, one_line
from par.core.progress import announce
from par.data import documents
from par.data.manifest import Manifest
from par.shelf import card, packing
from par.shelf import entry as entries
from par.shelf.cache import DATA
from par.shelf.entry import CARD, About, Entry, File, Index
from par.shelf.packing import Source
from par.shelf.reference import Reference
from par.shelf.shelves import INDEX, Shelf
from par.train import run_config, run_directory
from par.train.run_config import CHECKPOINTS

# of a run and of its data set, where they are there; nothing that tells of the machine or its
# directories
OF_RUN = ("architecture.json", "history.jsonl", "summary.json")
OF_DATA = ("manifest.json", "tokenizer.model", "tokenizer.vocab", "counts.txt")
SCORES_OF_DATA = ("kneser_ney.json", "unigram.json", "bigrams.json")


class Saved(NamedTuple):
    """An entry, and whether it is new; otherwise the same was there."""

    entry: Entry
    is_new: bool


def save(
    run_dir: Path,
    reference: Reference,
    splits: Sequence[str],
    licence: str,
    description: str,
    try_out: Callable[[Path, Sequence[str]], int],
) -> Saved:
    """Saves a run: its settings, history, the newest of its last and of its best checkpoints, its
    tokenizer, and the records of `splits`.

    licence: of the network; "": that of its corpus, if it is known and the only one.
    description: for the card. try_out(directory, checkpoints) loads these checkpoints from what
    the archive was unpacked to, and returns the number of weights; the tag names the archive only
    after that.
    Raises: UsageError if the shelf is not a directory of this machine, or the tag names something
    else; DataError if the run or its data is missing, damaged or can't be loaded; ResourceError if
    the disk takes no more.
    """
    shelf = Shelf(reference.shelf)
    if shelf.directory is None:
        raise UsageError(
            f"--shelf={shelf} can only be read: save to a directory, and copy it to where it is"
            " served"
        )
    config, data_dir = run_config.load(run_dir)
    manifest = run_config.load_manifest(run_dir, config, data_dir)
    checkpoints = _checkpoints(run_dir)
    about = About(
        name=reference.name,
        tag=reference.tag,
        licence=licence or card.licence_of(manifest, config),
        description=description,
        version=__version__,
        objective=config.objective,
        network=config.network,
        corpus=manifest.name,
        tokenizer_sha256=manifest.tokenizer_sha256,
        parameters=0,
        step=checkpoints["last"][0],
        checkpoints=tuple(checkpoints),
        splits=tuple(split for split in manifest.splits if split in splits),
    )
    text = card.render(about, config, manifest, run_dir).encode()
    sources = [
        (CARD, text),
        *_of_run(run_dir, checkpoints),
        *_of_data(data_dir, manifest, about.splits),
    ]
    with _alone(shelf.directory, reference) as folder:
        taken = _taken(shelf, reference, sources, about)
        if taken is None:
            archive = folder / f"{reference.tag}.tar"
            with files.replacing(archive) as partial:
                with open(partial, "wb") as stream:
                    packed = packing.pack(sources, stream)
                if problem := entries.odd_files(packed):
                    raise DataError(f"run {run_dir} can't be saved: {problem}")
                parameters = _tried(partial, packed, folder, about.checkpoints, try_out)
                size, digest = partial.stat().st_size, files.sha256(partial)
            about = dataclasses.replace(about, parameters=parameters)
            entry = Entry(entries.SCHEMA, about, File(archive.name, size, digest), packed)
            files.write_bytes(folder / f"{reference.tag}.md", text)
            schema.write_json(folder / f"{reference.tag}.json", schema.encode(entry))
        _write_index(shelf)
    return Saved(taken or entry, taken is None)


def _checkpoints(run_dir: Path) -> dict[str, tuple[int, list[Path]]]:
    """Step and files of the newest checkpoint of each kind. Raises: DataError if there is none."""
    found = {}
    for which in CHECKPOINTS:
        directory = run_directory.checkpoint_dir(run_dir / "checkpoints", which)
        newest = next(iter(run_directory.checkpoint_files(directory).items()), None)
        if newest:
            found[which] = newest
    if "last" not in found:
        raise DataError(f"run {run_dir} has no checkpoint yet: train it first")
    return found


def _of_run(run_dir: Path, checkpoints: dict[str, tuple[int, list[Path]]]) -> Iterator[Source]:
    """The files of a run that are saved. Its configuration says that the data set lies inside."""
    value = schema.read_json(run_dir / "config.json", "run configuration")
    value["data"]["path"] = DATA
    yield "config.json", f"{json.dumps(value, indent=2, ensure_ascii=False)}\n".encode()
    yield from ((name, run_dir / name) for name in OF_RUN if (run_dir / name).is_file())
    for _, paths in checkpoints.values():
        yield from ((path.relative_to(run_dir).as_posix(), path) for path in paths)


def _of_data(data_dir: Path, manifest: Manifest, splits: Sequence[str]) -> Iterator[Source]:
    """The files of a data set that are saved. The scores of models of the text go with records
    alone: without these, nothing is compared with them."""
    names = list(OF_DATA)
    for split in splits:
        names += [file.name for file in manifest.splits[split].files]
        names += [documents.path_of(split)] if manifest.documents else []
    if splits:
        names += [name for name in SCORES_OF_DATA if (data_dir / name).is_file()]
    for name in names:
        if not (data_dir / name).is_file():
            raise DataError(f"{data_dir / name} is missing: build the data set again")
        yield f"{DATA}/{name}", data_dir / name


@contextlib.contextmanager
def _alone(root: Path, reference: Reference) -> Iterator[Path]:
    """Yields the directory of a name on a shelf that no other process works on, without what a
    killed one left there; directories in which nothing was written are removed."""
    folder = root / reference.name
    root.mkdir(parents=True, exist_ok=True)
    lock = root / ".lock"
    with locks.locked(lock, lambda: announce(f"another process saves to {root}: waiting for it")):
        folder.mkdir(exist_ok=True)
        _remove_partial(folder)
        try:
            yield folder
        finally:
            _remove_partial(folder)
            lock.unlink(missing_ok=True)
            for directory in (folder, root):
                with contextlib.suppress(OSError):  # not empty
                    directory.rmdir()


def _trying(folder: Path) -> Path:
    return folder / ".trying"


def _remove_partial(folder: Path) -> None:
    for path in folder.glob(".*.partial"):
        path.unlink(missing_ok=True)
    shutil.rmtree(_trying(folder), ignore_errors=True)


def _taken(
    shelf: Shelf, reference: Reference, sources: Sequence[Source], about: About
) -> Entry | None:
    """The entry that the tag has, if it is that of these files; None if it has none. Raises:
    UsageError if it is another one; DataError if it is damaged."""
    if not (shelf.directory / reference.name / f"{reference.tag}.json").exists():
        return None
    entry = shelf.read_entry(reference)
    mine = {file.name: file.sha256 for file in packing.listed(sources)}
    theirs = {file.name: file.sha256 for file in entry.files}
    # another version of the program may word the card of the same run in another way
    names = [name for name in {**theirs, **mine} if name != CARD]
    odd = [name for name in names if mine.get(name) != theirs.get(name)]
    odd += [
        what
        for what in ("licence", "description")
        if getattr(about, what) != getattr(entry.about, what)
    ]
    if odd:
        raise UsageError(
            f"{reference} on shelf {shelf} is something else already (it differs in"
            f" {', '.join(odd[:3])}), and a tag never changes what it names: give another --tag"
        )
    return entry


def _tried(
    archive: Path,
    packed: Sequence[File],
    folder: Path,
    checkpoints: Sequence[str],
    try_out: Callable[[Path, Sequence[str]], int],
) -> int:
    """What `try_out` returns of the unpacked archive."""
    directory = _trying(folder)
    directory.mkdir()
    packing.unpack(archive, packed, directory)
    try:
        return try_out(directory, checkpoints)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _write_index(shelf: Shelf) -> None:
    """Lists every entry that is on the shelf; one that is damaged is named and left out."""
    listed = []
    for path in sorted(shelf.directory.glob("*/*.json")):
        try:
            listed.append(shelf.read_entry(Reference(path.parent.name, path.stem, "")).listed)
        except (UsageError, DataError) as error:
            announce(one_line(f"{path} is left out of the index: {error}"))
    index = schema.encode(Index(entries.SCHEMA, tuple(listed)))
    schema.write_json(shelf.directory / INDEX, index)
