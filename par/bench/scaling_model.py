"""The cost of a training on many devices: compute, communication, memory, input and time, as pure
functions of the shape and the machines.

    step     FLOPs / (R f)  +  4 P · 2 (R - 1) / R / w  +  h
             seconds, one after the other: gradients are added up when all have been computed
    memory   p P  +  L B/R (m2 T (D + F) + m3 S D + m4 H T S)  +  8 B/R T c_1
             bytes of one device
    input    4 B (T + 1)
             bytes per machine and step: every worker reads every step and keeps its rows

R devices of f FLOP/s each, as reached in training; w bytes/s from each device to the next of the
ring in which the gradients of P parameters are added up (Patarasu & Yuan 2009); h seconds that do
not shrink. p, m2, m3 and m4 were fitted by `benchmark growth` (par.bench.cost_fit); the last term
is the logits of the softmax' head of c_1 ids and their gradient.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from par.core.config import ModelConfig, SearchConfig
from par.objectives import DEFAULT, OBJECTIVES
from par.search import flops

NUMBER_BYTES = 4
MEGABYTE = 2**20
# The fit of `benchmark growth` in docs/speed.md, megabytes to bytes: a CPU's. A parameter with its
# gradient and Adam's two moments would be 16 bytes.
STATE_BYTES, WINDOW_BYTES, KEY_BYTES, PAIR_BYTES = (
    MEGABYTE * megabytes for megabytes in (3.39e-05, 1.03e-05, 5.09e-05, 1.41e-05)
)


@dataclasses.dataclass(frozen=True)
class Machines:
    """Devices and the links between them."""

    devices: int  # R
    device_flops: float = 1e13  # f, FLOP/s that a device reaches in training
    link_bytes: float = 1e10  # w, bytes/s from a device to the next of the ring
    overhead: float = 0.0  # h, seconds a step


@dataclasses.dataclass(frozen=True)
class Estimate:
    """The cost of one step: seconds of its parts, bytes of memory and input."""

    compute: float
    communication: float
    overhead: float
    state_bytes: float  # a device
    activation_bytes: float  # a device
    read_bytes: float  # a machine

    @property
    def seconds(self) -> float:
        """Seconds of one step."""
        return self.compute + self.communication + self.overhead


def estimate(
    blocks: str,
    model: ModelConfig,
    search: SearchConfig,
    batch_size: int,
    seq_len: int,
    counts: Sequence[float],
    machines: Machines,
) -> Estimate:
    """The cost of one step of a global batch [B, T]. counts: [V] how often each id occurs, for
    the adaptive softmax."""
    step_flops = flops.training_flops(
        blocks, model, batch_size, seq_len, counts, OBJECTIVES[DEFAULT].visibility, search
    )
    state = parameters(blocks, model, len(counts))
    devices = machines.devices
    return Estimate(
        compute=step_flops / (devices * machines.device_flops),
        communication=2 * (devices - 1) / devices * NUMBER_BYTES * state / machines.link_bytes,
        overhead=machines.overhead,
        state_bytes=STATE_BYTES * state,
        activation_bytes=activation_bytes(
            blocks, model, batch_size / devices, seq_len, len(counts)
        ),
        read_bytes=NUMBER_BYTES * batch_size * (seq_len + 1),
    )


def parameters(blocks: str, model: ModelConfig, vocab_size: int) -> int:
    """P: the number of weights of the whole network."""
    sizes = [
        last - first for first, last in zip((0, *model.cutoffs), (*model.cutoffs, vocab_size))
    ]
    d, tied = model.d_model, model.tie_embeddings
    head = d * (len(sizes) - 1 + (0 if tied else sizes[0]))
    tails = sum(
        width * (d + (d if tied else size)) for width, size in zip(model.tail_widths, sizes[1:])
    )
    return (
        vocab_size * d
        + flops.block_parameters(blocks, model)
        + flops.resampling_parameters(model)
        + (2 * d if model.norm == "pre" else 0)
        + head
        + tails
    )


def activation_bytes(
    blocks: str, model: ModelConfig, rows: float, seq_len: int, vocab_size: int
) -> float:
    """Bytes that one device keeps for the backward pass of `rows` of the batch."""
    t, d = model.positions(seq_len), model.d_model
    s = model.positions(model.mem_len) + t
    attention, dense = (
        WINDOW_BYTES * t * d + KEY_BYTES * s * d + PAIR_BYTES * model.num_heads * t * s,
        WINDOW_BYTES * t * model.d_ffn,
    )
    of_kind = {"a": attention, "d": dense, "i": 0.0, "s": attention + dense}
    head = 2 * NUMBER_BYTES * seq_len * (model.cutoffs[0] if model.cutoffs else vocab_size)
    return rows * (sum(of_kind[kind] for kind in blocks) + head)
