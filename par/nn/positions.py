"""Relative positions: sinusoid codes of distances, the relative shift, and visibility masks.

The distance of a query to a key is query position - key position: 0 is the token itself, positive
is the past. The code of a distance does not depend on the memory length. Keys are M memory
positions followed by the T positions of the window: S = M + T.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import tensorflow as tf

from par.nn.ops import static

# added to the logits of positions that are not visible; finite, so that no row can become NaN
MASKED = -1e9


@dataclasses.dataclass(frozen=True)
class Placement:
    """How far the M memory positions are from a window of T.

    texts: they are so many texts side by side, each at the distances of one that comes right
    before the window; of one, M tokens in a line. fixed: [M] the distance of each position, the
    same for every token of the window; (): as `texts` says.

        texts=1        m0 m1 m2 m3 | w0 w1        texts=2        m0 m1 | w0 w1    fixed=(7, 9)
                                                                 m2 m3 |
    """

    texts: int = 1
    fixed: tuple[int, ...] = ()

    def distances(
        self, seq_len: int, mem_len: int, visibility: str, clamp_len: int | None = None
    ) -> np.ndarray:
        """[P] the distances that occur, as `distances` orders them, then the fixed ones."""
        if not self.fixed:
            return distances(seq_len, mem_len // self.texts, visibility, clamp_len)
        own, fixed = distances(seq_len, 0, visibility, clamp_len), np.array(self._different)
        return np.concatenate([own, fixed if clamp_len is None else np.minimum(fixed, clamp_len)])

    @property
    def _different(self) -> tuple[int, ...]:
        """The fixed distances; a common one only once."""
        return self.fixed[:1] if len(set(self.fixed)) == 1 else self.fixed

    def by_key(self, x: tf.Tensor, seq_len: int, mem_len: int) -> tf.Tensor:
        """[..., T, P] logits by distance, in the order of `Placement.distances`, -> [..., T, S]
        logits by key."""
        if self.fixed:
            number = len(self._different)
            own, fixed = tf.split(x, [x.shape[-1] - number, number], axis=-1)
            if number < mem_len:
                fixed = tf.repeat(fixed, mem_len, axis=-1)
            return tf.concat([fixed, relative_shift(own, seq_len)], axis=-1)
        each = mem_len // self.texts
        shifted = relative_shift(x, each + seq_len)
        if self.texts == 1:
            return shifted
        one, own = tf.split(shifted, [each, seq_len], axis=-1)
        return tf.concat([*[one] * self.texts, own], axis=-1)


IN_LINE = Placement()


def distances(
    seq_len: int, mem_len: int, visibility: str, clamp_len: int | None = None
) -> np.ndarray:
    """[P] the distances that occur, descending: S-1 ... 0 when causal (P = S), S-1 ... -(T-1) when
    bidirectional (P = S + T - 1).

    clamp_len: distances are clipped to it in either direction; None: they are not.
    """
    lowest = 0 if visibility == "causal" else 1 - seq_len
    exact = np.arange(mem_len + seq_len - 1, lowest - 1, -1)
    return exact if clamp_len is None else np.clip(exact, -clamp_len, clamp_len)


def sinusoids(distance: np.ndarray, d_model: int) -> np.ndarray:
    """[P, D] float32 codes of signed distances: sines in the first half, cosines in the second
    (Dai et al. 2019, section 3.3)."""
    frequency = 10_000.0 ** (-np.arange(0, d_model, 2) / d_model)
    angle = distance[:, None] * frequency[None, :]
    return np.concatenate([np.sin(angle), np.cos(angle)], axis=-1).astype(np.float32)


def relative_shift(x: tf.Tensor, key_len: int) -> tf.Tensor:
    """[..., T, P] logits by distance (as ordered by `distances`) -> [..., T, S] logits by key (Dai
    et al. 2019, appendix B).

    Query i has key j in column T-1-i+j. Padding each row by one column and reading the rows as
    one line makes that a fixed stride (T = 2, S = 3):

        rows, padded by one    line               from T-1, in rows of P
            a b c .            a b c . d e f .        b c .    query 0: its last key is masked
            d e f .                                   d e f    query 1
    """
    *outer, seq_len, width = static(x.shape)
    flat = tf.reshape(
        tf.pad(x, [[0, 0]] * (len(outer) + 1) + [[0, 1]]), [*outer, seq_len * (width + 1)]
    )
    flat = tf.slice(flat, [0] * len(outer) + [seq_len - 1], [*outer, seq_len * width])
    shifted = tf.reshape(flat, [*outer, seq_len, width])
    return (
        shifted
        if width == key_len
        else tf.slice(shifted, [0] * (len(outer) + 2), [*outer, seq_len, key_len])
    )


def visible(seq_len: int, mem_len: int, visibility: str, same_length: bool = False) -> np.ndarray:
    """[T, S] bool: which keys are visible to a query. `same_length`: itself and exactly M tokens
    before it."""
    if visibility not in ("causal", "bidirectional"):
        raise ValueError(f"visibility must be causal or bidirectional, but is {visibility!r}")
    distance = mem_len + np.arange(seq_len)[:, None] - np.arange(mem_len + seq_len)[None, :]
    seen = distance >= (0 if visibility == "causal" else 1 - seq_len)
    return seen & (distance <= mem_len) if same_length else seen


def head_mask(heads: np.ndarray, seq_len: int) -> np.ndarray:
    """[1, H, 1, S] float32 to add to an attention mask where each head sees some positions of the
    memory alone, and the whole window of T. heads: [H, M] bool."""
    window = np.ones([len(heads), seq_len], bool)
    seen = np.concatenate([heads, window], axis=1)
    return np.where(seen, 0.0, MASKED).astype(np.float32)[None, :, None]


def attention_mask(
    seen: np.ndarray,
    valid: tf.Tensor,
    real: tf.Tensor | None = None,
    remembered: tf.Tensor | None = None,
) -> tf.Tensor:
    """[B, 1, T, S] float32 to add to attention logits: 0 where visible, MASKED elsewhere.

    seen: [T, S] from `visible`; valid: [B] int32, how many of the M memory positions (the newest)
    hold tokens; real: [B, T] bool, which positions of the window hold tokens; None: all do.
    remembered: [B, M] bool, which memory positions do; None: as `valid` says. A query to which
    nothing is visible sees everything alike.
    """
    seq_len, key_len = seen.shape
    mem_len = key_len - seq_len
    # [B, S]; always true for the window
    filled = tf.range(key_len)[None, :] >= mem_len - valid[:, None]
    if real is not None or remembered is not None:
        rows = tf.shape(valid)[0]
        of_memory = tf.ones([rows, mem_len], tf.bool) if remembered is None else remembered
        of_window = tf.ones([rows, seq_len], tf.bool) if real is None else real
        filled &= tf.concat([of_memory, of_window], axis=1)
    return tf.where(tf.constant(seen)[None, None] & filled[:, None, None, :], 0.0, MASKED)
