"""Trains small networks on so many devices of this CPU; prints what came of each as one line:
python tests/replicas_trained.py DATA DEVICES KIND...

`small_data` of a batch of 4 and a window of 7, in DATA, and documents in DATA/coded for the kind
`authors`; networks of width 10: a row's numbers do not fill whole blocks of random numbers.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path
from typing import Any

import authored
from par.data import manifest, records
from par.search import derive
from par.tools.cli.tensorflow import start_tensorflow
from par.train.run_config import RunConfig
from small import small_config

SMALL = {"d_model": 10, "num_heads": 2, "dropout_rate": 0.2}
KINDS = {
    "soft": {},
    "straight_through": {
        "sampling": "straight_through",
        "norm": "post",
        "entropy_weight": 0.1,
        "cutoffs": (12, 20),
        "tie_embeddings": True,
    },
    "two_paths": {"sampling": "single_path"},
    "pruned": {
        "sampling": "single_path",
        "paths": 1,
        "prune_below": 0.3,
        "prune_patience": 3,
        "clip_norm": 0.0,
    },
    "bilevel": {
        "bilevel": True,
        "gradient_checkpointing": True,
        "optimizer": "adamw",
        "weight_decay": 0.1,
    },
    "toy": {},
    # a lower temperature would show the last digits of the cosines
    "authors": {"sampling": "single_path", "negatives": "same_group", "temperature": 1.0},
    "context_mlm": {"encoder": "biencoder", "combine": "concat"},
    "span_electra": {"sampling": "single_path"},
}
OF_DOCUMENTS = ("authors", "context_mlm")  # kinds that are objectives which read documents
OBJECTIVES = ("toy", "span_electra")  # kinds that are objectives, with parts of their own


def trained(data_dir: Path, learner: Any) -> dict[str, Any]:
    """20 steps, with a break after 12 in which the memories go through the state as in a
    checkpoint."""
    import tensorflow as tf

    from par.train import elements

    found, config = manifest.load(data_dir), learner.config
    windows = iter(elements.of_epoch(learner, data_dir, found, 0).repeat())
    rows = learner.train(windows, tf.constant(12)).numpy().tolist()
    learner.keep_memories()
    learner.take_memories()
    rows += learner.train(windows, tf.constant(8)).numpy().tolist()
    learner.keep_memories()
    valid = records.dataset(data_dir, found, "valid")
    if config.contract.reads_documents:
        valid = learner.objective.documents(data_dir, found, "valid").evaluation(4)
    scored = learner.evaluate(valid)
    memory = learner.state["memory"].numpy()
    pi = learner.pi.tolist()
    return {
        "rows": rows,
        "pi": pi,
        "blocks": derive.argmax(pi),
        "scored": scored,
        "memory": memory.tolist(),
        "step": int(learner.step.numpy()),
    }


def main() -> None:
    data_dir, devices, kinds = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    strategy = start_tensorflow(
        "none" if devices == 1 else "mirrored", devices if devices > 1 else 0
    )
    from par.train.distributed.replicas import Replicas
    from par.train.learner import Learner
    from toy_objective import registered

    with registered():
        made = {kind: Learner(config(data_dir, kind), Replicas(strategy)) for kind in kinds}
        print(
            json.dumps(
                {kind: trained(data_of(data_dir, kind), made[kind]) for kind in kinds},
            )
        )


def data_of(data_dir: Path, kind: str) -> Path:
    """The data set that a kind reads."""
    return data_dir / "coded" if kind in OF_DOCUMENTS else data_dir


def config(data_dir: Path, kind: str) -> RunConfig:
    """The settings of a kind; some are objectives of their own."""
    if kind in OF_DOCUMENTS:
        own = SMALL | KINDS[kind]
        return authored.config(data_of(data_dir, kind), "sad", objective=kind, **own)
    own = small_config(data_dir, "sad", **SMALL | KINDS[kind])
    return dataclasses.replace(own, objective=kind) if kind in OBJECTIVES else own


if __name__ == "__main__":
    main()
