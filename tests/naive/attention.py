"""Relative attention by its definition, in float64: every row, head, query and key by itself,
every distance looked up by itself."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np


def code(distance: int, d_model: int) -> np.ndarray:
    """[D] sinusoids of one signed distance: sines, then cosines."""
    angles = [distance / 10_000 ** (2 * pair / d_model) for pair in range(d_model // 2)]
    return np.array([*map(math.sin, angles), *map(math.cos, angles)])


def relative_shift(by_distance: np.ndarray, distances: list[int], mem_len: int) -> np.ndarray:
    """[T, P] logits by distance -> [T, S] by key; NaN where the distance of query and key does not
    occur."""
    seq_len = len(by_distance)
    by_key = np.full([seq_len, mem_len + seq_len], math.nan)
    for i in range(seq_len):
        for j in range(mem_len + seq_len):
            if mem_len + i - j in distances:
                by_key[i, j] = by_distance[i, distances.index(mem_len + i - j)]
    return by_key


def sees(i: int, j: int, mem_len: int, valid: int, visibility: str, same_length: bool) -> bool:
    """Whether query i of the window sees key j of memory and window; the newest `valid` memory
    positions hold tokens."""
    distance = mem_len + i - j
    if j < mem_len - valid or (visibility == "causal" and distance < 0):
        return False
    return distance <= mem_len or not same_length


def attention_probabilities(
    x: np.ndarray,
    memory: np.ndarray,
    weights: Mapping[str, np.ndarray],
    visibility: str = "causal",
    valid: list[int] | None = None,
    same_length: bool = False,
) -> np.ndarray:
    """Dai et al. 2019, section 3.3: x [B, T, D], memory [B, M, D], weights by name, valid [B]
    (default all) -> [B, H, T, S]."""
    (batch, seq_len, d_model), mem_len = x.shape, memory.shape[1]
    w = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}
    heads, d_head = w["content_bias"].shape
    out = np.zeros([batch, heads, seq_len, mem_len + seq_len])
    for b in range(batch):
        keys = np.concatenate([memory[b], x[b]])
        filled = mem_len if valid is None else valid[b]
        for i in range(seq_len):
            for h in range(heads):
                mine = slice(h * d_head, (h + 1) * d_head)
                query = x[b, i] @ w["query"][:, mine]
                for j in range(mem_len + seq_len):
                    if not sees(i, j, mem_len, filled, visibility, same_length):
                        continue
                    key = keys[j] @ w["key_value"][:, mine]
                    position = code(mem_len + i - j, d_model) @ w["position"][:, mine]
                    logit = (query + w["content_bias"][h]) @ key + (
                        query + w["position_bias"][h]
                    ) @ position
                    out[b, h, i, j] = math.exp(logit / math.sqrt(d_head))
                out[b, h, i] /= out[b, h, i].sum()
    return out


def relative_attention(
    x: np.ndarray, memory: np.ndarray, weights: Mapping[str, np.ndarray], *how: object
) -> np.ndarray:
    """What the probabilities make of the values: x [B, T, D], memory [B, M, D] -> [B, T, D];
    `how`: visibility, valid, same_length."""
    probability = attention_probabilities(x, memory, weights, *how)
    w = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}
    (heads, d_head), d_model = w["content_bias"].shape, x.shape[-1]
    out = np.zeros(x.shape)
    for b in range(len(x)):
        values = np.concatenate([memory[b], x[b]]) @ w["key_value"][:, d_model:]
        for i in range(x.shape[1]):
            attended = [
                probability[b, h, i] @ values[:, h * d_head : (h + 1) * d_head]
                for h in range(heads)
            ]
            out[b, i] = np.concatenate(attended) @ w["output"]
    return out
