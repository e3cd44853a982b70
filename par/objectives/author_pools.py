"""The documents that the objective `authors` draws: anchors, and negatives; and whether a data set
has them. Needs no TensorFlow."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from par.baselines.relations import KINDS, Kind
from par.core.errors import UsageError
from par.data import documents
from par.data.documents import AUTHOR, GROUP
from par.data.manifest import Manifest
from par.objectives.pools import CHECKED, Pool, pool
from par.objectives.settings import AuthorsSettings

COLUMNS = {"author": AUTHOR, "group": GROUP}


class AuthorPools(NamedTuple):
    """anchors, negatives: what may be drawn for each document. names: [R] its author or group.
    targets: [n] rows of the documents that have both."""

    anchors: Pool
    negatives: Pool
    names: np.ndarray
    targets: np.ndarray


def kinds(settings: AuthorsSettings) -> tuple[Kind, Kind | None]:
    """The relation of a document to its anchors, and to its negatives where these are not any
    documents of other names."""
    across = {"author": "author_elsewhere", "group": "group_other_authors"}
    anchors = KINDS[across[settings.relation] if settings.cross else settings.relation]
    hard = KINDS["group_other_authors"] if settings.negatives == "same_group" else None
    return anchors, hard


def of_table(table: np.ndarray, settings: AuthorsSettings) -> AuthorPools:
    """What may be drawn for the documents of a table [R, 6]."""
    anchors, hard = kinds(settings)
    own = COLUMNS[settings.relation]
    drawn = (
        pool(table, anchors.shared, anchors.other),
        pool(table, hard.shared, hard.other) if hard else pool(table, None, own),
    )
    targets = np.flatnonzero((drawn[0].count > 0) & (drawn[1].count > 0))
    return AuthorPools(*drawn, np.array(table[:, own]), targets)


def check_data(config: Any, data_dir: Path, manifest: Manifest) -> None:
    """Raises: DataError if the data have no documents; UsageError if no document of a split that
    training reads has an anchor and a negative."""
    for split in CHECKED:
        table = documents.load(data_dir, split, manifest)
        settings = config.objective_settings
        check_targets(of_table(table, settings), settings, split, data_dir)


def check_targets(
    pools: AuthorPools, settings: AuthorsSettings, split: str, data_dir: Path
) -> None:
    """Raises: UsageError, with what the data lack, if the documents of a split have no anchors or
    no negatives."""
    if len(pools.targets):
        return
    anchors, hard = kinds(settings)
    if not pools.anchors.count.any():
        said = f"{anchors.none}, but --relation={settings.relation} needs it"
        other = "group" if settings.relation == "author" else "author"
        remedy = f"give --relation={other}"
        if settings.cross:
            remedy = f"give --nocross, for anchors of the same {other}, or --relation={other}"
    elif hard:
        said = f"{hard.none}, but --negatives={settings.negatives} needs it"
        remedy = "give --negatives=random"
    else:
        said = f"all texts are of one {settings.relation}, so that there is no negative"
        remedy = "give data with more of them"
    raise UsageError(f"in {split} of {data_dir} {said}: {remedy}")
