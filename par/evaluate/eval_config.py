"""How a network reads a split when it is scored: the shape of its windows, how far it sees back;
and what that takes."""

from __future__ import annotations

import dataclasses

from par.core.config import Group, setting
from par.core.errors import ResourceError, SettingError, UsageError
from par.core.machine import memory_bytes
from par.data.manifest import Manifest
from par.train.run_config import RunConfig

MOST = 1 << 20


@dataclasses.dataclass(frozen=True)
class EvalConfig(Group):
    """None: as in training."""

    batch_size: int | None = setting(
        None, "rows B; the default is training's", minimum=1, maximum=MOST
    )
    seq_len: int | None = setting(
        None, "window length T in tokens; the default is training's", minimum=1, maximum=MOST
    )
    mem_len: int | None = setting(
        None, "memory length M in tokens; the default is training's", minimum=0, maximum=MOST
    )
    same_length: bool = setting(
        False,
        "in each block, every token sees itself and exactly M tokens back, wherever it stands in"
        " its window",
    )
    clamp_len: int | None = setting(
        None,
        "distances beyond so many tokens are coded as if they were just that; the default tells"
        " all apart",
        minimum=0,
        maximum=MOST,
    )
    stride: int | None = setting(
        None,
        "no memory, but windows of T tokens that begin every so many; scored are the tokens that"
        " are new in a window",
        minimum=1,
        maximum=MOST,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride is not None:
            for name in ("mem_len", "same_length"):
                if getattr(self, name) not in (None, False):
                    said = (
                        f"stride reads without a memory, but {name} is {getattr(self, name)}: give"
                        f" one of --stride and --{name}"
                    )
                    raise SettingError(said, "stride", name)

    def shape(self, manifest: Manifest) -> tuple[int, int]:
        """B and T. Raises: UsageError if windows would leave tokens out."""
        batch_size, seq_len = (
            self.batch_size or manifest.batch_size,
            self.seq_len or manifest.seq_len,
        )
        if self.stride is not None and self.stride > seq_len:
            raise UsageError(
                f"stride must be at most seq_len, {seq_len}, or else tokens are left out, but is"
                f" {self.stride}"
            )
        return batch_size, seq_len

    def memory(self, config: RunConfig) -> int:
        """M."""
        if self.stride is not None:
            return 0
        return config.model.mem_len if self.mem_len is None else self.mem_len

    def settled(self, config: RunConfig, manifest: Manifest) -> EvalConfig:
        """With all that was left open as it is for this run and data. Raises: as `shape`;
        ResourceError if it can't fit into this machine."""
        batch_size, seq_len = self.shape(manifest)
        check_memory(
            config,
            batch_size,
            seq_len,
            self.memory(config),
            "--batch_size, --seq_len or --mem_len",
        )
        memory = {} if self.stride is not None else {"mem_len": self.memory(config)}
        return dataclasses.replace(self, batch_size=batch_size, seq_len=seq_len, **memory)


def check_memory(
    config: RunConfig, batch_size: int, seq_len: int, mem_len: int, levers: str
) -> None:
    """For windows [B, T] with M tokens of memory, before anything is allocated. levers: the flags
    that lower what they take.

    Raises: ResourceError if they can't fit into this machine.
    """
    needed, there = (
        needed_bytes(config, batch_size, seq_len, mem_len),
        memory_bytes(),
    )
    if needed > there:
        sizes = f"B {batch_size:,}, T {seq_len:,}, M {mem_len:,}"
        raise ResourceError(
            f"{sizes} take at least {needed / 1e9:,.1f} GB, but this process may use"
            f" {there / 1e9:,.1f} GB: lower {levers}"
        )


def needed_bytes(config: RunConfig, batch_size: int, seq_len: int, mem_len: int) -> int:
    """A lower bound: a window's float32 embeddings, the memories before and after it, and of one
    attention block its inputs, keys, values, and logits by content and by distance."""
    model, attending, keys = (
        config.model,
        sum(kind in "as" for kind in config.architecture.blocks),
        mem_len + seq_len,
    )
    memories = 2 * attending * batch_size * mem_len * model.d_model
    block = (
        batch_size * keys * (3 * model.d_model + 2 * model.num_heads * seq_len) if attending else 0
    )
    return 4 * (batch_size * seq_len * model.d_model + memories + block)
