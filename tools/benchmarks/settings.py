"""What the subjects share: flags, the shape of the network that is timed, and checks."""

from __future__ import annotations

from typing import Any

from absl import flags

from par.bench import synthetic
from par.core.config import ModelConfig, SearchConfig, TrainingConfig
from par.core.errors import UsageError
from par.search import architecture
from par.tools.cli.flags import Flags
from par.train.run_config import RunConfig

BASE_SHAPE = {"d_model": 128, "num_heads": 4, "d_ffn": 512, "mem_len": 16, "cutoffs": (250, 2500)}
VOCABULARY = (flags.DEFINE_integer, "vocab_size", 12_000, "vocabulary size V")
BATCH = (
    (flags.DEFINE_integer, "batch_size", 32, "rows B"),
    (flags.DEFINE_integer, "seq_len", 32, "window length T in tokens"),
)
MEMORY = (flags.DEFINE_integer, "mem_len", BASE_SHAPE["mem_len"], "memory length M in tokens")
OUTPUT = (flags.DEFINE_bool, "json", False, "print one JSON line")


def check_at_least(least: int, values: Flags, *names: str) -> None:
    """Raises: UsageError if a flag, or one value of a repeatable flag, is below `least`."""
    for name in names:
        value = getattr(values, name)
        for each in value if isinstance(value, list) else [value]:
            if each < least:
                raise UsageError(f"--{name} must be at least {least}, but is {each}")


def check_divisible(values: Flags, name: str, divisor_name: str, divisor: int) -> None:
    """Raises: UsageError if a flag's value is not a multiple of another flag's, `divisor`."""
    value = getattr(values, name)
    if value % divisor:
        raise UsageError(
            f"--{name} must be divisible by --{divisor_name}, {divisor}, but is {value}"
        )


def base_run(values: Flags, blocks: str, precision: str = "f32", **search: Any) -> RunConfig:
    """A run of `blocks` at the base shape, with the flags' V, B, T and M; pi stays uniform."""
    model = ModelConfig(**BASE_SHAPE | {"mem_len": values.mem_len, "precision": precision})
    model.check_vocabulary(values.vocab_size)
    return RunConfig(
        architecture.parse(blocks),
        model,
        SearchConfig(arch_lr=0.0, **search),
        TrainingConfig(),
        synthetic.data(values.vocab_size, values.batch_size, values.seq_len),
    )
