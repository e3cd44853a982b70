"""The files that a run writes while it trains: history.jsonl, training_log.log, texts and
TensorBoard events. On a resume they are cut back."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from par import __version__
from par.core import files, metrics, schema
from par.core.machine import core_count
from par.core.text import number
from par.objectives.contract import Contract
from par.search import diagnostics
from par.search.architecture import KINDS, NAMES
from par.train import history, run_directory, tensorboard
from par.train.distributed.devices import device_names
from par.train.learner import Learner
from par.train.run_config import RunConfig

EVENT_BYTES = 100  # about, of one figure for TensorBoard
PICTURE_BYTES = 30_000  # about, of one picture
# TensorBoard's runs; its page of hyperparameters needs one of its own
WRITERS = ("train", "valid", "hparams")
SAMPLES = "samples/training.txt"


class RunLogs:
    """The log files of one run. `open` comes before anything is written."""

    def __init__(self, run_dir: Path, contract: Contract):
        """contract: of the run's objective."""
        self.run_dir, self._contract = run_dir, contract
        self._history = history.History(run_dir / "history.jsonl")
        self._log_path = run_dir / "training_log.log"
        self._writers: dict[str, tf.summary.SummaryWriter] = {}

    def open(self, kept: dict[str, int]) -> None:
        """Cuts the files back to their `kept` lengths, in bytes: those that they had when the
        checkpoint that is continued was written. Raises: ResourceError if TensorBoard's can't be
        written."""
        _cut_back(self.run_dir, kept)
        with self._events("", EVENT_BYTES):
            self._writers = {
                name: tf.summary.create_file_writer(str(self.run_dir / "tensorboard" / name))
                for name in WRITERS
            }

    def begin(self, config: RunConfig, learner: Learner) -> None:
        """Writes the head of the log: network and data, parameters by part, settings."""
        data, rows, seq_len = config.data, config.read_rows, config.read_shape[2]
        self.text(
            f"par {__version__}: {config.architecture.blocks} ({len(config.architecture)} blocks)"
            f" on {data.name}, {data.vocab_size} pieces"
        )
        self.text(
            f"{config.total_steps} steps = {config.training.epochs} epochs of"
            f" {data.steps_per_epoch}, windows {rows} x {seq_len}"
        )
        for name, layer in learner.layers.items():
            count = sum(int(np.prod(v.shape)) for v in layer.trainable_variables)
            self.text(f"parameters {name}: {count:,}")
        self.text(
            f"parameters in all: {learner.parameters:,} and"
            f" {sum(int(np.prod(v.shape)) for v in learner.logits)} architecture logits"
        )
        if init := config.init:
            self.text(
                f"weights: {init.what}, {init.checkpoint} checkpoint, step {init.step}, SHA-256"
                f" {init.sha256}"
            )
        if base := config.base:
            self.text(
                f"base: {base.text}, of {base.run}, {base.checkpoint} checkpoint, step"
                f" {base.step}, SHA-256 {base.sha256}"
            )
        groups = {"model": config.model, "search": config.search, "training": config.training}
        if config.objective_settings:
            groups = {config.objective: config.objective_settings} | groups
        for title, group in groups.items():
            listed = (f"{key}={value}" for key, value in group.to_json().items())
            self.text(f"{title}: {' '.join(listed)}")
        self._raw("train", tensorboard.layout(config))
        self._raw(
            "hparams",
            tensorboard.settings(config, run_directory.run_name(self.run_dir), learner.parameters),
        )
        self._markdown(
            "architecture", 0, f"`{config.architecture.blocks}`, {learner.parameters:,} parameters"
        )

    def end(self) -> None:
        """Writes the final scores, which TensorBoard shows beside the settings."""
        rows = history.read_rows(self.run_dir / "history.jsonl", self._contract)["valid"]
        self._scalars("hparams", rows[-1]["step"], tensorboard.final(rows, self._contract))

    def text(self, line: str) -> None:
        """Appends a line to training_log.log."""
        files.append_text(self._log_path, line + "\n")

    def line(
        self,
        position: dict[str, Any],
        total: int,
        means: dict[str, float | None],
        tokens_per_second: float,
        likeliest: str,
        seen: str,
    ) -> None:
        """Writes the line of a log interval. means: nll per token, and the training_parts. The
        rate is the mean of the run so far. seen: the figures of a search as text, or ''."""
        nll, *parts = means.items()
        parts = [(self._contract.figure(name), value) for name, value in parts]
        said = "".join(f"{figure.logged} {figure.text(value)} " for figure, value in parts)
        nll = nll[1]
        tracked = self._contract.figure(self._contract.tracked)
        value = number(self._contract.tracked_value(nll), tracked.few_digits)
        text = (
            f"step {position['step']}/{total} epoch {position['epoch']} lr"
            f" {position['learning_rate']:.3e} tau {position['tau']:.3f} nll {nll:.4f}"
            f" {tracked.short} {value} {said}tokens/s {tokens_per_second:.0f} {likeliest} {seen}"
        )
        self.text(text.rstrip())
        self._scalars("train", position["step"], {"speed/tokens_per_second": tokens_per_second})

    def epoch_line(
        self, step: int, epoch: int, figures: dict[str, float], stable_share: float
    ) -> None:
        """Writes the figures of a search at the end of an epoch. stable_share: the share of blocks
        whose likeliest kind is that of the epoch before."""
        self.text(
            f"step {step} end of epoch {epoch}: {diagnostics.text(figures)} stable"
            f" {stable_share:.0%}"
        )
        self._scalars("train", step, {"argmax/stable_share": stable_share})

    def gap_line(self, step: int, gap: dict[str, float]) -> None:
        """Writes the cost of discretisation (par.core.metrics.gap)."""
        figure, (nll, change) = self._contract.comparison[0], gap.values()
        shown = f"x {change:.4f}" if figure.is_perplexity else f"{change:+.4f}"
        self.text(f"step {step} gap (argmax - soft) nll {nll:+.4f} {figure.label} {shown}")
        self._scalars(
            "valid",
            step,
            {
                f"gap/{name}": value
                for name, value in metrics.finite(gap).items()
                if value is not None
            },
        )

    def train_row(self, row: dict[str, Any], figures: dict[str, float]) -> None:
        """Writes a row of the history, and the same for TensorBoard: schedules, loss, pi and its
        entropy (nats) by block; and `figures` by tag."""
        self._history.append("train", **row)
        pi = np.asarray(row["pi"])
        values = figures | {
            f"schedule/{name}": row[name] for name in ("learning_rate", "arch_lr", "tau")
        }
        tracked = self._contract.figure(self._contract.tracked)
        values["loss/nll_per_token"] = row["nll_per_token"]
        values[tracked.tag] = self._contract.tracked_value(row["nll_per_token"])
        values |= {
            self._contract.figure(part).tag: row[part]
            for part in self._contract.training_parts
            if row[part] is not None
        }
        for block, probabilities in enumerate(pi, 1):
            if probabilities.max() < 1.0:
                values |= {
                    f"pi_block_{block:02d}/{NAMES[kind]}": probability
                    for kind, probability in zip(KINDS, probabilities)
                }
                values[f"entropy/block_{block:02d}"] = diagnostics.entropy(probabilities)
        self._scalars("train", row["step"], values)

    def valid_row(
        self,
        position: dict[str, Any],
        evaluate_as: str,
        scores: dict[str, float],
        **training: float,
    ) -> None:
        """Writes a row of the history and a line of the log for an evaluation of the valid split.
        training: the row's figures of training so far."""
        figures = self._contract.shown
        finite = metrics.finite({name: scores[name] for name in self._contract.names})
        self._history.append(
            "valid",
            step=position["step"],
            epoch=position["epoch"],
            split="valid",
            evaluate_as=evaluate_as,
            **finite,
            **training,
        )
        said = (f"{each.logged} {number(scores[each.name], each.few_digits)}" for each in figures)
        self.text(f"step {position['step']} valid ({evaluate_as}) {' '.join(said)}")
        suffix = "" if evaluate_as in ("soft", "fixed") else f"_{evaluate_as}"
        values = {
            f"{figure.tag}{suffix}": finite[figure.name]
            for figure in figures
            if finite[figure.name] is not None
        }
        self._scalars("valid", position["step"], values)

    def pi_picture(self, step: int, image: np.ndarray) -> None:
        """Writes a picture [1, height, width, 3] of pi for TensorBoard."""
        with (
            self._events("train", PICTURE_BYTES),
            self._writers["train"].as_default(step=np.int64(step)),
        ):
            tf.summary.image("pi", image)

    def architecture(self, step: int, likeliest: str, settling: str) -> None:
        """Writes the architecture so far for TensorBoard. settling: the same with ? for a block
        that is not decided (par.train.status_line.decided_blocks)."""
        undecided = settling.count("?")
        self._markdown(
            "architecture",
            step,
            f"`{settling}`, argmax `{likeliest}`" if undecided else f"`{likeliest}`",
        )

    def sample(self, step: int, epoch: int, text: str) -> None:
        """Writes a text that the network has generated."""
        path = self.run_dir / SAMPLES
        path.parent.mkdir(exist_ok=True)
        files.append_text(path, f"step {step}, end of epoch {epoch}:\n{text.strip()}\n\n")
        # indented, Markdown shows it verbatim
        self._markdown(
            "sample", step, "\n".join(f"    {line}" for line in text.strip().splitlines())
        )

    def _markdown(self, tag: str, step: int, text: str) -> None:
        with (
            self._events("train", EVENT_BYTES + len(text.encode())),
            self._writers["train"].as_default(step=np.int64(step)),
        ):
            tf.summary.text(tag, text)

    def _raw(self, name: str, summary: bytes) -> None:
        with self._events(name, len(summary)), self._writers[name].as_default(step=0):
            tf.summary.experimental.write_raw_pb(summary)

    def _scalars(self, name: str, step: int, values: dict[str, float]) -> None:
        """Writes figures by tag for TensorBoard."""
        with (
            self._events(name, EVENT_BYTES * len(values)),
            self._writers[name].as_default(step=np.int64(step)),
        ):
            for tag, value in values.items():
                tf.summary.scalar(tag, np.float32(value))  # see Learner.tau_at

    @contextlib.contextmanager
    def _events(self, name: str, size: int) -> Iterator[None]:
        """Turns an error of TensorFlow's writer, which the flush after the failed write raises,
        into a ResourceError that names the directory."""
        try:
            yield
        except tf.errors.OpError as error:
            raise files.write_error(self.run_dir / "tensorboard" / name, size, error) from None

    def lengths(self) -> dict[str, int]:
        """Flushes every log file and returns its length in bytes, which a checkpoint's note
        holds."""
        for name, writer in self._writers.items():
            with self._events(name, EVENT_BYTES):
                writer.flush()
        return {
            str(path.relative_to(self.run_dir)): path.stat().st_size
            for path in _log_files(self.run_dir)
        }


def _log_files(run_dir: Path) -> list[Path]:
    paths = [
        run_dir / "history.jsonl",
        run_dir / "training_log.log",
        run_dir / SAMPLES,
        *sorted(run_dir.glob("tensorboard/*/events.*")),
    ]
    return [path for path in paths if path.is_file()]


def _cut_back(run_dir: Path, kept: dict[str, int]) -> None:
    """Cuts every log file to its kept length and removes those without one, so that no row is
    repeated after a resume."""
    for path in _log_files(run_dir):
        length = kept.get(str(path.relative_to(run_dir)))
        if length is None:
            path.unlink()
        elif path.stat().st_size > length:
            os.truncate(path, length)


def write_environment(run_dir: Path, replicas: int = 1) -> None:
    """Writes environment.json: the versions and devices that figures depend on, without a host
    name."""
    value = {
        "par": __version__,
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cpus": core_count(),
        "replicas": replicas,
        "devices": device_names(),
    }
    schema.write_json(run_dir / "environment.json", value)
