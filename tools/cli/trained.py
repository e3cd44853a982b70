"""The flags by which commands take a trained network."""

from __future__ import annotations

from par.tools.cli.flags import choice, define_path
from par.tools.cli.shelved import define_run
from par.train.run_config import CHECKPOINTS

RUN = (define_run, "run", None, "run directory, or shelf:NAME@TAG")
DATA = (define_path, "data", None, "data set, if it has moved since the training")
TOKENIZER = (*DATA[:3], f"{DATA[3]}; only its tokenizer is used")
CHECKPOINT = (choice(*CHECKPOINTS), "checkpoint", "last", "the last, or the best by valid nll")
EVALUATE_AS = (
    choice("soft", "argmax"),
    "evaluate_as",
    "soft",
    "how a SuperNet is used; without effect on a fixed network",
)
