"""The table of all networks of up to L blocks: what each reaches when trained, by seed and epoch.

Identity adds nothing, so there are N = 2^(L+1) - 1 networks (par.search.networks), and for few
blocks all of them can be trained. Searches can then be replayed without training, and their choice
has a true rank. Further letters in shapes: N networks, in the order of
`par.search.networks.network_at`; S seeds; E epochs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from par.core import schema
from par.core.errors import UsageError
from par.core.text import plural
from par.search import architecture, networks
from par.search.architecture import Architecture

MAX_BLOCKS = 10  # 2,047 networks: more are not trained one by one
MAX_CELLS = 1 << 21  # N S E: 16,000 epochs of 127 networks in all
MAX_FIGURE = 1e12  # beyond any loss, time or number of parameters
SPLITS = ("valid", "test")
CAUSAL = "causal_lm"  # the objective whose tables know perplexities per word
BY_EPOCH, BY_SEED = ("train_nll", "valid_nll", "seconds"), ("test_nll",)
BY_NETWORK = ("parameters", "latency_ms", "measured_latency_ms")
AXES = dict.fromkeys(BY_EPOCH, 3) | dict.fromkeys(BY_SEED, 2) | dict.fromkeys(BY_NETWORK, 1)
# what `about` tells: the data set (name, hashes), the settings that all runs share, and what the
# runs were made with, each once (machine, versions, commit)
ABOUT = {"data": dict, "settings": dict, "made_with": list}
Blocks = str | Architecture


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class BlockTable:
    """All networks of at most `num_blocks` blocks, of which some may not be trained, or not with
    all seeds: NaN. The arrays can't be written to.

    Raises: UsageError for arrays whose shapes do not fit each other, or that hold what no training
    leaves behind.
    """

    num_blocks: int  # L
    seeds: np.ndarray  # [S] int64, increasing
    train_nll: np.ndarray  # [N, S, E] float32, nats a token: mean of the epoch's training losses
    valid_nll: np.ndarray  # [N, S, E] float32, nats a token, after the epoch
    seconds: np.ndarray  # [N, S, E] float32, time of training until the end of the epoch
    test_nll: np.ndarray  # [N, S] float32, nats a token, after the last epoch
    parameters: np.ndarray  # [N] float64, weights
    latency_ms: np.ndarray  # [N] float64, of inference, by a table of latencies
    measured_latency_ms: np.ndarray  # [N] float64, of inference
    steps_per_epoch: int
    tokens: tuple[int, int]  # of valid and test that are scored
    # the same, with line ends: for perplexities per word; of an objective without these the tokens
    words: tuple[float, float]
    about: dict[str, Any]  # JSON by `ABOUT`

    def __post_init__(self) -> None:
        for name in AXES:
            kind = np.float64 if name in BY_NETWORK else np.float32
            object.__setattr__(self, name, _frozen(getattr(self, name), kind))
        object.__setattr__(self, "seeds", _frozen(self.seeds, np.int64))
        if problem := self._misshape() or self._contradiction():
            raise UsageError(f"a table of networks must be consistent, but {problem}")

    def __len__(self) -> int:
        return networks.count(self.num_blocks)

    def __repr__(self) -> str:
        size = f"{plural(len(self), 'network')} of up to {plural(self.num_blocks, 'block')}"
        runs = plural(int(self.is_whole.sum()), "finished run")
        epochs, seeds = plural(self.num_epochs, "epoch"), plural(len(self.seeds), "seed")
        return f"BlockTable({size}, {epochs}; {runs} of {seeds})"

    @property
    def num_epochs(self) -> int:
        """E."""
        return self.valid_nll.shape[2]

    @property
    def objective(self) -> str:
        """What the networks were trained for."""
        return self.about["settings"].get("objective", CAUSAL)

    @property
    def networks(self) -> list[str]:
        """The canonical spellings of the N networks, in the order of the arrays."""
        return [networks.network_at(number) for number in range(1, len(self) + 1)]

    @property
    def epochs_trained(self) -> np.ndarray:
        """[N, S] the number of epochs that each network was trained for with each seed."""
        return np.isfinite(self.valid_nll).sum(axis=2)

    @property
    def is_whole(self) -> np.ndarray:
        """[N, S] whether a network was trained with a seed to the end, and scored."""
        return np.isfinite(self.test_nll)

    def index(self, blocks: Blocks) -> int:
        """The place of a network, in any spelling, along N. Raises: UsageError if it is not one of
        at most `num_blocks` blocks, DataError for a bad architecture.json."""
        made = architecture.parse(blocks) if isinstance(blocks, str) else blocks
        if made.is_search:
            raise UsageError(
                f"the table holds networks of a, d and i, but {made.short} leaves blocks to a"
                " search"
            )
        if len(networks.letters_of(made.blocks)) > self.num_blocks:
            raise UsageError(
                f"the table holds networks of up to {plural(self.num_blocks, 'block')}, but"
                f" {made.named} has {len(networks.letters_of(made.blocks))}"
            )
        return networks.number_of(made.blocks) - 1

    def seeds_of(self, blocks: Blocks) -> list[int]:
        """The seeds with which a network was trained to the end."""
        return self.seeds[self.is_whole[self.index(blocks)]].tolist()

    def missing(
        self, seeds: Iterable[int], of: Iterable[Blocks] | None = None
    ) -> list[tuple[str, int]]:
        """The networks and seeds that are still to be trained, or to be trained to the end, seed
        by seed. of: networks, all by default."""
        names = self.networks
        places = range(len(self)) if of is None else list(map(self.index, of))
        known = {seed: self.is_whole[:, place] for place, seed in enumerate(self.seeds.tolist())}
        nothing = np.zeros(len(self), bool)
        return [
            (names[place], seed)
            for seed in seeds
            for place in places
            if not known.get(seed, nothing)[place]
        ]

    def query(
        self,
        blocks: Blocks | Sequence[Blocks],
        metric: str,
        epoch: int | None = None,
        seed: int | None = None,
    ) -> Any:
        """A figure of one network, or of several.

        Args:
          blocks: a network in any spelling (`diidad` is `ddad`; multiples such as `3(ad)`; the
            path of an architecture.json; an Architecture), or a sequence of them.
          metric: one of `METRICS`: `train_nll`, `valid_nll`, `test_nll` (nats a token),
            `valid_perplexity_per_word`, `test_perplexity_per_word`, `sum_of_training_losses` (nats
            a token, of the epochs so far: Ru et al. 2020, arXiv 2006.04492),
            `seconds` (training so far), `parameters`, `latency_ms`, `measured_latency_ms`.
          epoch: from 1 to the number of epochs, the last by default; only for figures that are
            known after every epoch.
          seed: one of `seeds`; by default all, in their order, NaN for those that the network was
            not trained with. Only for figures that depend on it.

        Returns: a float; an array [S] over the seeds where none is given; for a sequence of K
          networks an array [K] or [K, S].

        Raises:
          par.core.errors.UsageError: for blocks, a metric, an epoch or a seed that the table does
            not have or that has no effect, or for a network that was not trained so far.
          par.core.errors.DataError: for an architecture.json that is missing or damaged.

        Example:
          table.query("diidad", "test_perplexity_per_word").mean()
        """
        if metric not in METRICS:
            raise UsageError(f"unknown metric {metric!r}; valid metrics: {', '.join(METRICS)}")
        if metric.endswith("_per_word") and self.objective != CAUSAL:
            raise UsageError(
                f"{metric} is of networks that predict the next token, but these are of"
                f" {self.objective}: ask for valid_nll or test_nll"
            )
        is_single = isinstance(blocks, Blocks)
        places = [self.index(each) for each in ([blocks] if is_single else blocks)]
        values = METRICS[metric](self)
        at_epoch = self._epoch(metric, values.ndim, epoch)
        at_seed = self._seed(metric, values.ndim, seed)
        if values.ndim == 3:
            values = values[:, :, at_epoch]
        if at_seed is not None:
            values = values[:, at_seed]
        found = values[places]
        for place, of_network in zip(places, found):
            if np.isnan(of_network).all():
                raise self._unknown(metric, place, epoch, seed)
        return found if not is_single else found[0] if found[0].ndim else float(found[0])

    def _epoch(self, metric: str, axes: int, epoch: int | None) -> int:
        """The place of an epoch along E."""
        if epoch is None:
            return self.num_epochs - 1
        if axes < 3:
            when = "after the last epoch only" if axes == 2 else "once for a network"
            raise UsageError(f"{metric} is known {when}: leave the epoch, {epoch!r}, out")
        if not _is_integer(epoch) or not 1 <= epoch <= self.num_epochs:
            raise UsageError(f"epoch must be from 1 to {self.num_epochs}, but is {epoch!r}")
        return int(epoch) - 1

    def _seed(self, metric: str, axes: int, seed: int | None) -> int | None:
        """The place of a seed along S; None for all."""
        if seed is None:
            return None
        if axes < 2:
            raise UsageError(f"{metric} does not depend on the seed: leave it, {seed!r}, out")
        if not _is_integer(seed) or seed not in self.seeds:
            own = ", ".join(map(str, self.seeds.tolist()))
            raise UsageError(f"seed must be one of {own}, but is {seed!r}")
        return int(np.flatnonzero(self.seeds == seed)[0])

    def _unknown(self, metric: str, place: int, epoch: int | None, seed: int | None) -> UsageError:
        """Why a figure of a network is not known."""
        network, axes = self.networks[place], METRICS[metric](self).ndim
        if axes == 1:
            return UsageError(f"{metric} of {network} is not known")
        trained = [
            f"seed {number} to epoch {epochs}"
            for number, epochs in zip(self.seeds.tolist(), self.epochs_trained[place].tolist())
            if epochs
        ]
        asked = "" if seed is None else f" with seed {seed}"
        asked += f" to epoch {self.num_epochs if epoch is None else epoch}"
        return UsageError(
            f"{metric} of {network} is not known{asked}: the network was trained"
            f" {'with ' + ', '.join(trained) if trained else 'with no seed yet'}, of"
            f" {plural(self.num_epochs, 'epoch')}"
        )

    def _misshape(self) -> str:
        """What of the shapes and single numbers does not fit, as a phrase, or ''."""
        numbers = {"num_blocks": (self.num_blocks, 1, MAX_BLOCKS)}
        numbers["steps_per_epoch"] = (self.steps_per_epoch, 1, schema.MAX_INTEGER)
        numbers |= {
            f"tokens of {split}": (value, 1, schema.MAX_INTEGER)
            for split, value in zip(SPLITS, self.tokens)
        }
        for name, (value, low, high) in numbers.items():
            if not _is_integer(value) or not low <= value <= high:
                return f"{name} is {value!r}, not an integer from {low} to {high}"
        kinds = {name: type(value) for name, value in self.about.items()}
        if kinds != ABOUT:
            return "about has not just the objects data and settings and the list made_with"
        if len(self.tokens) != len(SPLITS) or len(self.words) != len(SPLITS):
            return f"there are not {len(SPLITS)} numbers of tokens and words"
        if not all(0 < words <= MAX_FIGURE for words in self.words):
            return f"words are {self.words}"
        shape = (
            len(self),
            len(self.seeds),
            self.valid_nll.shape[-1] if self.valid_nll.ndim else 0,
        )
        if self.seeds.ndim != 1 or not all(shape) or np.prod(shape, dtype=object) > MAX_CELLS:
            return f"there are {shape} networks, seeds and epochs"
        for name, axes in AXES.items():
            if getattr(self, name).shape != shape[:axes]:
                return f"{name} has shape {getattr(self, name).shape}, not {shape[:axes]}"
        if self.seeds[0] < 0 or self.seeds[-1] >= 1 << 31 or (np.diff(self.seeds) <= 0).any():
            return f"seeds are {self.seeds[:20].tolist()}, not increasing from 0 on"
        return ""

    def _contradiction(self) -> str:
        """What the arrays hold that no training leaves behind, as a phrase, or ''."""
        for name in AXES:
            values = getattr(self, name)
            low = 0 if name in (*BY_EPOCH, *BY_SEED) else np.nextafter(0, 1)
            if not (np.isnan(values) | ((values >= low) & (values <= MAX_FIGURE))).all():
                return f"{name} holds a figure that is not from 0 to {MAX_FIGURE:.0e}"
        known = np.isfinite(self.valid_nll)
        for name in BY_EPOCH:
            if not np.array_equal(np.isfinite(getattr(self, name)), known):
                return f"{name} and valid_nll are known of different epochs"
        if (known[:, :, 1:] & ~known[:, :, :-1]).any():
            return "an epoch is known and the one before is not"
        if (self.is_whole & ~known[:, :, -1]).any():
            return "a test_nll is known and the last epoch is not"
        if (np.diff(self.seconds, axis=2) < 0).any():
            return "seconds decrease"
        whole = self.parameters[np.isfinite(self.parameters)]
        if (whole != np.floor(whole)).any():
            return "parameters are not integers"
        return ""


def _frozen(values: Any, kind: type) -> np.ndarray:
    """A copy that can't be written to."""
    made = np.array(values, kind, order="C")
    made.flags.writeable = False
    return made


def _is_integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _per_word(nll: np.ndarray, table: BlockTable, split: str) -> np.ndarray:
    """Perplexities per word of nll per token; infinite where they overflow."""
    place = SPLITS.index(split)
    with np.errstate(over="ignore"):
        return np.exp(nll.astype(np.float64) * table.tokens[place] / table.words[place])


# every figure that can be asked for: float64 [N], [N, S] or [N, S, E]
METRICS: dict[str, Callable[[BlockTable], np.ndarray]] = {
    "train_nll": lambda table: table.train_nll.astype(np.float64),
    "valid_nll": lambda table: table.valid_nll.astype(np.float64),
    "test_nll": lambda table: table.test_nll.astype(np.float64),
    "valid_perplexity_per_word": lambda table: _per_word(table.valid_nll, table, "valid"),
    "test_perplexity_per_word": lambda table: _per_word(table.test_nll, table, "test"),
    "sum_of_training_losses": lambda table: table.train_nll.astype(np.float64).cumsum(axis=2),
    "seconds": lambda table: table.seconds.astype(np.float64),
    "parameters": lambda table: table.parameters,
    "latency_ms": lambda table: table.latency_ms,
    "measured_latency_ms": lambda table: table.measured_latency_ms,
}
