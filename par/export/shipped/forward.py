"""The forward pass of a PAR Transformer-XL in NumPy: a reference to read, or to port.

    network = Network.read("exported")                   config.json and model.safetensors
    states, memories = network(tokens, network.empty(1))
    network.log_prob(states)                             [B, T, V] nats

Letters in shapes: B rows, T tokens of a window, M positions of memory, S = M + T keys, D width of
the network, H heads, K = D / H, A blocks that attend, V ids, P distances.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np

TYPES = {"F32": "<f4", "F16": "<f2"}
EPSILON, MASKED = 1e-6, -1e9  # below the variance; of logits of what is not seen


class Memories(NamedTuple):
    """What each block that attends was given for the tokens before the window."""

    hidden: np.ndarray  # [A, B, M, D], the oldest first
    valid: np.ndarray  # [B] how many of the M, the newest, hold tokens


class Network:
    """The network of a configuration (config.json) and its weights by name."""

    def __init__(self, config: dict, weights: dict[str, np.ndarray]):
        self.config, self.weights = config, weights

    @classmethod
    def read(cls, directory: str | Path) -> Network:
        """The network of a directory. model.safetensors: 8 bytes, the length of the JSON that
        follows: of each weight its type, its shape, and where it lies in the bytes after it."""
        config = json.loads((Path(directory) / "config.json").read_text(encoding="utf-8"))
        data = (Path(directory) / "model.safetensors").read_bytes()
        start = 8 + int.from_bytes(data[:8], "little")
        weights = {}
        for name, entry in json.loads(data[8:start]).items():
            if name != "__metadata__":
                begin, end = (start + offset for offset in entry["data_offsets"])
                flat = np.frombuffer(data[begin:end], TYPES[entry["dtype"]])
                weights[name] = flat.astype(np.float32).reshape(entry["shape"])
        return cls(config, weights)

    def empty(self, rows: int, mem_len: int | None = None) -> Memories:
        """The memories [A, B, M, D] before any token; M: that of training, or another."""
        config = self.config
        mem_len = config["mem_len"] if mem_len is None else mem_len
        mem_len = -(-mem_len // config["downsample"])
        attending = sum("a" in block["kinds"] for block in config["blocks"])
        shape = (attending, rows, mem_len, config["d_model"])
        return Memories(np.zeros(shape, np.float32), np.zeros([rows], np.int32))

    def __call__(
        self,
        tokens: np.ndarray,
        memories: Memories,
        real: np.ndarray | None = None,
        band: bool = False,
    ) -> tuple[np.ndarray, Memories]:
        """The states [B, T, D] after tokens [B, T], and the memories after them.

        real: [B, T] bool, False where a window has padding, which no token sees. band: a token
        sees exactly M back, as when it is written by itself, not all of the memory.
        """
        config, tokens = self.config, np.asarray(tokens)
        real = np.ones(tokens.shape, bool) if real is None else np.asarray(real)
        x = self.weights["embedding"][tokens] * np.float32(config["d_model"] ** 0.5)
        if config["downsample"] > 1:
            characters = x * real[..., None]
            x, real = self._join(characters, real)
        length, mem_len = x.shape[1], memories.hidden.shape[2]
        # [T, S] how far back each key lies
        distance = mem_len + np.arange(length)[:, None] - np.arange(mem_len + length)
        seen = distance >= (0 if config["visibility"] == "causal" else -length)
        seen &= distance <= mem_len if band else True
        filled = np.arange(mem_len) >= mem_len - memories.valid[:, None]
        filled = np.concatenate([filled, real], axis=1)
        mask = np.where(seen & filled[:, None, None], 0, MASKED).astype(np.float32)
        kept, pasts = [], iter(memories.hidden)
        for number, block in enumerate(config["blocks"]):
            past = next(pasts) if "a" in block["kinds"] else None
            if past is not None:
                kept.append(np.concatenate([past, x], axis=1)[:, length:])
            x = self._block(f"blocks.{number}.", block, x, past, distance, mask)
        hidden = np.stack(kept) if kept else memories.hidden
        if config["downsample"] > 1:
            x = self._split(x, characters)
        states = self._norm(x, "final_norm.") if "final_norm.gain" in self.weights else x
        return states, Memories(hidden, np.minimum(memories.valid + length, mem_len))

    def _block(self, name, block, x, past, distance, mask):
        """pre-norm: x + Σ_o w_o f_o(norm(x)); post-norm: Σ_o w_o norm_o(x + f_o(x)) + w_i x."""
        pre = self.config["norm"] == "pre"
        out = x if pre else np.float32(block["identity"]) * x
        for kind, weight in zip(block["kinds"], block["weights"]):
            norm = f"{name}norm." if pre else f"{name}norm_{kind}."
            given = self._norm(x, norm) if pre else x
            if kind == "a":
                memory = self._norm(past, norm) if pre else past
                made = self._attention(f"{name}attention.", given, memory, distance, mask)
            else:
                made = self._dense(f"{name}dense.", given)
            out = out + np.float32(weight) * (made if pre else self._norm(x + made, norm))
        return out

    def _join(self, x, real):
        """Of characters [B, T, D], r as one position [B, G, D] (Clark et al. 2022), and which of
        these hold some [B, G]."""
        rows, length, width = x.shape
        lacking = -length % (factor := self.config["downsample"])
        joined = np.pad(x, [(0, 0), (0, lacking), (0, 0)]).reshape(rows, -1, factor * width)
        real = np.pad(real, [(0, 0), (0, lacking)]).reshape(rows, -1, factor).any(axis=2)
        w = self.weights
        return joined @ w["resampling.down"] + w["resampling.down_bias"], real

    def _split(self, groups, x):
        """The states [B, T, D] of characters x from those of positions [B, G, D]."""
        w, (rows, length, width) = self.weights, x.shape
        spread = self._norm(groups, "resampling.") @ w["resampling.up"]
        spread = spread.reshape(rows, -1, width)[:, :length]
        padded = np.pad(x, [(0, 0), (1, 1), (0, 0)])
        near = np.concatenate([padded[:, k : k + length] for k in range(3)], axis=-1)
        inner = np.maximum(spread + near @ w["resampling.near"] + w["resampling.near_bias"], 0)
        return x + inner @ w["resampling.out"] + w["resampling.out_bias"]

    def _norm(self, x, name):
        """Layer normalisation (Ba et al. 2016)."""
        centred = x - x.mean(-1, keepdims=True)
        scale = 1 / np.sqrt(np.square(centred).mean(-1, keepdims=True) + np.float32(EPSILON))
        return centred * scale * self.weights[f"{name}gain"] + self.weights[f"{name}bias"]

    def _dense(self, name, x):
        """relu(x W_1 + b_1) W_2 + b_2."""
        w = self.weights
        inner = np.maximum(x @ w[f"{name}inner"] + w[f"{name}inner_bias"], 0)
        return inner @ w[f"{name}outer"] + w[f"{name}outer_bias"]

    def _attention(self, name, x, memory, distance, mask):
        """A_ij = ((q_i + u)·k_j + (q_i + v)·r_(i-j)) / sqrt(K) (Dai et al. 2019, section 3.3)."""
        w = {key: self.weights[f"{name}{key}"] for key in ("query", "key_value", "position")}
        u, v = self.weights[f"{name}content_bias"], self.weights[f"{name}position_bias"]  # [H, K]
        keys, values = np.split(np.concatenate([memory, x], axis=1) @ w["key_value"], 2, axis=-1)
        query, keys, values = (_heads(part, len(u)) for part in (x @ w["query"], keys, values))
        lowest = distance.min()
        codes = _codes(np.arange(lowest, distance.max() + 1), x.shape[-1]) @ w["position"]
        content = np.einsum("bthk,bshk->bhts", query + u, keys, optimize=True)
        by_distance = np.einsum("bthk,phk->bhtp", query + v, _heads(codes, len(u)), optimize=True)
        position = by_distance[:, :, np.arange(len(distance))[:, None], distance - lowest]
        logits = (content + position) * np.float32(u.shape[1] ** -0.5) + mask
        probability = np.exp(_log_softmax(logits))
        attended = np.einsum("bhts,bshk->bthk", probability, values, optimize=True)
        return attended.reshape(x.shape) @ self.weights[f"{name}output"]

    def log_prob(self, states: np.ndarray) -> np.ndarray:
        """Log-probabilities [..., V], nats, of states [..., D], by the adaptive softmax (Grave et
        al. 2017): P(id of tail i) = P(slot i) P(id | tail i)."""
        w, cutoffs = self.weights, self.config["cutoffs"]
        tied = self.config["tie_embeddings"]
        size, *tails = np.split(w["embedding"], cutoffs) if tied else [None] * (len(cutoffs) + 1)
        head = w.get("head", np.zeros([states.shape[-1], 0], np.float32))
        head = np.concatenate([size.T, head], axis=1) if tied else head
        logits = _log_softmax(states @ head)
        parts = [logits[..., : head.shape[1] - len(cutoffs)]]
        for i, ids in enumerate(tails):
            out = w[f"tails.{i}.up"].T @ ids.T if tied else w[f"tails.{i}.out"]
            within = _log_softmax(states @ w[f"tails.{i}.down"] @ out)
            parts.append(logits[..., [parts[0].shape[-1] + i]] + within)
        return np.concatenate(parts, axis=-1)


def _heads(x: np.ndarray, heads: int) -> np.ndarray:
    """[..., D] -> [..., H, K]."""
    return x.reshape(*x.shape[:-1], heads, -1)


def _codes(distances: np.ndarray, width: int) -> np.ndarray:
    """[P, D] sinusoids of distances: sines, then cosines."""
    angles = distances[:, None] * 10_000.0 ** (-np.arange(0, width, 2) / width)
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=-1).astype(np.float32)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
