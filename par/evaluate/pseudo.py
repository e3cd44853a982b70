"""The pseudo-log-likelihood of a text under a network that predicts masked tokens.

    PLL = sum_t log P(w_t | all tokens of the window but w_t, and the memory)

Salazar et al. 2020, "Masked Language Model Scoring", equation 1. Each ordinary token of a window
is masked in turn, alone; memory holds the windows before as they are. exp(-PLL / N) is the
pseudo-perplexity. It is not a perplexity: what a token tells of its neighbours is counted again
where they tell of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from par.core import metrics
from par.core.errors import UsageError
from par.data import records, windows
from par.data.manifest import Manifest
from par.data.tokenizer import PAD
from par.evaluate import evaluation
from par.evaluate.eval_config import EvalConfig, check_memory
from par.train.learner import Learner


class PseudoScores(NamedTuple):
    """nll: [n] nats of each ordinary token among the first `read` of the split."""

    nll: np.ndarray
    read: int

    def figures(self, manifest: Manifest, split: str) -> dict[str, float]:
        """nll and pseudo-perplexity per scored token, and per word of what was read; with how many
        there were."""
        size = manifest.splits[split]
        words, total = size.words * self.read / size.tokens, float(self.nll.sum(dtype=np.float64))
        mean = total / len(self.nll)
        return {
            "nll_per_token": mean,
            "perplexity_per_token": metrics.perplexity(mean),
            "perplexity_per_word": metrics.perplexity(total / words),
            "tokens": len(self.nll),
            "words": words,
        }


def pseudo_scores(
    learner: Learner,
    data_dir: Path,
    manifest: Manifest,
    split: str,
    evaluate_as: str,
    eval_config: EvalConfig,
    tokens: int,
    progress: Callable[[int], None] = lambda made: None,
) -> PseudoScores:
    """The pseudo-log-likelihood of the first tokens of a split, all of it if it has fewer.

    The text is one sequence, in windows of eval_config's T; of each T copies are read at once, in
    each of which another token is masked. progress is told how many more tokens were read.
    Raises: UsageError if there is no ordinary token among them; ResourceError if T copies do not
    fit into this machine's memory.
    """
    stream = records.read_stream(data_dir, manifest, split)
    seq_len = min(eval_config.window_shape(manifest)[1], len(stream))
    mem_len = eval_config.memory_length(learner.config)
    check_memory(learner.config, seq_len, seq_len, mem_len, flags="--seq_len or --mem_len")
    phase = evaluation.phase(evaluate_as, eval_config)

    @tf.function(autograph=False)
    def score(window: tf.Tensor, memories: Any) -> Any:
        return learner.objective.pseudo_scores(window, memories, phase)

    # behind the last token stands one that is only a target
    cut = windows.windows(np.append(stream, np.int32(PAD)), 1, seq_len, pad_id=PAD)
    memories = learner.objective.trunk.empty_memories(1, mem_len)
    read, found = min(tokens, len(stream)), []
    for start, window in zip(itertools.count(0, seq_len), cut[: -(-read // seq_len), 0, :-1]):
        (nll, weight), memories = score(tf.constant(window), memories)
        within = min(seq_len, read - start)
        found.append(nll.numpy()[:within][weight.numpy()[:within] > 0])
        progress(within)
    nll = np.concatenate(found)
    if not len(nll):
        raise UsageError(f"the first {read:,} tokens of {split} are special pieces: take more")
    return PseudoScores(nll, read)
