"""The record of a run, one JSON object a line, appended only: the one input of the plots.

Two kinds of rows share the file.
train: step, epoch, tau, learning_rate, arch_lr, nll_per_token and the training_parts of the
    objective (means since the row before), pi [L, O] (one-hot for a fixed block), seconds
    (training time so far).
valid, one per evaluation: step, epoch, split, evaluate_as, the figures of the objective (null
if a perplexity overflows), train_nll_per_token (mean since the evaluation before), seconds.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from par.core import files, schema, text
from par.core.errors import DataError, UsageError
from par.objectives.contract import Contract
from par.search.architecture import KINDS
from par.train import run_config, run_directory

MAX_LINE_BYTES = 1 << 20
MAX_BYTES = 256 << 20  # a hundred rows, the default, have 4 MB at most: of 1,024 blocks
KEYS = {
    "train": {
        "kind",
        "step",
        "epoch",
        "tau",
        "learning_rate",
        "arch_lr",
        "pi",
        "seconds",
    },  # and the mean that is minimised
    "valid": {
        "kind",
        "step",
        "epoch",
        "split",
        "evaluate_as",
        "train_nll_per_token",
        "seconds",
    },  # and the figures of the objective
}
MAX_FIGURE = 1e12  # beyond any rate, loss or time in seconds of a run
TOLERANCE = 1e-5  # of a schedule's figure, which is computed in float32
# the network itself; a SuperNet as its mixture, or as its likeliest kinds
EVALUATED_AS = ("fixed", "soft", "argmax")
Rows = dict[str, list[dict[str, Any]]]


class History:
    """Appends rows to a history."""

    def __init__(self, path: Path):
        self.path = Path(path)

    def append(self, kind: str, **row: Any) -> None:
        """Writes one row and flushes it, so that a run can be plotted while it trains."""
        files.append_text(self.path, json.dumps({"kind": kind, **row}, allow_nan=False) + "\n")


def read_rows(path: Path, contract: Contract) -> Rows:
    """The rows of a history by kind, in file order: {"train": [...], "valid": [...]}, without a
    last line that is still being written. contract: of the run's objective.

    Raises: DataError if the file is missing or too large, a line is not a row of a known kind,
    steps do not increase (train) or decrease (valid), or the number of blocks changes.
    """
    rows: Rows = {"train": [], "valid": []}
    try:
        with open(path, "rb") as file:
            if (size := os.fstat(file.fileno()).st_size) > MAX_BYTES:
                raise DataError(
                    f"history {path} has {size} bytes, more than the {MAX_BYTES} that are read:"
                    " train with a larger --record_every"
                )
            for number, line in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES), b""), 1):
                if line.endswith(b"\n"):
                    row = _row(line, path, number, contract)
                    _check_order(rows[row["kind"]][-1:], row, path, number)
                    rows[row["kind"]].append(row)
                elif len(line) == MAX_LINE_BYTES:
                    raise DataError(
                        f"history {path} line {number} is longer than {MAX_LINE_BYTES} bytes"
                    )
    except OSError as error:
        raise DataError(
            f"history {path} can't be read ({error.strerror}); is this a run directory?"
        ) from None
    return rows


def _row(line: bytes, path: Path, number: int, contract: Contract) -> dict[str, Any]:
    try:
        row = schema.parse_json(line)
        of_training = ("nll_per_token", *contract.training_parts)
        needed = KEYS[row["kind"]].union(
            {"train": of_training, "valid": contract.names}[row["kind"]]
        )
        check = {"train": _is_train, "valid": _is_valid}[row["kind"]]
        # parts that training no longer sums were in its rows before
        ok = needed <= set(row) <= needed.union(contract.parts) and check(row, contract)
        ok = ok and all(
            type(row[key]) is int and 0 <= row[key] < 1 << 53 for key in ("step", "epoch")
        )
    except (ValueError, KeyError, TypeError, OverflowError):
        ok = False
    if not ok:
        raise DataError(
            f"history {path} line {number} is not a row of this program: {line[:60]!r}; put a"
            " whole copy in its place, or train anew"
        )
    if problem := _odd_figures(row, contract) if row["kind"] == "valid" else "":
        raise DataError(
            f"history {path} line {number} contradicts itself: {problem}; put a whole copy in its"
            " place, or train anew"
        )
    return row


def _odd_figures(row: dict[str, Any], contract: Contract) -> str:
    """How the figures of an evaluation contradict each other, or ''."""
    for figure in contract.figures:
        if not figure.is_perplexity or figure.scale_name not in row:
            continue
        nll, said = row[figure.scale_name], row[figure.name]
        of_nll = figure.from_scale(nll)
        if not (
            said is None
            if math.isinf(of_nll)
            else said is not None and schema.is_near(said, of_nll)
        ):
            return f"{figure.name} is {said}, but {figure.scale_name} {nll} makes it {of_nll:.6g}"
    character, byte = row.get("bits_per_character"), row.get("bits_per_byte")
    if None not in (character, byte) and not byte * (1 - TOLERANCE) <= character <= 4 * byte * (
        1 + TOLERANCE
    ):
        return (
            f"bits_per_character {character} is not 1 to 4 times bits_per_byte {byte}, as a"
            " character has so many bytes"
        )
    return ""


def _is_train(row: dict[str, Any], contract: Contract) -> bool:
    pi = np.array(row["pi"])
    ok = (
        pi.dtype.kind in "fi"
        and pi.ndim == 2
        and pi.shape[1] == len(KINDS)
        and bool((pi >= 0).all() and (abs(pi.sum(1) - 1) < 1e-3).all())
    )
    return (
        ok
        and row["tau"] > 0
        and all(row.get(part) is None or _is_figure(row[part]) for part in contract.parts)
        and all(
            _is_figure(row[key])
            for key in ("tau", "learning_rate", "arch_lr", "nll_per_token", "seconds")
        )
    )


def _is_valid(row: dict[str, Any], contract: Contract) -> bool:
    ok = isinstance(row["split"], str) and row["evaluate_as"] in EVALUATED_AS
    ok = ok and all(
        row[key] is None or (type(row[key]) in (int, float) and row[key] >= 0)
        for key in contract.names
    )
    return ok and all(
        _is_figure(row[key]) for key in ("nll_per_token", "train_nll_per_token", "seconds")
    )


def _is_figure(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= MAX_FIGURE


def _check_order(
    previous: list[dict[str, Any]], row: dict[str, Any], path: Path, number: int
) -> None:
    for before in previous:
        if row["step"] < before["step"] + (row["kind"] == "train"):
            raise DataError(
                f"history {path} line {number} has step {row['step']} after step {before['step']}"
            )
        for name in ("epoch", "seconds"):
            if row[name] < before[name]:
                raise DataError(
                    f"history {path} line {number} has {name} {row[name]} after {before[name]}, a"
                    " step before"
                )
        if row["kind"] == "train" and len(row["pi"]) != len(before["pi"]):
            raise DataError(
                f"history {path} line {number} has pi of {len(row['pi'])} blocks after"
                f" {len(before['pi'])}"
            )


@dataclasses.dataclass(frozen=True)
class Run:
    """The part of a run directory that results are made of: the history so far, and the settings
    that explain it."""

    name: str
    blocks: str  # one letter a block
    total_steps: int
    seed: int
    data: Path  # as in config.json; a relative one is resolved against the run directory
    rows: Rows
    last_step: int  # that ends the run: total_steps, or fewer if it ended early
    contract: Contract  # of its objective

    def require_search(self, purpose: str) -> None:
        """Raises: UsageError, ending with `purpose`, if no block is stochastic; what
        `require_rows` raises."""
        if "s" not in self.blocks:
            raise UsageError(
                f"run {self.name} has no stochastic block (architecture {self.blocks}): {purpose}"
            )
        self.require_rows()

    def require_rows(self) -> None:
        """Raises: DataError if no train row is there yet."""
        if not self.rows["train"]:
            raise DataError(
                f"run {self.name} has no recorded step yet (history.jsonl): let tools/train.py go"
                " on, then try again"
            )

    @property
    def recorded_step(self) -> int:
        """The step of the last row, 0 before the first."""
        return max((rows[-1]["step"] for rows in self.rows.values() if rows), default=0)

    def require_whole(self, directory: Path) -> None:
        """For a finished run. Raises: DataError if its history ends before the run did."""
        step = self.recorded_step
        if step == self.last_step:
            return
        if step:
            end = f"ends at step {step:,}, but the run ended at step {self.last_step:,}"
        else:
            end = f"has no step of the {self.last_step:,} of the run"
        raise DataError(
            f"history {directory / 'history.jsonl'} {end}: rows were lost; put a whole copy in its"
            " place"
        )

    def pi(self) -> np.ndarray:
        """[rows, L, O] float64, rows in the order of the steps."""
        return np.array([row["pi"] for row in self.rows["train"]], np.float64).reshape(
            -1, len(self.blocks), len(KINDS)
        )


def read_run(directory: Path) -> Run:
    """The settings and the history of a run that is finished, training, or has just begun and has
    no history yet.

    Raises: DataError if config.json is missing, or either is damaged or does not fit the other.
    """
    directory = Path(directory)
    config, data = run_config.load(directory)
    blocks = config.architecture.blocks
    path = directory / "history.jsonl"
    # a run that has just begun has none yet
    rows = read_rows(path, config.contract) if path.exists() else {"train": [], "valid": []}
    if rows["train"] and len(rows["train"][0]["pi"]) != len(blocks):
        raise DataError(
            f"history {path} has pi of {len(rows['train'][0]['pi'])} blocks, but the run has"
            f" {len(blocks)}"
        )
    last_step = run_directory.last_step(directory, config)
    if problem := _contradiction(rows, config, last_step):
        raise DataError(f"history {path} is not of the run that config.json says: {problem}")
    return Run(
        run_directory.run_name(directory),
        blocks,
        config.total_steps,
        config.training.seed,
        data,
        rows,
        last_step,
        config.contract,
    )


def _contradiction(rows: Rows, config: run_config.RunConfig, last_step: int) -> str:
    """What the rows hold that a run of these settings can't have recorded, or ''. Figures in
    float32 have a tolerance."""
    blocks, search, per_epoch = (
        config.architecture.blocks,
        config.search,
        config.data.steps_per_epoch,
    )
    ways = ("soft", "argmax") if "s" in blocks else ("fixed",)
    fixed = [
        (place, [float(kind == own) for own in KINDS])
        for place, kind in enumerate(blocks)
        if kind != "s"
    ]
    direction = 1 if search.tau_end >= search.tau_start else -1
    low, high, before = (
        min(search.tau_start, search.tau_end),
        max(search.tau_start, search.tau_end),
        search.tau_start,
    )
    for row in itertools.chain(rows["train"], rows["valid"]):
        step = row["step"]
        if not 1 <= step <= last_step:
            return f"a row has step {step}, but the run ends with {last_step}"
        if row["epoch"] != (epoch := (step - 1) // per_epoch + 1):
            return (
                f"step {step} has epoch {row['epoch']}, but epochs of {per_epoch} steps make it"
                f" {epoch}"
            )
        if row["kind"] == "valid":
            if row["evaluate_as"] not in ways:
                return (
                    f"step {step} is evaluated as {row['evaluate_as']}, but {blocks} is evaluated"
                    f" as {' and '.join(ways)}"
                )
            continue
        for name, most in (("learning_rate", config.training.max_lr), ("arch_lr", search.arch_lr)):
            if row[name] > most * (1 + TOLERANCE):
                return f"step {step} has {name} {row[name]}, but the most is {most}"
        tau = row["tau"]
        if (
            not low * (1 - TOLERANCE) <= tau <= high * (1 + TOLERANCE)
            or direction * (tau - before) < -TOLERANCE * high
        ):
            return (
                f"step {step} has tau {tau} after {before}, but tau goes from {search.tau_start}"
                f" to {search.tau_end}"
            )
        before = tau
        if odd := (
            next((place for place, pi in fixed if row["pi"][place] != pi), None) if fixed else None
        ):
            return (
                f"step {step} has pi {row['pi'][odd]} of block {odd + 1}, but that is"
                f" {blocks[odd]}"
            )
    return ""


def table(rows: Rows, contract: Contract) -> list[str]:
    """`evaluations` as lines of text."""
    return text.table(evaluations(rows, contract))


def evaluations(rows: Rows, contract: Contract) -> list[list[str]]:
    """The heads, and the cells of each evaluation on the valid split: iteration in thousands, the
    tracked figure on train and valid, training time as m:ss.

    That of train is over all tokens since the evaluation before; a SuperNet has two valid columns
    (soft and argmax).
    """
    tracked = contract.figure(contract.tracked)
    valid = [row for row in rows["valid"] if row["split"] == "valid"]
    kinds = [kind for kind in EVALUATED_AS if any(row["evaluate_as"] == kind for row in valid)]
    heads = [
        "iteration (thousands)",
        f"train {tracked.brief}",
        *(f"valid {tracked.brief}{'' if kind == 'fixed' else f' ({kind})'}" for kind in kinds),
        "time",
    ]
    lines = [heads]
    for step in sorted({row["step"] for row in valid}):
        here = {row["evaluate_as"]: row for row in valid if row["step"] == step}
        row = next(iter(here.values()))
        scores = [
            tracked.text(contract.tracked_value(here[kind]["nll_per_token"]))
            if kind in here
            else "-"
            for kind in kinds
        ]
        seconds = int(row["seconds"])
        lines.append(
            [
                f"{step / 1000:.3f}",
                tracked.text(contract.tracked_value(row["train_nll_per_token"])),
                *scores,
                f"{seconds // 60}:{seconds % 60:02d}",
            ]
        )
    return lines
