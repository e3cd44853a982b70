"""Networks on shelves for tests, whose checkpoints are any bytes, so that TensorFlow is not
needed."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from par.shelf import saving
from par.shelf.reference import Reference, parse
from small import small_config, small_data

STEP = 7
WEIGHTS = 3_496  # whatever a checkpoint has


def untrained_run(root: Path, size: int = 3_000) -> Path:
    """A run beside its data set, with a last and a best checkpoint of `size` bytes each."""
    data = small_data(root / "data", train=600, valid=100)
    run = root / "run"
    (run / "checkpoints" / "best").mkdir(parents=True)
    small_config(data, "ad").save(run, data)
    draw = random.Random(3)
    for folder in ("checkpoints", "checkpoints/best"):
        for end in ("index", "data-00000-of-00001"):
            (run / folder / f"ckpt-{STEP}.{end}").write_bytes(draw.randbytes(size))
    return run


def save(run: Path, shelf: Path, tag: str = "v1", **told: Any) -> saving.Saved:
    """Saves a run as en_docs, whatever its checkpoints are."""
    given = {
        "splits": (),
        "licence": "MIT",
        "description": "",
        "try_out": lambda directory, checkpoints: WEIGHTS,
    } | told
    return saving.save(run, Reference("en_docs", tag, str(shelf)), **given)


def named(shelf: object, tag: str = "v1") -> Reference:
    """The reference to what `save` saved."""
    return parse(f"shelf:{shelf}/en_docs@{tag}")


def contents(root: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }
