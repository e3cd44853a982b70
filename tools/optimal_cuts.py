"""Finds the best cutoffs of the adaptive softmax for the counts of a data set, and what they save.

    python tools/optimal_cuts.py --data=data/python-docs
        for each number of clusters, the best marked
    python tools/optimal_cuts.py --data=data/python-docs --clusters=3 --measure
        for 3 clusters; the real layers are timed too
    python tools/optimal_cuts.py --counts=FILE --sort --cost=area
        counts of another program, one a line; needs no TensorFlow

The cutoffs are exact for the model of the cost. Prints the model of this machine's times and its
error, cutoffs and predicted time a step for each number of clusters, and the flags that `train`
takes: the cutoffs, and the settings of the network that were given. A step is the softmax with its
loss, forward and backward, for batch_size x seq_len tokens, without the optimizer's update. Draws
the counts with the best cutoffs.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import dataclasses
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from absl import flags

from par.core import schema
from par.core.config import ModelConfig, TrainingConfig
from par.core.errors import UsageError
from par.core.progress import announce
from par.data import records
from par.data.tokenizer import SPECIAL_PIECES
from par.nn import cutoffs
from par.tools.cli.checks import picture_path, required_dir
from par.tools.cli.flags import Flags, choice, define_path
from par.tools.cli.tensorflow import start_tensorflow

# key, title, unit
COSTS = {
    "device": ("predicted_ms", "predicted ms", "ms a step"),
    "area": ("area", "logits a token", "logits a token"),
}
NETWORK = ("d_model", "proj_factor", "proj_dims")
# each number of clusters needs its own dynamic programme, each tail width its own model
MAX_CLUSTERS = 64
FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        (define_path, "data", None, "directory that tools/build_data.py made"),
        (
            define_path,
            "counts",
            None,
            "a file of one count or probability a line, in the order of the ids",
        ),
        (
            flags.DEFINE_bool,
            "sort",
            False,
            "with --counts: ids are renumbered by falling count first",
        ),
        (
            flags.DEFINE_integer,
            "clusters",
            None,
            "number of clusters K, the head included; 3 clusters are two cutoffs",
        ),
        (
            flags.DEFINE_integer,
            "max_clusters",
            None,
            "every K from 1 up to this; default: 5, or as many as leave no tail narrower than 8",
        ),
        (
            choice(*COSTS),
            "cost",
            "device",
            "device: milliseconds by a model of this machine; area: logits that are computed",
        ),
        (flags.DEFINE_integer, "batch_size", None, "rows B; default: the data set's, or 32"),
        (
            flags.DEFINE_integer,
            "seq_len",
            None,
            "window length T in tokens; default: the data set's, or 32",
        ),
        (flags.DEFINE_bool, "measure", False, "time the real layers too"),
        (
            define_path,
            "plot",
            None,
            "the picture to draw, a .png; default logs/NAME-cutoffs.png; empty: none",
        ),
        (flags.DEFINE_integer, "seed", 0, "seed of the weights, states and tokens that are timed"),
        (flags.DEFINE_bool, "json", False, "print one JSON line"),
    )
    .group(ModelConfig, "Network", only=NETWORK)
)


class _Text(NamedTuple):
    """The counts [V] of a text in the order of the ids, its name, and the B and T of a step."""

    name: str
    counts: np.ndarray
    batch_size: int
    seq_len: int


def _counts(values: Flags) -> _Text:
    """What --data or --counts gives, and --batch_size and --seq_len."""
    if bool(values.data) == bool(values.counts):
        raise UsageError(
            f"give either --data=DIR or --counts=FILE, but --data is {values.data!r} and --counts"
            f" {values.counts!r}; see --help"
        )
    if values.data:
        data_dir = required_dir(values.data, "data", "manifest.json")
        if values.sort:
            raise UsageError(
                "--sort is for --counts: the ids of a data set are those of its tokenizer,"
                " whatever their counts"
            )
        manifest = records.load(data_dir)
        records.verify(data_dir, manifest, splits=())
        name, counts, shape = (
            manifest.name,
            records.read_counts(data_dir, manifest),
            (manifest.batch_size, manifest.seq_len),
        )
        first, path, advice = (
            len(SPECIAL_PIECES),
            data_dir / "counts.txt",
            "build without --tokenizer_model for ids in the order of their counts",
        )
    else:
        name, counts, shape = (
            Path(values.counts).stem,
            cutoffs.read_counts(values.counts),
            (32, 32),
        )
        first, path, advice = 0, values.counts, "--sort renumbers them by count"
        if values.sort:
            counts = np.sort(counts)[::-1]
    if np.any(rising := np.diff(counts[first:]) > 0):
        line = first + int(np.argmax(rising)) + 2
        announce(
            f"warning: counts rise at line {line} of {path}: the cutoffs are for ids in this"
            f" order; {advice}"
        )
    batch_size, seq_len = (
        default if given is None else given
        for given, default in zip((values.batch_size, values.seq_len), shape)
    )
    if min(batch_size, seq_len) < 1 or batch_size * seq_len > 1 << 24:
        raise UsageError(
            f"--batch_size and --seq_len must be at least 1, and their product at most {1 << 24},"
            f" but are {batch_size} and {seq_len}"
        )
    return _Text(name, counts, batch_size, seq_len)


def _sizes(values: Flags, v: int) -> list[int]:
    """The numbers of clusters to cut into; 1, the plain softmax, is always among them."""
    wanted, most, tails, largest = (
        values.clusters,
        values.max_clusters,
        len(values.proj_dims),
        min(v, MAX_CLUSTERS),
    )
    if most is not None and (wanted is not None or tails):
        one = "--proj_dims" if wanted is None else "--clusters"
        raise UsageError(
            f"--max_clusters tries every number of clusters up to {most}, and {one} gives one:"
            " leave one of the two out"
        )
    if wanted is not None and not 1 <= wanted <= largest:
        raise UsageError(f"--clusters must be from 1 to {largest} for {v} ids, but is {wanted}")
    if most is not None and not 1 <= most <= MAX_CLUSTERS:
        raise UsageError(f"--max_clusters must be from 1 to {MAX_CLUSTERS}, but is {most}")
    if tails:
        if wanted not in (None, tails + 1):
            raise UsageError(
                f"--proj_dims gives {tails} widths, so --clusters must be {tails + 1}, but is"
                f" {wanted}: leave one out"
            )
        if tails >= largest:
            raise UsageError(
                f"--proj_dims must give at most {largest - 1} widths for {v} ids, but gives"
                f" {tails}"
            )
        wanted = tails + 1
    model = values.read(ModelConfig, num_heads=1, proj_dims=())
    most = most or cutoffs.most_clusters(model.d_model, model.proj_factor, v)
    return sorted({1, wanted}) if wanted else list(range(1, min(most, v) + 1))


def _picture(values: Flags, name: str) -> Path | None:
    """The picture to draw, if any. Raises, before anything is timed: UsageError if it is not a
    .png, and what `files.check_writable` raises."""
    if values.plot == "":
        return None
    # several data sets may be made of one text
    named = Path(values.data).resolve().name if values.data else name
    return picture_path(values.plot or f"logs/{named}-cutoffs.png", "plot")


@dataclasses.dataclass(frozen=True)
class _Result:
    """The best cuts [K] of a text for each number of clusters, and how they were found.

    fits: the model of this machine's times, by cluster; [] for --cost=area. milliseconds [K]: of
    the real layers; None where they were not timed. seconds: what the search took.
    """

    text: _Text
    model: ModelConfig
    cuts: list[cutoffs.Cuts]
    fits: list[cutoffs.Fit]
    milliseconds: list[float | None]
    seconds: float

    @property
    def best(self) -> cutoffs.Cuts:
        """The cheapest."""
        return cutoffs.cheapest(self.cuts)

    def rows(self, cost: str) -> list[dict[str, Any]]:
        """The figures of each number of clusters."""
        return [
            _row(cut, milliseconds, self.cuts[0], cost)
            for cut, milliseconds in zip(self.cuts, self.milliseconds, strict=True)
        ]


def _work(values: Flags) -> None:
    text = _counts(values)
    sizes = _sizes(values, len(text.counts))
    picture = _picture(values, text.name)
    model = values.read(ModelConfig, num_heads=1, cutoffs=tuple(range(1, sizes[-1])))
    result = _find(values, text, sizes, model)
    chosen = result.cuts[-1] if values.clusters or values.proj_dims else result.best
    if picture:
        from par.report import line_plots

        line_plots.cutoffs(picture, text.counts, chosen.cutoffs)
    if values.json:
        print(schema.canonical_json(_facts(values, result, chosen, picture)))
    else:
        _tell(values, result, chosen, picture)


def _find(values: Flags, text: _Text, sizes: Sequence[int], model: ModelConfig) -> _Result:
    """The best cuts for each number of clusters, with the model of this machine and the
    measurement that the flags ask for."""
    rows, cost, fits = text.batch_size * text.seq_len, cutoffs.area, []
    milliseconds, seed = [None] * len(sizes), values.read(TrainingConfig).seed
    if values.cost == "device" or values.measure:
        start_tensorflow()
        from par.bench import softmax_speed
    if values.cost == "device":
        fits = softmax_speed.fit_clusters(model, text.counts, rows, seed)
        cost = cutoffs.device_cost(fits, rows)
    start = time.perf_counter()
    cuts = [cutoffs.optimal(text.counts, size, cost) for size in sizes]
    seconds = time.perf_counter() - start
    if values.measure:
        milliseconds = softmax_speed.measure(model, text.counts, cuts, rows, seed)
    return _Result(text, model, cuts, fits, milliseconds, seconds)


def _facts(
    values: Flags, result: _Result, chosen: cutoffs.Cuts, picture: Path | None
) -> dict[str, Any]:
    """The result for --json."""
    text = result.text
    return {
        "name": text.name,
        "vocab_size": len(text.counts),
        "batch_size": text.batch_size,
        "seq_len": text.seq_len,
        "d_model": result.model.d_model,
        "cost": values.cost,
        "fits": [fit.to_json() for fit in result.fits],
        "clusters": result.rows(values.cost),
        "best": result.best.clusters,
        "cutoffs": chosen.cutoffs,
        "flags": _train_flags(values, chosen),
        "plot": str(picture or ""),
        "compute_seconds": round(result.seconds, 4),
    }


def _tell(values: Flags, result: _Result, chosen: cutoffs.Cuts, picture: Path | None) -> None:
    """Prints the result for people."""
    text, model = result.text, result.model
    step = (
        f"; a step of {text.batch_size} x {text.seq_len} tokens at width {model.d_model}, forward"
        " and backward"
    )
    print(f"{text.name}: {len(text.counts):,} ids{step if result.fits or values.measure else ''}")
    for i, fit in enumerate(result.fits):
        print(f"{f'tail {i}' if i else 'head'}, width {fit.width}: {fit}")
    lines = ["", *_lines(result.rows(values.cost), result.best, values.cost)]
    lines += [f"computed in {result.seconds:.3f} s", ""]
    lines += _conclusion(values, model, result.best, result.cuts)
    if chosen.cutoffs:
        lines.append(_train_flags(values, chosen))
    print("\n".join(lines))
    if picture:
        from par.report import style

        print(style.described(picture))


def _row(
    cut: cutoffs.Cuts, milliseconds: float | None, plain: cutoffs.Cuts, cost: str
) -> dict[str, Any]:
    """The figures of one number of clusters."""
    figures = {
        "clusters": cut.clusters,
        "cutoffs": cut.cutoffs,
        COSTS[cost][0]: cut.cost,
        "of_plain": cut.cost / plain.cost,
    }
    return figures if milliseconds is None else figures | {"measured_ms": milliseconds}


def _lines(table: Sequence[dict[str, Any]], best: cutoffs.Cuts, cost: str) -> list[str]:
    """The table for people; * marks the best."""
    key, title, _ = COSTS[cost]
    widest = max(len(_listed(row["cutoffs"])) for row in table)
    measured = ["measured_ms"] if "measured_ms" in table[0] else []
    lines = [f"  K  {'cutoffs':<{widest}}{title:>16}{'of plain':>10}"]
    if measured:
        lines[0] += f"{'measured ms':>13}"
    for row in table:
        mark = "*" if row["clusters"] == best.clusters else " "
        figures = f"{row[key]:>16,.2f}{row['of_plain']:>10.1%}" + "".join(
            f"{row[name]:>13,.2f}" for name in measured
        )
        lines.append(f"{mark}{row['clusters']:>2}  {_listed(row['cutoffs']):<{widest}}{figures}")
    return lines


def _listed(ends: Sequence[int]) -> str:
    return " ".join(map(str, ends)) or "none: plain softmax"


def _conclusion(
    values: Flags, model: ModelConfig, best: cutoffs.Cuts, cuts: Sequence[cutoffs.Cuts]
) -> list[str]:
    """What follows, in a sentence."""
    plain, unit, faster = (
        cuts[0],
        COSTS[values.cost][2],
        "faster" if values.cost == "device" else "cheaper",
    )
    if best.cutoffs:
        return [
            f"best: {best.clusters} clusters, {best.cost / plain.cost:.1%} of the cost of plain"
            " softmax"
        ]
    if len(cuts) > 1:
        second = cutoffs.cheapest(cuts[1:])
        costs = f"{plain.cost:,.2f} {unit}, {second.cost:,.2f} with {second.clusters} clusters"
        return [f"plain softmax is {faster}: {costs}: train with {plain.flags}"]
    if values.clusters or values.max_clusters:
        return []
    widths = (
        f"the widest would have width {int(model.d_model // model.proj_factor)}, and"
        f" {cutoffs.LEAST_WIDTH} is the least by default"
    )
    return [f"no tail was tried: {widths}; --max_clusters=K tries narrower ones"]


def _train_flags(values: Flags, chosen: cutoffs.Cuts) -> str:
    """As `train` takes them: the cutoffs, and what was given of the network that they are for."""
    given = [(name, getattr(values, name)) for name in NETWORK if values[name].present]
    return " ".join(
        [
            chosen.flags,
            *(
                f"--{name}={item}"
                for name, value in given
                for item in (value if isinstance(value, list) else [value])
            ),
        ]
    )


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
