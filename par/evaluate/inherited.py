"""What every network scores with the weights that a SuperNet holds for it, untrained: the ranking
of one-shot search (Bender et al. 2018, Understanding and simplifying one-shot architecture
search)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from par.data.manifest import Manifest
from par.evaluate import evaluation
from par.search import networks
from par.search.architecture import KINDS
from par.train.learner import Learner

LEAST = 1e-6  # probability: what was pruned still has its weights
CHOSEN = 10.0  # logit of the kind of a block, beside 0 of the others


def nll(
    supernet: Learner,
    data_dir: Path,
    manifest: Manifest,
    split: str,
    asked: Sequence[str],
    progress: Callable[[str], None] = lambda network: None,
) -> np.ndarray:
    """[N] nll per token (nats) of a split for each network of at most L blocks, with the weights
    of the places at which the SuperNet spells it most probably. The SuperNet is as before
    afterwards. progress: called with each network before it is scored.

    All are computed by one graph, the argmax's, as that reads the logits.
    Raises: ValueError for a network that fixed blocks of the SuperNet make impossible.
    """
    blocks = supernet.config.architecture.blocks
    before = [np.asarray(alpha) for alpha in supernet.logits]
    rows = networks.log_rows(np.maximum(supernet.pi, LEAST), blocks)
    found = []
    try:
        for network in asked:
            progress(network)
            spelled = networks.spelling(rows, network)
            kinds = [kind for kind, of in zip(spelled, blocks) if of == "s"]
            alpha = CHOSEN * np.eye(len(KINDS), dtype=np.float32)[list(map(KINDS.index, kinds))]
            supernet.logits[0].assign(alpha)
            scores = evaluation.score(supernet, data_dir, manifest, split, "argmax")
            found.append(scores["nll_per_token"])
    finally:
        for alpha, value in zip(supernet.logits, before):
            alpha.assign(value)
    return np.array(found)
