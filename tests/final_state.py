"""What a run came to, and in what two runs differ: all that a run leaves, to the last bit, but
wall times and what depends on them."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from par.search import derive
from par.train import checkpoints, run_directory

RATES = re.compile(r"tokens/s \d+")


def differences(run_a: Path, run_b: Path) -> list[str]:
    """Where two runs are apart, a line each; [] if they are equal.

    Compared: every tensor of the last and of the best checkpoint (weights, logits, both
    optimizers, memories, step), what the loop remembers beside
    them, the rows of the history, of training_log.log and of TensorBoard, the texts, the summary,
    and the architecture that is derived.
    """
    found = []
    for which in ("last", "best"):
        a, b = (tensors(run, which) for run in (run_a, run_b))
        found += [
            f"{which} checkpoint: {run} has none"
            for run, values in ((run_a, a), (run_b, b))
            if not values
        ]
        found += [
            f"{which} checkpoint: {name}"
            for name in sorted(a.keys() | b.keys())
            if not _same_bits(a.get(name), b.get(name))
        ]
    parts = {
        "note": note,
        "history": rows,
        "log": log,
        "samples": _lines_of_samples,
        "summary": _summary,
    }
    parts |= {
        f"{name} events": functools.partial(shown, name=name)
        for name in ("train", "valid", "hparams")
    }
    for name, of in parts.items():
        a, b = of(run_a), of(run_b)
        found += [] if a == b else [f"{name}: {_first_apart(a, b)}"]
    a, b = derived(run_a), derived(run_b)
    return found + ([] if a == b else [f"derived architecture: {a}, {b}"])


def tensors(run_dir: Path, which: str = "last") -> dict[str, np.ndarray]:
    """Every variable of the newest checkpoint by name; {} if there is none."""
    reader = _reader(run_dir, which)
    names = reader.get_variable_to_shape_map() if reader else ()
    return {
        name: reader.get_tensor(name)
        for name in names
        if "VARIABLE_VALUE" in name and "note" not in name and "save_counter" not in name
    }


def note(run_dir: Path) -> dict[str, Any]:
    """What the loop remembers beside the variables; without the time and the files' lengths, in
    which rates are written."""
    return {
        key: value for key, value in whole_note(run_dir).items() if key not in ("seconds", "files")
    }


def whole_note(run_dir: Path, which: str = "last") -> dict[str, Any]:
    """The note of the newest checkpoint, {} if there is none."""
    reader = _reader(run_dir, which)
    return json.loads(reader.get_tensor(checkpoints.NOTE)) if reader else {}


def rows(run_dir: Path) -> list[dict[str, Any]]:
    """The rows of history.jsonl, without their times."""
    lines = [json.loads(line) for line in (run_dir / "history.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


def log(run_dir: Path) -> list[str]:
    """The lines of training_log.log, without rates."""
    return RATES.sub("", (run_dir / "training_log.log").read_text()).splitlines()


def samples(run_dir: Path) -> str:
    """The texts that the network wrote while it was trained."""
    path = run_dir / "samples" / "training.txt"
    return path.read_text() if path.is_file() else ""


def tags(run_dir: Path, name: str) -> set[str]:
    """All tags of TensorBoard's events. name: train, valid or hparams."""
    events = EventAccumulator(str(run_dir / "tensorboard" / name))
    events.Reload()
    return set(events.Tags()["tensors"])


def shown(run_dir: Path, name: str) -> dict[str, dict[str, list[tuple[int, Any]]]]:
    """TensorBoard's rows, (step, content), by plugin and tag; without rates and times. name:
    train, valid or hparams."""
    events = EventAccumulator(str(run_dir / "tensorboard" / name), size_guidance={"tensors": 0})
    events.Reload()
    found: dict[str, dict[str, list]] = {"scalars": {}}
    for tag in events.Tags()["tensors"]:
        if not tag.startswith("speed/") and tag != "final/seconds":
            content = [
                (event.step, tf.make_ndarray(event.tensor_proto).tolist())
                for event in events.Tensors(tag)
            ]
            found.setdefault(events.SummaryMetadata(tag).plugin_data.plugin_name, {})[tag] = (
                content
            )
    return found


def scalars(run_dir: Path, name: str = "train") -> dict[str, list[tuple[int, float]]]:
    """TensorBoard's figures, (step, value), by tag; without rates."""
    return shown(run_dir, name)["scalars"]


def derived(run_dir: Path) -> str:
    """The blocks that the argmax of the last recorded pi gives."""
    return derive.argmax(
        np.array([row["pi"] for row in rows(run_dir) if row["kind"] == "train"][-1])
    )


def _lines_of_samples(run_dir: Path) -> list[str]:
    return samples(run_dir).splitlines()


def _summary(run_dir: Path) -> dict[str, Any]:
    path = run_dir / "summary.json"
    return (
        {key: value for key, value in json.loads(path.read_text()).items() if key != "seconds"}
        if path.is_file()
        else {}
    )


def _reader(run_dir: Path, which: str) -> Any:
    directory = run_directory.checkpoint_dir(run_dir / "checkpoints", which)
    steps = run_directory.checkpoint_files(directory)
    return (
        tf.train.load_checkpoint(str(directory / f"ckpt-{next(iter(steps))}")) if steps else None
    )


def _same_bits(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    return (
        a is not None
        and b is not None
        and (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())
    )


def _first_apart(a: Any, b: Any) -> str:
    """The first row or key at which two lists or dictionaries differ, with both values."""
    if isinstance(a, dict):
        key = next(
            key
            for key in sorted(a.keys() | b.keys())
            if key not in a or key not in b or a[key] != b[key]
        )
        return f"{key}: {str(a.get(key))[:200]}, {str(b.get(key))[:200]}"
    place = next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
    return (
        f"{len(a)} and {len(b)} rows, apart from row {place}: {str(a[place:][:1])[:200]},"
        f" {str(b[place:][:1])[:200]}"
    )
