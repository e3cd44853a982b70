"""The settings of a network that is made of trained ones, side by side, known without TensorFlow;
par.composing.network makes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from par.core.config import ModelConfig, SearchConfig, TrainingConfig
from par.core.errors import UsageError
from par.nn.base import Base
from par.nn.parts import check_part_name
from par.objectives import COMPOSED
from par.search.architecture import Architecture
from par.train import base_run
from par.train.run_config import RunConfig


@dataclasses.dataclass(frozen=True)
class Source:
    """A run that is composed. name: of its part; step: of its checkpoint."""

    run: str
    config: RunConfig
    checkpoint: str = "last"
    step: int = 0
    name: str = ""


def composed_config(sources: Sequence[Source]) -> RunConfig:
    """The settings of the network whose hidden states are those of several runs side by side. Its
    windows and its memory are the longest of theirs.

    Raises: UsageError if the runs have not the same tokenizer, not the same base, or two parts the
    same name.
    """
    if not sources:
        raise UsageError("there is nothing to compose: give at least one run")
    first = sources[0]
    for source in sources[1:]:
        base_run.check_tokenizer(first.config, first.run, source.config, source.run)
    for source in sources:
        if source.name:
            check_part_name(source.name)
    stacks = [
        base_run.stack_of(of.config, of.run, of.checkpoint, of.step, of.name) for of in sources
    ]
    stack = base_run.side_by_side(stacks, [source.run for source in sources])
    read = [source.config.read_shape for source in sources]
    model = ModelConfig(
        d_model=stack.width,
        num_heads=1,
        d_ffn=1,
        mem_len=max(model.mem_len for model, _, _ in read),
        dropout_rate=0.0,
        norm="post",  # adds no norm at the end: the states stay as they are
    )
    return RunConfig(
        Architecture("i"),
        model,
        SearchConfig(),
        TrainingConfig(epochs=1),
        dataclasses.replace(first.config.data, seq_len=max(seq_len for _, _, seq_len in read)),
        objective=COMPOSED.name,
        base=Base(stack=stack),
    )
