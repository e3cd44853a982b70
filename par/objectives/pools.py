"""Which other documents of a split may be drawn for a document: those that share one name with it
and differ in another.

    sorted by author, within an author by group         for a document of author 0 and group 3,
    author  0 0 0 0 0 0 0 1 1 ...                       those of the author in other groups are
    group   1 1 3 3 3 7 8 1 5 ...                       the rest of the author's run, a circle
                ^^^^^ its own block                     from behind the block round to its start

So the candidates of every document are a range that needs four numbers, and each of them is found
without a search. Needs no TensorFlow; par.objectives.document_reader draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from par.baselines.relations import KINDS, Kind
from par.core.errors import SettingError, UsageError
from par.data import documents
from par.data.documents import NONE, PARENT
from par.data.manifest import Manifest
from par.data.tokenizer import SPECIAL_PIECES, Tokenizer
from par.objectives.context_settings import ContextSettings, as_contexts
from par.objectives.settings import check_characters

CHECKED = ("train", "valid")  # the splits that training reads
ACROSS = {"author": "author_elsewhere", "group": "group_other_authors"}  # with cross


class Pool(NamedTuple):
    """The candidates of each of R documents: number k below count[r] of row r is the row
    order[start[r] + (first[r] + k) % length[r]].

    order: [n] int32 rows. start, length, first, count: [R] int32; a count of 0 stands for none.
    """

    order: np.ndarray
    start: np.ndarray
    length: np.ndarray
    first: np.ndarray
    count: np.ndarray

    def candidates(self, row: int) -> np.ndarray:
        """[count] rows, all that may be drawn for a row."""
        places = (self.first[row] + np.arange(self.count[row])) % self.length[row]
        return self.order[self.start[row] + places]


def pool(table: np.ndarray, shared: int | None, other: int | None) -> Pool:
    """The candidates of the documents of a table [R, 6] (par.data.documents).

    shared: the column that must be the same; None: any document is a candidate. other: the one
    that must differ; None: only the document itself is left out. Documents that lack a name in one
    of these columns neither have candidates nor are any.
    """
    rows = np.arange(len(table))
    same = np.zeros(len(table), np.int64) if shared is None else np.array(table[:, shared])
    apart = rows if other is None else np.array(table[:, other])
    known = np.flatnonzero((same != NONE) & (apart != NONE))
    order = known[np.lexsort((apart[known], same[known]))]
    start, length, first, count = (np.zeros(len(table), np.int32) for _ in range(4))
    length[:] = 1  # else there would be nothing to divide by
    run_start, run_stop = _ranges(_changes(same[order]))
    block_start, block_stop = _ranges(_changes(same[order]) | _changes(apart[order]))
    start[order], length[order] = run_start, run_stop - run_start
    first[order] = block_stop - run_start
    count[order] = (run_stop - run_start) - (block_stop - block_start)
    return Pool(order.astype(np.int32), start, length, first, count)


def _changes(values: np.ndarray) -> np.ndarray:
    """[n] bool: where a value is another than the one before; True for the first."""
    return np.concatenate([np.ones(min(len(values), 1), bool), values[1:] != values[:-1]])


def _ranges(begins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The start and the stop [n] of the range that each of n places is in."""
    starts = np.flatnonzero(begins)
    number = np.cumsum(begins) - 1
    return starts[number], np.append(starts, len(begins))[1:][number]


# ---- the contexts of a text, and whether a data set has them ----


def kind_of(settings: ContextSettings) -> Kind | None:
    """The relation of a document to its contexts; None for random ones, which have none."""
    if settings.context in ("none", "random"):
        return None
    return KINDS[ACROSS[settings.context] if settings.cross else settings.context]


def contexts_of(table: np.ndarray, settings: ContextSettings) -> Pool:
    """What may be drawn for the documents of a table [R, 6]; of ancestors, the parent alone."""
    if settings.context == "ancestors":
        return _parents(np.array(table[:, PARENT]))
    kind = kind_of(settings)
    return pool(table, kind.shared, kind.other) if kind else pool(table, None, None)


def _parents(parent: np.ndarray) -> Pool:
    rows, zeros = np.arange(len(parent), dtype=np.int32), np.zeros(len(parent), np.int32)
    return Pool(parent.astype(np.int32), rows, zeros + 1, zeros, (parent >= 0).astype(np.int32))


def check_contexts(config: Any, data_dir: Path, manifest: Manifest) -> None:
    """Raises: DataError if the data have no documents; UsageError if no document of a split that
    training reads has a context, or the words that are masked are not of these data."""
    check_characters(config, data_dir, manifest)
    settings = as_contexts(config.objective_settings)
    if settings.mask_words:
        spelled(Tokenizer.load(data_dir / "tokenizer.model"), settings.mask_words)
    for split in CHECKED:
        table = documents.load(data_dir, split, manifest)
        for own in settings.of_each_kind if settings.number else ():
            if contexts_of(table, own).count.any():
                continue
            kind = kind_of(own)
            said = kind.none if kind else "there is a single text"
            flag = "head_groups" if settings.head_groups else "context"
            is_own = settings is config.objective_settings
            needs = f"--{flag}={own.context}" if is_own else config.objective
            remedy = " without --cross, or" if own.cross else ""
            raise UsageError(
                f"in {split} of {data_dir} {said}, but {needs} needs it: run{remedy} with another"
                f" --{flag}"
            )


def spelled(tokenizer: Tokenizer, words: Sequence[str]) -> set[tuple[int, ...]]:
    """The ids of each word that the tokenizer can spell, as it stands in a text. Raises:
    SettingError if that is none."""
    ids = (each[:-1] for each in tokenizer.encode(words))
    known = (each.tolist() for each in ids if len(each) and (each >= len(SPECIAL_PIECES)).all())
    if not (found := set(map(tuple, known))):
        raise SettingError(
            f"the tokenizer can spell none of mask_words, such as {words[0]!r}: give words of the"
            " text",
            "mask_words",
        )
    return found
