"""Keeps trained networks under names and tags on a shelf, and fetches them by name.

    python tools/shelf.py save logs/RUN --name=en_docs --tag=v1 --licence=CC-BY-4.0
    python tools/shelf.py save logs/RUN --name=en_docs --tag=v1 --split valid test
        with the records of these splits, for those who evaluate it
    python tools/shelf.py list
    python tools/shelf.py list --shelf=https://example.org/shelf --json
    python tools/shelf.py fetch en_docs@v1 --shelf=https://example.org/shelf
    python tools/shelf.py verify
        reads everything on the shelf and its copies in the cache; names given: these alone

A shelf is a directory: copy it to a web server or a bucket, and it is read from there by
--shelf=https://..., or by any other URL that TensorFlow reads, such as gs://. Where --shelf is not
given it is that of PAR_SHELF, else ./shelf.

save takes settings, history, tokenizer, and the last and the best checkpoint of a run; it loads
them from the archive before the tag names it. A tag never changes what it names: the same run
again is nothing new, another one is refused.

fetch puts a network into the cache, where its SHA-256 are checked before every use. A command that
is given --run=shelf:en_docs@v1, or par.load("shelf:en_docs@v1"), fetches by itself what is not
there; shelf:https://example.org/shelf/en_docs@v1 names the shelf, too.
"""

from __future__ import annotations

# first: Ctrl-C during the other imports is one line
from par.tools.cli.main import overview, run_subcommand

# isort: split

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from par.core import schema
from par.core.errors import DataError, UsageError, one_line
from par.core.progress import announce
from par.core.text import escape, plural, table, without_users
from par.data.corpus import SPLITS
from par.shelf import cache, reference, saving, verification
from par.shelf.card import NOT_STATED
from par.shelf.entry import MAX_TEXT, Entry, Listed
from par.shelf.reference import Reference
from par.tools.cli.checks import load_run
from par.tools.cli.flags import Flags, choice, define_path
from par.tools.cli.shelved import define_run, open_shelf
from par.tools.cli.tensorflow import start_tensorflow

SHELF = (
    define_path,
    "shelf",
    None,
    "directory or URL of the shelf; by default that of PAR_SHELF, else ./shelf",
)
CACHE = (
    define_path,
    "cache_dir",
    None,
    "where what is fetched lies; by default PAR_CACHE_DIR, else ~/.cache/par-transformer-xl",
)
JSON = (flags.DEFINE_bool, "json", False, "print one JSON line")
NAMES = (
    flags.DEFINE_multi_string,
    "network",
    [],
    "NAME@TAG; also without the flag",
)


class Subcommand(NamedTuple):
    """Its flags, and what it does."""

    FLAGS: Flags
    work: Callable[[Flags], int | None]


def _save(values: Flags) -> None:
    if not values.name or not values.tag:
        raise UsageError("--name and --tag are required, such as --name=en_docs --tag=v1")
    made = Reference(values.name, values.tag, _shelf(values))
    for name in ("licence", "description"):
        text = getattr(values, name)
        if len(text) > MAX_TEXT or not text.isprintable():
            raise UsageError(
                f"--{name} must be one line of at most {MAX_TEXT:,} characters, but is"
                f" {text[:60]!r}"
            )
    load_run(values.run, None)
    start_tensorflow()
    saved = saving.save(
        Path(values.run), made, values.split, values.licence, values.description, _try_out
    )
    entry = saved.entry
    if values.json:
        facts = {"is_new": saved.is_new, "files": len(entry.files)}
        print(schema.canonical_json(_facts(made, entry) | facts))
        return
    state = "saved" if saved.is_new else "there already, with the same files"
    print(f"{made} is {state}: {_size(entry)}, SHA-256 {entry.archive.sha256}")
    if entry.about.licence == NOT_STATED:
        announce("the licence is not stated: save it under another tag with --licence=...")
    else:
        print(f"licence: {escape(entry.about.licence)}")
    print(f'load it: par.load("{made.text}"), or --run={made.text}')


def _try_out(directory: Path, checkpoints: Sequence[str]) -> int:
    """Loads the checkpoints of a run; returns the number of weights, those of a base among them.
    Raises: DataError if one is damaged."""
    from par.evaluate.trained_model import Model

    def refuse(line: str) -> None:
        raise DataError(f"the run is not saved: {line}")

    for which in checkpoints:
        model = Model.load(directory, which, warn=refuse)
    weights = {id(v): v for layer in model.learner.layers.values() for v in layer.weights}
    for logits in model.learner.logits:
        weights.pop(id(logits), None)
    return sum(math.prod(v.shape) for v in weights.values())


def _list(values: Flags) -> None:
    address = _shelf(values)
    entries = open_shelf(address).read_index().entries
    cached = {listed.name: _place(listed, address, values).is_dir() for listed in entries}
    if values.json:
        rows = [schema.encode(listed) | {"is_cached": cached[listed.name]} for listed in entries]
        print(schema.canonical_json({"shelf": without_users(address), "networks": rows}))
        return
    rows = [["name", "objective", "network", "corpus", "weights", "MB", "cached", "licence"]]
    for listed in entries:
        about = listed.about
        rows.append(
            [
                listed.name,
                *(escape(text) for text in (about.objective, about.network[:40], about.corpus)),
                f"{about.parameters:,}",
                f"{listed.archive.size / 1e6:.1f}",
                "yes" if cached[listed.name] else "no",
                escape(about.licence[:60]),
            ]
        )
    print(
        "\n".join(table(rows, left=4))
        if len(rows) > 1
        else f"nothing is on shelf {without_users(address)}"
    )


