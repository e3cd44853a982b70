"""Tells before any training whether other texts can help to predict the words of a text.

    python tools/context_gain.py --data=data/python-docs
        for every kind of contexts that the data have
    python tools/context_gain.py --data=data/NAME --contexts=4 --context_len=32 --text_len=32
        of only four contexts, and of all texts the first 32 tokens, as a network reads them

Masks the tokens of held-out documents, a seventh of a text at a time, and predicts them by a
mixture of counts: how often a token occurs in train, and beside its neighbours; how often in the
rest of its text; and how often, and beside its neighbours, in the contexts. Prints for every kind
of contexts the nll in nats a token less that with as many unrelated texts, which share neither
author nor group nor thread, with a 95 % interval for other groups. The weights of the mixture are
fitted to other groups than those that are scored. It knows exact tokens alone, so it does not
bound a network.

Needs a data set with documents. The count is by piece, or by word if the data were built with
--model_type=word.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import dataclasses
import sys
from typing import Any

from absl import flags

from par.baselines import context_gain
from par.baselines.context_gain import Gain, Result, Split
from par.baselines.relations import KINDS, cluster_kind
from par.core import schema
from par.core.progress import Progress
from par.core.setting_group import Group, setting
from par.core.stats import Interval
from par.core.text import number, plural, table
from par.data import documents, records
from par.tools.cli.checks import required_dir
from par.tools.cli.flags import Flags, choice, define_path

UNITS = {"word": "word", "char": "character"}  # by model type; else pieces
LEAST = 0.001  # nats: less is none, and below what the weights of the mixture are found to
TITLES = ["contexts", "texts", "each", "nll", "unrelated", "difference", "95 %", ""]


@dataclasses.dataclass(frozen=True)
class GainConfig(Group):
    """What is counted."""

    contexts: int = setting(10, "texts that are read beside each one", minimum=1, maximum=1 << 10)
    context_len: int | None = setting(
        None,
        "tokens that are read of each context, from its beginning; by default all",
        minimum=1,
        maximum=1 << 20,
    )
    text_len: int | None = setting(
        None,
        "tokens that are scored of each text, from its beginning; by default all",
        minimum=1,
        maximum=1 << 20,
    )
    documents: int = setting(
        10_000,
        "texts that are scored, drawn by the seed; at most about a quarter of a million tokens",
        minimum=1,
        maximum=1 << 20,
    )
    seed: int = setting(
        0,
        "seed of the texts, the masks, the contexts and the intervals",
        minimum=0,
        maximum=(1 << 32) - 1,
    )


FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        (define_path, "data", None, "directory that tools/build_data.py made, with documents"),
        (
            choice("valid", "test", repeatable=True),
            "split",
            ["valid", "test"],
            "the splits whose documents are scored",
        ),
        (flags.DEFINE_bool, "json", False, "print one JSON line"),
    )
    .group(GainConfig, "Counting")
)


def _work(values: Flags) -> None:
    config = values.read(GainConfig)
    data_dir = required_dir(values.data, "data", "manifest.json")
    manifest = records.load(data_dir)
    names = list(dict.fromkeys(values.split))
    splits = []
    for name in names:
        reader = documents.token_reader(data_dir, name)
        splits.append(Split(name, reader.table, reader))
    train = documents.token_reader(data_dir, "train")
    tables = [split.table for split in splits]
    cluster = cluster_kind(manifest.documents.split_by, tables)
    size = min(sum(len(split.table) for split in splits), config.documents)
    with (
        Progress("counting train", "token", len(train)) as counting,
        Progress("reading contexts", "text", size) as scoring,
    ):
        result = context_gain.measure(
            train,
            splits,
            manifest.vocab_size,
            cluster,
            contexts=config.contexts,
            context_len=config.context_len,
            text_len=config.text_len,
            most=config.documents,
            seed=config.seed,
            counting=counting,
            scoring=scoring,
        )
    unit = UNITS.get(manifest.settings["model_type"], "piece")
    if values.json:
        print(schema.canonical_json(_facts(values, config, result, unit, cluster)))
    else:
        print("\n".join(_lines(names, config, result, unit, cluster)))


def _facts(
    values: Flags, config: GainConfig, result: Result, unit: str, cluster: str
) -> dict[str, Any]:
    """The result for --json."""
    return {
        "data": values.data,
        "splits": list(dict.fromkeys(values.split)),
        **config.to_json(),
        "unit": unit,
        "cluster": cluster,
        **result._asdict(),
        "gains": [
            gain._asdict() | {"difference": gain.difference.to_json()} for gain in result.gains
        ],
    }


def _lines(
    splits: list[str], config: GainConfig, result: Result, unit: str, cluster: str
) -> list[str]:
    """The result for people."""
    read, scored = (
        f"the first {plural(most, 'token')}" if most else "all"
        for most in (config.context_len, config.text_len)
    )
    lines = [
        f"{' and '.join(splits)}: {plural(result.documents, 'text')} of"
        f" {plural(result.clusters, cluster)}; {plural(result.tokens, f'masked {unit}')}",
        f"nats a {unit}: {number(result.unigram_nll, 3)} by frequency alone,"
        f" {number(result.nll, 3)} without contexts",
        f"contexts: up to {config.contexts:,} texts, {read} of each; of a text, {scored}",
        "",
    ]
    if result.gains:
        rows = [TITLES, *(_row(gain, result) for gain in result.gains)]
        lines += [*table(rows, left=1), ""]
        lines.append(
            f"difference: to as many unrelated texts, for the same masked {unit}s; intervals for"
            f" other {cluster}s"
        )
    if result.lacking:
        why = (f"{KINDS[kind].label} ({reason})" for kind, reason in result.lacking.items())
        lines.append(f"these data can't tell: {'; '.join(why)}")
    return lines


def _row(gain: Gain, result: Result) -> list[str]:
    low, high = gain.difference[1:]
    return [
        KINDS[gain.kind].label,
        f"{gain.documents / result.documents:.1%}",
        f"{gain.contexts:.1f}",
        f"{gain.nll:.3f}",
        f"{gain.unrelated_nll:.3f}",
        f"{gain.difference.mean:+.3f}",
        f"{low:+.3f} to {high:+.3f}",
        _verdict(gain.difference),
    ]


def _verdict(difference: Interval) -> str:
    if difference.high < -LEAST:
        return "can help"
    return "no gain is seen" if difference.low <= LEAST else "worse"


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
