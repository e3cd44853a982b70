r"""Scores trained networks on any split: perplexity per token and per word, bits per byte.

    python tools/evaluate.py --run=logs/RUN --split=valid --split=test
    python tools/evaluate.py --run=logs/SEARCH --run=logs/DERIVED
        a SuperNet as its mixture (soft) and as its argmax
    python tools/evaluate.py --run=logs/SEARCH --architecture=aaddid
        these blocks with the SuperNet's weights, untrained
    python tools/evaluate.py --run=logs/RUN --batch_size=1 --seq_len=64 --mem_len=256 \
        --same_length --clamp_len=64
    python tools/evaluate.py --run=logs/RUN --batch_size=1 --sweep_mem_len=0 --sweep_mem_len=16 \
        --sweep_mem_len=64 --plot=memory.png
    python tools/evaluate.py --run=logs/RUN --seq_len=64 --stride=16
        windows that overlap, instead of a memory
    python tools/evaluate.py --run=logs/RUN --baseline=none
    python tools/evaluate.py --run=logs/CAUSAL --run=logs/MASKED --mask_draws=4
        both on the tokens that are masked in so many draws
    python tools/evaluate.py --run=logs/RANDOM_CONTEXTS --run=logs/GROUP_CONTEXTS
        and how much better the second is on the same tokens, by depth in threads, with intervals
    python tools/evaluate.py --run=logs/MASKED --pseudo --pseudo_tokens=2000
        and the pseudo-perplexity, each token masked in turn

The last rows are of models of the same pieces without a network, and a warning names each network
that does not beat them: an interpolated Kneser-Ney 5-gram; where tokens are masked, the unigram
model, and its mixture with the bigrams of both neighbours.

B, T and M may differ from training's: the records are joined to one stream and cut again. A sweep
also reports how much context each network uses, by itself and relative to the others (Dai et al.
2019, appendix C). The same command gives the same figures.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import dataclasses
import functools
import sys
from pathlib import Path

from absl import flags

from par.core import schema
from par.core.errors import UsageError
from par.data import records
from par.evaluate.eval_config import EvalConfig
from par.objectives import OBJECTIVES
from par.objectives.contract import Contract
from par.tools.cli import trained
from par.tools.cli.baseline import OF_RUN, names_of
from par.tools.cli.checks import inherited_blocks, load_run, picture_path, refuse_idle
from par.tools.cli.flags import Flags, choice, define_path
from par.tools.cli.shelved import define_runs
from par.tools.cli.tensorflow import start_tensorflow
from par.tools.evaluations import shown
from par.tools.evaluations.compared import baselines_beside, contexts_of, warnings_of
from par.tools.evaluations.lines import lines_of, told_apart

FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        (
            define_runs,
            "run",
            [],
            "run directory, or shelf:NAME@TAG (the table has lines for each)",
        ),
        trained.DATA,
        (choice(*records.SPLITS, repeatable=True), "split", ["valid", "test"], "split"),
        (
            choice("soft", "argmax", repeatable=True),
            "evaluate_as",
            ["soft", "argmax"],
            "how a SuperNet is scored",
        ),
        (
            define_path,
            "architecture",
            "",
            (
                "score these blocks, or an architecture.json, with the weights that each run has"
                " for them"
            ),
        ),
        trained.CHECKPOINT,
        (
            flags.DEFINE_bool,
            "show_history",
            False,
            "print the table of iterations of each run, too",
        ),
        OF_RUN,
        (
            functools.partial(flags.DEFINE_integer, lower_bound=1, upper_bound=1 << 16),
            "mask_draws",
            None,
            (
                "score the tokens that are masked in so many draws, by runs that predict the next"
                " token, too; the default is the objective's, of runs that mask tokens"
            ),
        ),
        (
            flags.DEFINE_bool,
            "pseudo",
            False,
            (
                "print the pseudo-perplexity, too: each token masked in turn, by a run that"
                " predicts masked tokens"
            ),
        ),
        (
            functools.partial(flags.DEFINE_integer, lower_bound=1, upper_bound=1 << 40),
            "pseudo_tokens",
            2_000,
            "tokens from the beginning of a split that --pseudo reads",
        ),
        (flags.DEFINE_bool, "json", False, "print one JSON line"),
    )
    .group(EvalConfig, "How the text is read")
    .own(
        "Several memory lengths",
        (
            flags.DEFINE_multi_integer,
            "sweep_mem_len",
            [],
            "score at this memory length M, instead of --mem_len",
        ),
        (
            define_path,
            "plot",
            None,
            "write a picture of perplexity per word by memory length, PNG",
        ),
    )
)


def _work(values: Flags) -> int:
    if not values.run:
        raise UsageError("--run=DIR is required; see --help")
    readings = _readings(values)
    if values.architecture:
        refuse_idle(values, ("evaluate_as",), beside="architecture")
    if values.json:
        refuse_idle(values, ("show_history",), beside="json")
    if values.plot:
        picture_path(values.plot, "plot")
    opened = [(run, *load_run(run, values.data)) for run in dict.fromkeys(values.run)]
    for run, config, *_ in opened:
        config.contract.check_predicts("evaluate", run)
    of_runs = {run: config.contract for run, config, _, _ in opened}
    _check_pseudo(values, of_runs)
    contract, draws = _contract(values, of_runs)
    names = names_of(values, contract)
    resolved = [
        [reading.resolved(config, manifest, values.split) for reading in readings]
        for _, config, _, manifest in opened
    ]
    of_runs = {run: config.architecture.blocks for run, config, _, _ in opened}
    blocks = inherited_blocks(values.architecture, of_runs)
    start_tensorflow()
    lines = [
        line
        for run, of_run in zip(opened, resolved)
        for line in lines_of(values, of_run, *run, blocks, contract, draws)
    ]
    lines = told_apart(lines)
    data_sets = {data_dir: manifest for _, _, data_dir, manifest in opened}
    baselines = list(
        baselines_beside(values, names, data_sets, draws or contract.draws, bool(draws))
    )
    warnings = warnings_of(lines, baselines)
    lengths = [reading.mem_len for reading in readings] if values.sweep_mem_len else []
    contexts = contexts_of(lines, lengths) if lengths else []
    drawn = [shown.plot(Path(values.plot), lines, lengths)] if values.plot else []
    if values.json:
        print(schema.canonical_json(shown.as_json(lines, contexts, baselines, warnings)))
    else:
        parts = [*shown.parts(values, lines, lengths, contexts, baselines), drawn]
        parts.append([f"warning: {line}" for line in warnings])
        print("\n\n".join("\n".join(part) for part in parts if part))
    return 0


def _readings(values: Flags) -> list[EvalConfig]:
    """One, or one for each memory length. Raises: UsageError for flags that conflict."""
    reading, lengths = values.read(EvalConfig), sorted(set(values.sweep_mem_len))
    if not lengths:
        if values.plot:
            raise UsageError(
                "--plot draws perplexity by memory length: give --sweep_mem_len=M at least twice"
            )
        return [reading]
    if reading.mem_len is not None:
        raise UsageError(
            f"--mem_len={reading.mem_len} is one memory length, --sweep_mem_len several: give only"
            " one of both flags"
        )
    if len(lengths) == 1:
        raise UsageError(
            "--sweep_mem_len must be given at least twice, with different lengths, but is only"
            f" {lengths[0]}; for one there is --mem_len"
        )
    return [dataclasses.replace(reading, mem_len=length) for length in lengths]


def _contract(values: Flags, of_runs: dict[str, Contract]) -> tuple[Contract, int]:
    """In the figures of which objective the runs are scored, and the draws of the masked tokens
    that all of them are scored on, 0 where these are the run's own. Raises: UsageError if the runs
    have no figure in common, or one can't be scored on masked tokens."""
    (first, contract), *others = of_runs.items()
    several = [(run, other) for run, other in others if other != contract]
    masked = next(each for each in OBJECTIVES.values() if each.fills)
    for run, other in of_runs.items():
        if values.mask_draws and not (other.fills or other.generates):
            raise UsageError(
                "--mask_draws compares runs of masked_lm, and those that predict the next token,"
                f" but {run} is {other.name}: leave it out"
            )
    if values.mask_draws or (
        several and all(each.fills or each.generates for each in of_runs.values())
    ):
        if values.stride is not None:
            raise UsageError(
                "--stride reads tokens in several windows, in which others are masked: leave it"
                " out where masked tokens are scored by several objectives or draws"
            )
        return masked, values.mask_draws or masked.draws
    for run, other in several:
        raise UsageError(
            f"--run={first} is of {contract.name}, --run={run} of {other.name}, which have no"
            " figure in common: evaluate them one after the other"
        )
    return contract, 0


def _check_pseudo(values: Flags, of_runs: dict[str, Contract]) -> None:
    """Raises: UsageError if --pseudo can't be computed."""
    if not values.pseudo:
        refuse_idle(values, ("pseudo_tokens",), without="pseudo")
        return
    refuse_idle(values, ("sweep_mem_len", "stride"), beside="pseudo")
    for run, contract in of_runs.items():
        contract.check_fills("--pseudo", run)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