def _fetch(values: Flags) -> None:
    asked = _references(values)
    if not asked:
        raise UsageError("name what is fetched: shelf.py fetch en_docs@v1; `list` prints names")
    rows = []
    for each in asked:
        open_shelf(each.shelf)
        found = cache.fetch(each, _cache(values), values.max_bytes)
        facts = {"path": str(found.path), "is_new": found.is_new}
        rows.append(_facts(each, found.entry) | facts)
        if not values.json:
            state = "fetched" if found.is_new else "there already"
            print(f"{each} is {state}: {_size(found.entry)}, {found.path}")
            print(f"licence: {escape(found.entry.about.licence)}")
    if values.json:
        print(schema.canonical_json({"networks": rows}))


def _verify(values: Flags) -> None:
    asked = _references(values)
    shelves = {each.shelf for each in asked} or {_shelf(values)}
    indexes = {address: open_shelf(address).read_index() for address in shelves}
    if not asked:
        address, index = next(iter(indexes.items()))
        asked = [
            Reference(listed.about.name, listed.about.tag, address) for listed in index.entries
        ]
    found = []
    for each in asked:
        one = verification.verify(each, indexes[each.shelf], _cache(values))
        found.append(one)
        if not values.json:
            what = _size(one.entry) if one.entry else "no entry"
            copy = ", and the copy in the cache" if one.is_cached else ""
            print("\n".join([f"{each}: {what}{copy}: {'bad' if one.faults else 'good'}"]))
        for fault in one.faults:
            announce(one_line(f"{each}: {fault}"))
    if values.json:
        rows = [
            _names(one.reference) | {"is_cached": one.is_cached, "faults": one.faults}
            for one in found
        ]
        print(schema.canonical_json({"networks": rows}))
    if bad := [one for one in found if one.faults]:
        raise DataError(
            f"{plural(len(bad), 'network')} of {len(found)} can't be used as it is: see the lines"
            " above"
        )


def _names(of: Reference) -> dict[str, Any]:
    return {"name": of.name, "tag": of.tag, "shelf": without_users(of.shelf)}


def _facts(of: Reference, entry: Entry) -> dict[str, Any]:
    """What --json tells of a network that was saved or fetched."""
    archive = {"bytes": entry.archive.size, "sha256": entry.archive.sha256}
    return _names(of) | archive | {"licence": entry.about.licence}


def _shelf(values: Flags) -> str:
    return values.shelf or reference.default_shelf()


def _cache(values: Flags) -> Path:
    return Path(values.cache_dir) if values.cache_dir else cache.default_cache()


def _references(values: Flags) -> list[Reference]:
    parsed = [reference.parse(text, _shelf(values)) for text in values.network]
    return list(dict.fromkeys(parsed))


def _place(listed: Listed, address: str, values: Flags) -> Path:
    return cache.place_of(Reference(listed.about.name, listed.about.tag, address), _cache(values))


def _size(entry: Entry) -> str:
    return f"{plural(len(entry.files), 'file')}, {entry.archive.size:,} bytes"


SUBJECTS = {
    "save": Subcommand(
        Flags(__doc__)
        .own(
            "save",
            (define_run, "run", None, "run directory; also without the flag"),
            (flags.DEFINE_string, "name", None, "name of the network"),
            (flags.DEFINE_string, "tag", None, "tag of this version of it, such as v1"),
            SHELF,
            (
                choice(*SPLITS, repeatable=True),
                "split",
                [],
                "the splits whose records are saved, too; without it there are none, only the"
                " tokenizer",
            ),
            (
                flags.DEFINE_string,
                "licence",
                "",
                "licence of the network; by default that of its corpus, if it is known and the"
                " only one",
            ),
            (flags.DEFINE_string, "description", "", "a sentence for the model card"),
            JSON,
        )
        .takes_arguments_as("run"),
        _save,
    ),
    "list": Subcommand(Flags(__doc__).own("list", SHELF, CACHE, JSON), _list),
    "fetch": Subcommand(
        Flags(__doc__)
        .own(
            "fetch",
            NAMES,
            SHELF,
            CACHE,
            (
                flags.DEFINE_integer,
                "max_bytes",
                cache.MAX_BYTES,
                "the largest archive that is taken",
            ),
            JSON,
        )
        .takes_arguments_as("network"),
        _fetch,
    ),
    "verify": Subcommand(
        Flags(__doc__).own("verify", NAMES, SHELF, CACHE, JSON).takes_arguments_as("network"),
        _verify,
    ),
}
OVERVIEW = overview(__doc__, SUBJECTS)


def main(argv: list[str] | None = None) -> int:
    """The command: its first argument says what is done."""
    return run_subcommand(SUBJECTS, OVERVIEW, "what is done", argv)


if __name__ == "__main__":
    sys.exit(main())
