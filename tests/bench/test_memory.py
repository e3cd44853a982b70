"""Peak memory is that of the training alone, and computing blocks again really lowers it."""

from __future__ import annotations

import numpy as np
import pytest

from par.bench import memory
from par.core.config import ModelConfig, SearchConfig, TrainingConfig
from par.core.errors import ResourceError
from par.search.architecture import parse
from par.tools.cli.tensorflow import start_tensorflow
from par.train import run_config


def config(
    blocks: str, gradient_checkpointing: bool, batch_size: int = 128
) -> run_config.RunConfig:
    model, data = (
        ModelConfig(d_model=64, num_heads=4, d_ffn=256, mem_len=0),
        run_config.DataIdentity("synthetic", 50, batch_size, 32, 100, "", ""),
    )
    return run_config.RunConfig(
        parse(blocks),
        model,
        SearchConfig(),
        TrainingConfig(gradient_checkpointing=gradient_checkpointing),
        data,
    )


def ends_at_once() -> None:
    import os

    os._exit(9)


def raises() -> None:
    raise ValueError("no TensorFlow here")


@pytest.mark.slow
def test_peak_memory_is_what_the_process_has_had_and_never_falls():
    from par.bench import training_speed

    before = training_speed.peak_memory()
    block = np.ones(150 << 20, np.uint8)
    after = training_speed.peak_memory()
    del block
    assert before > 50 and before <= after <= training_speed.peak_memory()
    more = np.ones((after + 40) << 20, np.uint8)
    assert (
        more.nbytes >> 20 < training_speed.peak_memory() + 1
        and training_speed.peak_memory() > after
    )


@pytest.mark.slow
def test_computing_blocks_again_lowers_the_peak_by_what_they_keep():
    """Eight blocks keep some 90 MB each of activations; the memory of this process, much larger,
    is not in it."""
    larger = np.ones(4 << 30, np.uint8)
    plain, again = (
        memory.of_training(config("8s", flag, batch_size=512), start_tensorflow)
        for flag in (False, True)
    )
    assert larger[-1] == 1 and plain["parameters"] == again["parameters"]
    assert again["peak_memory_megabytes"] + 100 < plain["peak_memory_megabytes"] < 4000


def test_a_process_that_fails_or_is_ended_is_told():
    with pytest.raises(
        ResourceError, match="the process that trained s ended with code 9: try smaller sizes"
    ):
        memory.of_training(config("s", False), ends_at_once)
    with pytest.raises(ValueError, match="no TensorFlow here"):
        memory.of_training(config("s", False), raises)
