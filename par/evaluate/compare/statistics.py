"""Statistics of the networks that are compared.

The unit is the figure x of a network and a seed by which its objective compares, of a perplexity
the nats: perplexity per word is e^x with the nll per word x. So the mean perplexity is the
geometric one, e^mean(x). Networks are compared by the differences of x of equal seeds, which share
the order of the data, the initial weights of equal places and dropout: of perplexities, their mean
is the logarithm of the quotient of the means. Intervals are Student's t, 95 %, over the seeds; one
seed has none. There is no correction for multiple comparisons: to win, the derived network must be
better than all others at once.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from par.core import schema
from par.core.errors import DataError
from par.core.metrics import Figure
from par.core.stats import Interval, interval, quartiles
from par.evaluate.compare.results import Scores, Standing
from par.objectives.contract import Contract

OVERFLOWS = 700.0  # nats: e^709.8 is the largest float
SCORED = ("valid", "test")  # the splits that every run is scored on


@dataclasses.dataclass(frozen=True)
class Network:
    """One network of the comparison under all its names, and what is known of it so far."""

    names: tuple[str, ...]
    blocks: str  # canonical
    random: bool
    cost: float  # predicted: milliseconds, or parameters of the blocks
    more: float  # cost over the derived network's, less 1
    runs: dict[int, Scores]  # by seed
    # milliseconds by round, for each of par.search.latency_table.CASES; round i is the same minute
    # for all networks
    measured: dict[str, list[float]] | None
    contract: Contract  # of the objective

    @property
    def label(self) -> str:
        """The first name, and the blocks where they are not the name."""
        return self.names[0] if self.names[0] == self.blocks else f"{self.names[0]} {self.blocks}"

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures by which networks are compared; the first decides."""
        return self.contract.comparison

    def over_seeds(self) -> dict[str, Interval | None]:
        """Mean and interval of each figure over the seeds, None before the first."""
        if not self.runs:
            return dict.fromkeys(figure.name for figure in self.figures)
        first, *others = self.figures
        found = {first.name: interval([run.compared for run in self.runs.values()])}
        found[first.name] = found[first.name].map(first.from_scale)
        return found | {
            figure.name: interval([run.others[figure.name] for run in self.runs.values()])
            for figure in others
        }


def scores_path(run_dir: Path) -> Path:
    """Where the scores of a run of a comparison are."""
    return Path(run_dir) / "scores.json"


def read_scores(run_dir: Path, split: str, figures: Sequence[Figure]) -> Scores | None:
    """The scores of a run of a comparison on a split; None before it is scored.

    figures: those by which its objective compares. Raises: DataError if scores.json is damaged.
    """
    path = scores_path(run_dir)
    if not path.is_file():
        return None
    scores = scores_from_json(schema.read_json(path, "scores"), split, path, figures)
    return dataclasses.replace(scores, run=str(run_dir))


def has_scores(run_dir: Path, split: str) -> bool:
    """Whether the scores of a run are those of a split, too."""
    path = scores_path(run_dir)
    return path.is_file() and split in schema.read_json(path, "scores")


def scores_from_json(value: Any, split: str, path: Path, figures: Sequence[Figure]) -> Scores:
    """The scores on a split from the content of scores.json. Raises: DataError, naming `path`, if
    it is damaged."""
    try:
        first, *others = figures
        scores = Scores(
            parameters=value["parameters"],
            seconds=value["seconds"],
            compared=first.on_scale(value[split]),
            others={figure.name: value[split][figure.name] for figure in others},
        )
        numbers = (scores.parameters, scores.seconds, scores.compared, *scores.others.values())
        ok = all(type(number) in (int, float) and 0 <= number < math.inf for number in numbers)
    except (LookupError, TypeError, ArithmeticError):
        ok = False
    if not ok:
        raise DataError(
            f"scores {path} are not those of a comparison: remove the file, and the run is scored"
            " again"
        )
    return scores


def rise(nll: float) -> float:
    """e^nll - 1, the share by which a perplexity grows when its nll grows by `nll`; infinity where
    that overflows."""
    return math.expm1(nll) if nll < OVERFLOWS else math.inf


def worse(figure: Figure, gaps: Sequence[float]) -> Interval:
    """How much worse a network is, by the differences of `Scores.compared` to another's: the share
    by which its perplexity is larger; of another figure the difference, above 0 where it is
    worse."""
    found = interval([figure.loss(gap) for gap in gaps])
    return found.map(rise) if figure.is_perplexity else found


def change(network: Network, base: Network) -> Interval | None:
    """How much worse a network is than another, paired by seed; None if they share no seed."""
    seeds = sorted(set(network.runs) & set(base.runs))
    gaps = [network.runs[seed].compared - base.runs[seed].compared for seed in seeds]
    return worse(network.figures[0], gaps) if gaps else None


def saving(network: Network, base: Network, what: str = "inference") -> Interval | None:
    """Share of time by which a network is faster than another: the median of the rounds'
    quotients, and their quartiles."""
    if not (network.measured and base.measured):
        return None
    saved = 1 - np.array(network.measured[what]) / np.array(base.measured[what])
    return Interval(*quartiles(saved))


def complete(derived: Network, drawn: Sequence[Network]) -> tuple[list[int], list[Network]]:
    """Seeds and random networks such that each of these, and the derived one, has a run of each of
    the seeds.

    While a comparison is trained, its last seed has only some of the networks. Means over the
    networks of every seed would be means over different networks: that seed waits until it is
    whole. Before the first one is whole, the networks that have it count.
    """
    started = [network for network in drawn if set(network.runs) & set(derived.runs)]
    if not started:
        return [], []
    counts = {
        seed: sum(seed in network.runs for network in started) for seed in sorted(derived.runs)
    }
    most = max(counts.values())
    first = next(seed for seed, count in counts.items() if count == most)
    networks = [network for network in started if first in network.runs]
    seeds = [seed for seed in counts if all(seed in network.runs for network in networks)]
    return seeds, networks


def standing(
    derived: Network, drawn: Sequence[Network], is_whole: bool = False
) -> Standing | None:
    """The rank of the derived network among others, by the scores of the seeds that all of them
    have; None without any. is_whole: whether these are all others of equal cost."""
    others = len(drawn)
    seeds, drawn = complete(derived, drawn)
    if not drawn:
        return None
    figure = derived.figures[0]
    gaps = [
        [network.runs[seed].compared - derived.runs[seed].compared for seed in seeds]
        for network in drawn
    ]
    as_good = sum(figure.loss(interval(of_network).mean) <= 0 for of_network in gaps)
    means = [
        fmean(network.runs[seed].compared for network in drawn) - derived.runs[seed].compared
        for seed in seeds
    ]
    return Standing(
        better_than=len(drawn) - as_good,
        of=len(drawn),
        without_attention=sum("a" not in network.blocks for network in drawn),
        chance=(1 + as_good) / (1 + len(drawn)),
        change=worse(figure, means),
        is_whole=is_whole and len(drawn) == others,
    )
