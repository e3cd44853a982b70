"""Measures the speed of this program on this machine.

    python tools/benchmark.py train         steps per second of the search for each sampling, and
                                            of fixed networks; where a step's time goes
    python tools/benchmark.py softmax       plain against adaptive softmax, forward and backward,
                                            by vocabulary size
    python tools/benchmark.py data          how fast a data set is built, compared with
                                            SentencePiece alone, and its peak memory
    python tools/benchmark.py estimators    how well each sampling estimates the gradient of the
                                            logits, by enumeration
    python tools/benchmark.py growth        how a step's time and memory grow with L, B, T, M, D
                                            and F, beside the formulas for that
    python tools/benchmark.py generation    tokens per second with the memory carried along, and
                                            with the context computed again for each token
    python tools/benchmark.py sharing       steps per second of several devices or processes that
                                            train one network together
    python tools/benchmark.py scaling       the cost of a step on many devices, by a formula
    python tools/benchmark.py saving        the cost of checkpoints: milliseconds of one, and its
                                            share of the training time
    python tools/benchmark.py shipping      the size of an export's formats, and milliseconds a
                                            token of each beside the library
    python tools/benchmark.py compression   bits per character by xz that has read train: what a
                                            network of characters must beat
    python tools/benchmark.py softmax --help               the flags of one subject
    python tools/benchmark.py train --json --steps=100     the figures as one JSON line

The candidates of a comparison are timed in turn over many rounds, so that a change in the
machine's speed affects all of them; the medians are printed.
"""

from __future__ import annotations

# first: Ctrl-C during the other imports is one line
from par.tools.cli.main import overview, run_subcommand

# isort: split

import sys

from par.tools.benchmarks import (
    compression,
    data,
    estimators,
    generation,
    growth,
    saving,
    scaling,
    sharing,
    shipping,
    softmax,
    train,
)

SUBJECTS = {
    "train": train,
    "softmax": softmax,
    "data": data,
    "estimators": estimators,
    "growth": growth,
    "generation": generation,
    "sharing": sharing,
    "scaling": scaling,
    "saving": saving,
    "shipping": shipping,
    "compression": compression,
}
OVERVIEW = overview(__doc__, SUBJECTS)


def main(argv: list[str] | None = None) -> int:
    """The command: its first argument names the subject that is measured."""
    return run_subcommand(SUBJECTS, OVERVIEW, "what is measured", argv)


if __name__ == "__main__":
    sys.exit(main())
