"""What tells replaced tokens without a network: the yardstick of those that detect them. It scores
the very tokens that a network saw, so it can't be made beforehand.

bigrams    nll (nats) of each token by the two-sided mixture of par.baselines.two_sided, from the
           tokens on both sides as they were seen; the end of a window hides the one after it
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from par.baselines import two_sided
from par.core import files
from par.core.progress import announce
from par.data import manifest as manifests
from par.data.manifest import Manifest
from par.data.tokenizer import SPECIAL_PIECES
from par.evaluate.counted_texts import Reading, Texts

MOST_TOKENS = 1 << 28  # of train that are counted
NEVER = 0.0  # the score of a special piece, which is never replaced


def bigrams(
    data_dir: Path, manifest: Manifest, seen: np.ndarray, seq_len: int
) -> np.ndarray | None:
    """[N] nats of each of N tokens as they were seen, in windows of seq_len; None if the data are
    too large to be counted. They are counted once, for the next call, too."""
    if manifest.splits["train"].tokens > MOST_TOKENS:
        announce(
            f"note: no bigram detector is fitted, as train has more than {MOST_TOKENS:,} tokens"
        )
        return None
    digest = files.sha256(Path(data_dir) / "manifest.json")
    counts, weights = _fitted(str(data_dir), digest)
    return scores(counts, weights, seen, seq_len)


def scores(
    counts: two_sided.Counts, weights: two_sided.Weights, seen: np.ndarray, seq_len: int
) -> np.ndarray:
    """[N] nats of each of N tokens under the mixture, NEVER for special pieces."""
    ordinary = np.flatnonzero(seen >= len(SPECIAL_PIECES))
    before = np.append(two_sided.ABSENT, seen[:-1])
    after = np.append(seen[1:], two_sided.ABSENT)
    after[seq_len - 1 :: seq_len] = two_sided.ABSENT
    places = two_sided.Places(*(each[ordinary] for each in (seen, before, after)))
    found = np.full(len(seen), NEVER)
    found[ordinary] = two_sided.mixture_nll(counts, weights, places)
    return found


@functools.lru_cache(maxsize=1)
def _fitted(data_dir: str, digest: str) -> tuple[two_sided.Counts, two_sided.Weights]:
    """The model of a data set whose manifest has this SHA-256."""
    found = manifests.load(data_dir)
    texts = Texts(data_dir, found, Reading(found.seq_len, draws=1))
    return texts.counts, texts.weights()


DETECTORS = {"bigrams": bigrams}
