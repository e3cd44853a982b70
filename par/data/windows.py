"""One token stream -> B parallel streams -> windows that overlap by one token; and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np


def num_steps(num_tokens: int, batch_size: int, seq_len: int, *, padded: bool) -> int:
    """Steps n that N tokens make: each has B*T targets, and every token but the first is a target.
    The end is padded, or dropped."""
    targets = max(num_tokens - 1, 0)
    return -(-targets // (batch_size * seq_len)) if padded else targets // (batch_size * seq_len)


def windows(
    tokens: np.ndarray, batch_size: int, seq_len: int, pad_id: int | None = None
) -> np.ndarray:
    """Cuts a stream of N tokens into n windows [n, B, T+1] int32: inputs are `[..., :-1]`, targets
    `[..., 1:]`.

    The stream t0 t1 t2 ... of N = 13 tokens with B = 2, T = 3, hence n = 2 steps of B*T = 6
    targets:

        row 0:  t0 t1 t2 t3 t4 t5 t6              row b is tokens[b*n*T : (b+1)*n*T + 1]
        row 1:                    t6 t7 t8 t9 t10 t11 t12

                 step 0           step 1          the next window of a row begins with the last
                                  target of this one
        row 0:  t0 t1 t2 t3      t3  t4  t5  t6
        row 1:  t6 t7 t8 t9      t9  t10 t11 t12

    Rows share one token, and so do the windows of a row, so every token but t0 is a target exactly
    once, and what a row has seen at step j is what its memory needs at step j+1.

    Args:
      tokens: [N] integers.
      pad_id: None drops the last (N-1) mod B*T tokens (training). With an id, none is dropped and
        the end is filled with that id (evaluation): those targets must get weight 0, which needs
        an id that no text holds. The last rows may then hold little or nothing else.

    Returns: [n, B, T+1] int32; n is 0 when there are too few tokens.
    """
    chunks = list(window_chunks(tokens, batch_size, seq_len, pad_id))
    return np.concatenate(chunks) if chunks else np.zeros([0, batch_size, seq_len + 1], np.int32)


def padded_windows(
    rows: Sequence[np.ndarray], seq_len: int, pad_id: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The windows of texts that are read side by side, each from its first token.

    Args:
      rows: B texts, [N_b] integers each.

    Yields: tokens [B, T] int32, `pad_id` where a text has ended, and whether it has not [B, T]
      bool; as many as the longest text needs.
    """
    for start in range(0, max(map(len, rows), default=0), seq_len):
        tokens = np.full([len(rows), seq_len], pad_id, np.int32)
        parts = [ids[start : start + seq_len] for ids in rows]
        for row, part in enumerate(parts):
            tokens[row, : len(part)] = part
        lengths = np.array([len(part) for part in parts])
        yield tokens, np.arange(seq_len) < lengths[:, None]


def window_chunks(
    tokens: np.ndarray,
    batch_size: int,
    seq_len: int,
    pad_id: int | None = None,
    chunk_tokens: int = 1 << 20,
    start_step: int = 0,
    stop_step: int | None = None,
) -> Iterator[np.ndarray]:
    """The same windows in chunks [m, B, T+1] of about `chunk_tokens` tokens, of all steps or those
    from `start_step` to `stop_step` (exclusive).

    Only the length and slices of `tokens` are used.
    """
    n = num_steps(len(tokens), batch_size, seq_len, padded=pad_id is not None)
    stop = n if stop_step is None else min(stop_step, n)
    at_once = max(chunk_tokens // (batch_size * seq_len), 1)
    for first in range(start_step, stop, at_once):
        m = min(at_once, stop - first)
        rows = np.full([batch_size, m * seq_len + 1], -1 if pad_id is None else pad_id, np.int32)
        for b in range(batch_size):
            start = (b * n + first) * seq_len
            found = tokens[start : start + m * seq_len + 1]
            rows[b, : len(found)] = found
        # [B, m, T+1]
        every_t = np.lib.stride_tricks.sliding_window_view(rows, seq_len + 1, axis=1)[:, ::seq_len]
        yield np.ascontiguousarray(every_t.transpose(1, 0, 2))


def rejoin(steps: Iterable[np.ndarray], n: int, num_tokens: int) -> np.ndarray:
    """The one stream [num_tokens] int32 that `windows` cut into n steps [B, T+1]; padding and
    dropped ends are beyond `num_tokens`. Takes no more memory than the stream and a step.

    Raises: ValueError if the windows hold fewer tokens than that.
    """
    stream = np.zeros([0], np.int32)
    for step, window in enumerate(steps):
        batch_size, seq_len = window.shape[0], window.shape[1] - 1
        if step == 0:
            stream = np.empty([1 + n * batch_size * seq_len], np.int32)
            stream[0] = window[0, 0]
        stream[1:].reshape(batch_size, n, seq_len)[:, step] = window[:, 1:]
    if not 0 <= num_tokens <= len(stream):
        raise ValueError(f"{num_tokens} tokens asked for, but {n} windows hold {len(stream)}")
    return stream[:num_tokens]


def in_order(values: np.ndarray) -> np.ndarray:
    """[n, B, T], one value a target of `windows` -> [n * B * T] in the order of the stream."""
    return values.transpose(1, 0, 2).reshape(-1)


def num_sliding_steps(num_tokens: int, batch_size: int, seq_len: int, stride: int) -> int:
    """Steps of `sliding_windows` that N tokens make."""
    count = 1 + max(-(-(num_tokens - 1 - seq_len) // stride), 0)
    return -(-count // batch_size)


def sliding_windows(
    tokens: np.ndarray, batch_size: int, seq_len: int, stride: int, pad_id: int
) -> Iterator[np.ndarray]:
    """Windows of T+1 tokens that begin every `stride` tokens, B of them a step: [B, T+1] int32
    each, filled up with `pad_id`.

    T = 4, stride = 2, N = 9; a target is scored in the first window that has it (here in
    brackets), which is where it has the most context:

        window 0:  t0 [t1 t2 t3 t4]
        window 1:        t2  t3 t4 [t5 t6]              at least T - stride + 1 = 3 inputs precede
                         what is scored,
        window 2:               t4  t5 t6 [t7 t8]       the beginning of the stream apart

    At stride = T these are the windows of `windows`, in another order.
    """
    steps = num_sliding_steps(len(tokens), batch_size, seq_len, stride)
    padded = np.full([(steps * batch_size - 1) * stride + seq_len + 1], pad_id, np.int32)
    padded[: min(len(tokens), len(padded))] = tokens[: len(padded)]
    all_windows = np.lib.stride_tricks.sliding_window_view(padded, seq_len + 1)[::stride]
    for step in range(steps):
        yield np.ascontiguousarray(all_windows[step * batch_size : (step + 1) * batch_size])


def sliding_scored(batch_size: int, seq_len: int, stride: int, step: int) -> np.ndarray:
    """[B, T] bool: which targets of a step of `sliding_windows` are scored there; row by row, they
    are in the order of the stream."""
    scored = np.tile(np.arange(seq_len) >= seq_len - stride, [batch_size, 1])
    scored[0] |= step == 0
    return scored
