"""How a split is evaluated: the shape of its windows, how far a token sees back, and the memory
that this needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from par.core.config import Group, setting
from par.core.errors import ResourceError, SettingError
from par.core.machine import memory_bytes
from par.data import windows
from par.data.manifest import Manifest
from par.train.run_config import RunConfig

MOST = 1 << 20


@dataclasses.dataclass(frozen=True)
class EvalConfig(Group):
    """Shape of the windows, memory and mask of an evaluation; None means the value of training."""

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
                    message = (
                        f"stride evaluates without a memory, but {name} is"
                        f" {getattr(self, name)}: give only one of stride and {name}"
                    )
                    raise SettingError(message, "stride", name)

    def window_shape(self, manifest: Manifest) -> tuple[int, int]:
        """B and T. Raises: UsageError if windows would leave tokens out."""
        batch_size = self.batch_size or manifest.batch_size
        seq_len = self.seq_len or manifest.seq_len
        if self.stride is not None and self.stride > seq_len:
            message = (
                f"stride must be at most seq_len, {seq_len}, or tokens between two windows are"
                f" left out, but is {self.stride}"
            )
            raise SettingError(message, "stride", "seq_len")
        return batch_size, seq_len

    def memory_length(self, config: RunConfig) -> int:
        """M: 0 with a stride, else mem_len, else training's, 0 where no window begins with the
        memory of the one before."""
        if self.stride is not None:
            return 0
        return config.text_shape[1] if self.mem_len is None else self.mem_len

    def resolved(
        self, config: RunConfig, manifest: Manifest, splits: Sequence[str] = ()
    ) -> EvalConfig:
        """The same with B, T and M of this run and data in the place of None.

        Raises: UsageError as `window_shape`, or for what has no effect; ResourceError if the
        evaluation of one of `splits` does not fit into this machine's memory.
        """
        if config.contract.reads_documents:
            return self._of_documents(config, manifest, splits)
        if not config.contract.carries_memory:
            self._refuse(("mem_len", "same_length"), f"{config.objective} reads each window alone")
        batch_size, seq_len = self.window_shape(manifest)
        memory = {} if self.stride is not None else {"mem_len": self.memory_length(config)}
        made = dataclasses.replace(self, batch_size=batch_size, seq_len=seq_len, **memory)
        for split in splits:
            fitted = made.fitted(config, manifest, split)
            check_memory(
                config,
                fitted.batch_size,
                fitted.seq_len,
                fitted.memory_length(config),
                flags="--batch_size, --seq_len or --mem_len",
            )
        return made

    def _of_documents(
        self, config: RunConfig, manifest: Manifest, splits: Sequence[str]
    ) -> EvalConfig:
        """`resolved` where documents are read, each by itself, as in training."""
        self._refuse(
            ("seq_len", "mem_len", "same_length", "clamp_len", "stride"),
            f"{config.objective} reads texts by themselves, as long as in training",
        )
        batch_size = self.batch_size or manifest.batch_size
        model, rows, seq_len = config.read_shape
        if splits:
            texts = -(-rows // manifest.batch_size) * batch_size
            check_memory(config, texts, seq_len, model.mem_len, flags="--batch_size")
        return dataclasses.replace(
            self, batch_size=batch_size, seq_len=seq_len, mem_len=model.mem_len
        )

    def _refuse(self, names: Sequence[str], why: str) -> None:
        """Raises: SettingError for one of these that is given."""
        for name in names:
            if getattr(self, name) not in (None, False):
                raise SettingError(f"{why}, so that {name} has no effect: leave it out", name)

    def fitted(self, config: RunConfig, manifest: Manifest, split: str) -> EvalConfig:
        """The same without the rows, the window length and the memory that a split can't fill.

        Every token sees the same context as before, so the scores are equal. Training's own shape
        and memory are kept as they are.
        """
        if config.contract.reads_documents:
            return self
        batch_size, seq_len = self.window_shape(manifest)
        tokens = num_tokens(manifest, split)
        targets = max(tokens - 1, 1)
        if self.stride is not None:
            count = windows.num_sliding_steps(tokens, 1, seq_len, self.stride)
            seq_len = min(seq_len, targets)
            return dataclasses.replace(
                self,
                batch_size=min(batch_size, count),
                seq_len=seq_len,
                stride=min(self.stride, seq_len),
            )
        steps = max(windows.num_steps(tokens, batch_size, seq_len, padded=True), 1)
        if (batch_size, seq_len) != (manifest.batch_size, manifest.seq_len):
            batch_size = -(-targets // (steps * seq_len))
            seq_len = min(seq_len, targets)
        # a window ends with a whole position, also where that is several tokens
        parts = config.base.stack.parts if config.base else ()
        models = (config.model, *(part.model for part in parts))
        window = max(model.positions(seq_len) * model.downsample for model in models)
        filled = max(steps * window, config.model.mem_len)
        return dataclasses.replace(
            self,
            batch_size=batch_size,
            seq_len=seq_len,
            mem_len=min(self.memory_length(config), filled),
        )

    def reductions(self, fitted: EvalConfig) -> str:
        """Which flags `fitted` has reduced, for a message; "" if none."""
        return ", ".join(
            f"--{name}={getattr(self, name):,} is reduced to {getattr(fitted, name):,}"
            for name in ("batch_size", "seq_len", "mem_len", "stride")
            if getattr(self, name) is not None and getattr(fitted, name) < getattr(self, name)
        )


def num_tokens(manifest: Manifest, split: str) -> int:
    """Tokens of a split that are evaluated: all but those that the windows of train leave out."""
    return manifest.splits[split].tokens - manifest.splits[split].dropped


def check_memory(
    config: RunConfig, batch_size: int, seq_len: int, mem_len: int, flags: str
) -> None:
    """Checks windows [B, T] with M tokens of memory before anything is allocated. flags: those
    that reduce the memory needed, for the message.

    Raises: ResourceError if they can't fit into this machine.
    """
    needed = needed_bytes(config, batch_size, seq_len, mem_len)
    limit = memory_bytes()
    if needed > limit:
        sizes = f"B {batch_size:,}, T {seq_len:,}, M {mem_len:,}"
        raise ResourceError(
            f"{sizes} need at least {needed / 1e9:,.1f} GB, but this process may use"
            f" {limit / 1e9:,.1f} GB: lower {flags}"
        )


def needed_bytes(config: RunConfig, batch_size: int, seq_len: int, mem_len: int) -> int:
    """A lower bound of the memory needed, in bytes: a window's float32 embeddings, the memories
    before and after it, and the largest part of the network.

    Parts are an attention block (inputs, keys, values, and logits by content and by distance), the
    hidden layer of a dense block, and the logits of the softmax's head.
    """
    model, tokens, before = config.model, batch_size * seq_len, mem_len
    # what the blocks read
    seq_len, mem_len = model.positions(seq_len), model.positions(mem_len)
    keys = mem_len + seq_len
    attending = sum(kind in "as" for kind in config.architecture.blocks)
    memories = 2 * attending * batch_size * mem_len * model.d_model
    for part in config.base.stack.parts if config.base else ():
        attends, length = sum(kind in "as" for kind in part.blocks), part.model.positions(before)
        memories += 2 * attends * batch_size * length * part.model.d_model
    attention = batch_size * keys * (3 * model.d_model + 2 * model.num_heads * seq_len)
    dense = batch_size * seq_len * model.d_ffn
    head = tokens * (model.cutoffs[0] if model.cutoffs else config.data.vocab_size)
    parts = [head]
    if attending:
        parts.append(attention)
    if any(kind in "ds" for kind in config.architecture.blocks):
        parts.append(dense)
    return 4 * (tokens * model.d_model + memories + max(parts))
