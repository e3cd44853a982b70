"""Trains small networks on so many devices of this CPU; prints what came of each as one line:
python tests/replicas_trained.py DATA DEVICES KIND...

`small_data` of a batch of 4 and a window of 7, in DATA; networks of width 10: a row's numbers do
not fill whole blocks of random numbers.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from par.data import manifest, records
from par.search import derive
from par.tools.cli.tensorflow import start_tensorflow
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
}


def trained(data_dir: Path, learner: Any) -> dict[str, Any]:
    """20 steps, with a break after 12 in which the memories go through the state as in a
    checkpoint."""
    import tensorflow as tf

    found = manifest.load(data_dir)
    windows = iter(records.dataset(data_dir, found, "train").repeat())
    rows = learner.train(windows, tf.constant(12)).numpy().tolist()
    learner.keep_memories()
    learner.take_memories()
    rows += learner.train(windows, tf.constant(8)).numpy().tolist()
    learner.keep_memories()
    scored = learner.evaluate(records.dataset(data_dir, found, "valid"))
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

    made = {
        kind: Learner(small_config(data_dir, "sad", **SMALL | KINDS[kind]), Replicas(strategy))
        for kind in kinds
    }
    print(json.dumps({kind: trained(data_dir, learner) for kind, learner in made.items()}))


if __name__ == "__main__":
    main()
