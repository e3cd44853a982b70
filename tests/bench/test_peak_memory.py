"""Peak memory is that of the training alone, and computing blocks again really lowers it."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest

from par.bench import peak_memory, synthetic
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
        synthetic.data(50, batch_size, 32),
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
    before = peak_memory.of_this_process()
    block = np.ones(150 << 20, np.uint8)
    after = peak_memory.of_this_process()
    del block
    assert before > 50 and before <= after <= peak_memory.of_this_process()
    more = np.ones((after + 40) << 20, np.uint8)
    assert (
        more.nbytes >> 20 < peak_memory.of_this_process() + 1
        and peak_memory.of_this_process() > after
    )


@pytest.mark.slow
def test_computing_blocks_again_lowers_the_peak_by_what_they_keep():
    """Four blocks keep some 90 MB each of activations; the memory of this process, much larger,
    is not in it."""
    larger = np.ones(2 << 30, np.uint8)
    plain, again = (
        peak_memory.of_training(config("4s", flag, batch_size=512), start_tensorflow)
        for flag in (False, True)
    )
    assert larger[-1] == 1 and plain["parameters"] == again["parameters"]
    assert again["peak_memory_megabytes"] + 100 < plain["peak_memory_megabytes"] < 2000


def test_a_process_that_fails_or_is_ended_is_told():
    with pytest.raises(
        ResourceError, match="the process that trained s ended with code 9: try smaller sizes"
    ):
        peak_memory.of_training(config("s", False), ends_at_once)
    with pytest.raises(ValueError, match="no TensorFlow here"):
        peak_memory.of_training(config("s", False), raises)


def allocate(file: str, megabytes: int) -> None:
    """Holds memory until the file is gone."""
    import time

    block = bytearray(megabytes << 20)
    block[:: 1 << 12] = b"x" * len(block[:: 1 << 12])
    while Path(file).exists():
        time.sleep(0.01)


def test_the_peak_of_a_family_is_that_of_a_process_and_its_children_together(tmp_path):
    file = tmp_path / "held"
    file.touch()
    context = multiprocessing.get_context("spawn")
    before = peak_memory.FamilyPeak(os.getpid())
    before.look()
    child = context.Process(target=allocate, args=(str(file), 300))
    with peak_memory.watched(os.getpid()) as peak:
        child.start()
        deadline = time.monotonic() + 60
        while peak.bytes < before.bytes + (300 << 20) and time.monotonic() < deadline:
            time.sleep(0.05)
        file.unlink()
        child.join()
    assert peak.bytes >= before.bytes + (300 << 20)
    after = peak_memory.FamilyPeak(os.getpid())
    after.look()
    assert 0 < after.bytes < peak.bytes - (200 << 20)


def test_a_process_that_is_gone_has_no_memory():
    gone = peak_memory.FamilyPeak(2**22 + 1)  # above the largest process id
    gone.look()
    assert gone.bytes == 0
