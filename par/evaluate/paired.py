"""Two networks that score the same tokens of the same documents, compared token by token."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from par.baselines.relations import cluster_kind, cluster_numbers
from par.core.bootstrap import ratio_interval
from par.core.stats import Interval
from par.data.documents import DEPTH
from par.data.manifest import Manifest

DEEPEST = 3  # the last depth that is told by itself; deeper documents are counted to it
SEED = 0  # of the bootstrap


@dataclasses.dataclass(frozen=True)
class Targets:
    """The scored tokens of a split's documents, n of them: places [n] among all that could be
    scored, which tell whether two networks scored the same; clusters [n] and depths [n] of their
    documents; cluster: what these are, `group`, `author` or `thread`."""

    places: np.ndarray
    clusters: np.ndarray
    depths: np.ndarray
    cluster: str

    @classmethod
    def of(
        cls,
        weights: np.ndarray,
        table: np.ndarray,
        order: np.ndarray,
        manifest: Manifest,
        draws: int,
    ) -> Targets:
        """Those of weights [draws * n * T] of an evaluation of documents: the rows `order` [n] of
        a table [R, 6]."""
        places = np.flatnonzero(weights > 0)
        rows = order[places // (len(weights) // (draws * len(order))) % len(order)]
        kind = cluster_kind(manifest.documents.split_by, [table])
        numbers, depths = cluster_numbers(table, kind)[rows], np.array(table[:, DEPTH])[rows]
        return cls(places, numbers, np.minimum(depths, DEEPEST), kind)

    def are_those_of(self, other: Targets) -> bool:
        """Whether two networks scored the same tokens."""
        return np.array_equal(self.places, other.places)


class Difference(NamedTuple):
    """By how much the nll of one network is above that of another, in nats a target: its mean and
    its interval for other clusters. depth: of the documents, None for all."""

    depth: int | None
    targets: int
    clusters: int
    nats: Interval

    def to_json(self) -> dict[str, Any]:
        """As `evaluate --json` prints it."""
        return self._asdict() | {"nats": self.nats.to_json()}


def differences(nll: np.ndarray, other: np.ndarray, targets: Targets) -> Iterator[Difference]:
    """Of all targets, then by the depth of their documents in their threads, where there are
    several. nll, other: [n] nats of each target."""
    more = np.asarray(nll, np.float64) - other
    depths = np.unique(targets.depths)
    for depth in (None, *(depths.tolist() if len(depths) > 1 else ())):
        own = slice(None) if depth is None else targets.depths == depth
        _, cluster = np.unique(targets.clusters[own], return_inverse=True)
        sums, sizes = np.bincount(cluster, more[own]), np.bincount(cluster)
        yield Difference(depth, len(cluster), len(sizes), ratio_interval(sums, sizes, SEED))
