"""How a split is read: what is left open is the run's; what does not go together, or can't fit, is
refused in one line."""

from __future__ import annotations

import dataclasses
import re

import pytest

from par.core.errors import ResourceError, UsageError
from par.data import manifest
from par.evaluate import eval_config
from par.evaluate.eval_config import EvalConfig, check_memory, needed_bytes
from par.objectives.settings import MaskedLMSettings
from par.objectives.tower_settings import DistillSettings
from small import small_config, small_data


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data_dir = small_data(tmp_path_factory.mktemp("data") / "copies", train=100, valid=50)
    return small_config(data_dir, "ad"), manifest.load(data_dir)


def test_what_is_left_open_is_as_in_training(run):
    assert EvalConfig().resolved(*run) == EvalConfig(batch_size=4, seq_len=8, mem_len=5)
    given = EvalConfig(batch_size=2, seq_len=3, mem_len=0, same_length=True, clamp_len=7)
    assert given.resolved(*run) == given
    assert (
        EvalConfig(stride=2).resolved(*run) == EvalConfig(batch_size=4, seq_len=8, stride=2)
        and EvalConfig(stride=2).memory_length(run[0]) == 0
    )
    assert EvalConfig(stride=2, mem_len=0).memory_length(run[0]) == 0


def test_a_memory_is_refused_where_windows_are_read_alone(run):
    config, data = run
    alone = dataclasses.replace(
        config, objective="distill", objective_settings=DistillSettings(teacher="run")
    )
    assert EvalConfig().resolved(alone, data).mem_len == 0
    for name, value in (("mem_len", 3), ("same_length", True)):
        with pytest.raises(UsageError, match=f"^distill reads each window alone, so that {name} "):
            EvalConfig(**{name: value}).resolved(alone, data)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, but is 0"),
        ({"seq_len": 1 << 21}, "seq_len must be at most 1048576, but is 2097152"),
        ({"mem_len": -1}, "mem_len must be at least 0, but is -1"),
        ({"clamp_len": -1}, "clamp_len must be at least 0, but is -1"),
        ({"stride": 0}, "stride must be at least 1, but is 0"),
        (
            {"stride": 2, "mem_len": 16},
            "stride evaluates without a memory, but mem_len is 16: give only one of",
        ),
        (
            {"stride": 2, "same_length": True},
            "stride evaluates without a memory, but same_length is True: give only one",
        ),
        ({"same_length": None}, "same_length must be of type bool, but is None"),
    ],
)
def test_nonsense_is_refused_with_the_rule_and_the_value(given, said):
    with pytest.raises(UsageError, match=re.escape(said)):
        EvalConfig(**given)


def test_a_stride_that_leaves_tokens_out_is_refused(run):
    assert EvalConfig(stride=8).resolved(*run).stride == 8
    with pytest.raises(
        UsageError,
        match=r"^stride must be at most seq_len, 8, .* but is 9",
    ):
        EvalConfig(stride=9).resolved(*run)


def test_a_memory_that_no_machine_has_is_refused_before_it_is_allocated(run, monkeypatch):
    with pytest.raises(ResourceError, match=r"^B 1,048,576, .* GB, .*: lower --batch_size$"):
        check_memory(run[0], 1 << 20, 8, 1 << 20, "--batch_size")
    needed = needed_bytes(run[0], 4, 8, 8)
    monkeypatch.setattr(eval_config, "memory_bytes", lambda: needed)
    EvalConfig(mem_len=8).resolved(*run, ["valid"])
    monkeypatch.setattr(eval_config, "memory_bytes", lambda: needed - 1)
    with pytest.raises(ResourceError, match=r"^B 4, T 8, M 8 .* lower --batch_size, --seq_len or"):
        EvalConfig(mem_len=8).resolved(*run, ["valid"])


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        # valid has 50 tokens, 49 targets: 2 steps of 4 rows of 8 is training's shape
        ({}, {"batch_size": 4, "seq_len": 8, "mem_len": 5}),
        ({"batch_size": 1 << 20}, {"batch_size": 7, "seq_len": 8, "mem_len": 5}),
        ({"batch_size": 5, "seq_len": 7}, {"batch_size": 4, "seq_len": 7, "mem_len": 5}),
        ({"mem_len": 1 << 20}, {"batch_size": 4, "seq_len": 8, "mem_len": 16}),
        ({"seq_len": 1 << 20}, {"batch_size": 1, "seq_len": 49, "mem_len": 5}),
        (
            {"batch_size": 9, "seq_len": 1 << 20, "stride": 1 << 19},
            {"batch_size": 1, "seq_len": 49, "stride": 49, "mem_len": None},
        ),
        ({"batch_size": 99, "stride": 7}, {"batch_size": 7, "seq_len": 8, "stride": 7}),
    ],
)
def test_no_more_is_allocated_than_a_split_can_fill(run, given, fits):
    asked = EvalConfig(**given)
    fitted = asked.fitted(*run, "valid")
    assert {name: getattr(fitted, name) for name in fits} == fits
    assert bool(asked.reductions(fitted)) == bool(given)
    for name, value in given.items():
        reduced = getattr(fitted, name) != value
        assert (f"--{name}={value:,} is" in asked.reductions(fitted)) == reduced


def test_a_window_fills_whole_positions_of_the_memory(run):
    config, data = run
    model = dataclasses.replace(config.model, downsample=3)
    characters = dataclasses.replace(
        config,
        model=model,
        objective="masked_lm",
        objective_settings=MaskedLMSettings(),
    )
    # 2 steps of windows of 8, which are 3 positions of 3
    assert EvalConfig(mem_len=1 << 20).fitted(characters, data, "valid").mem_len == 2 * 9


def test_needed_bytes_by_hand(run):
    memories = 2 * 1 * 4 * 5 * 16  # before and after, one attention block, B 4, M 5, D 16
    # inputs, keys and values of S = 13; two sets of logits of H 2, T 8
    block = 4 * 13 * 3 * 16 + 2 * 4 * 2 * 8 * 13
    assert needed_bytes(run[0], 4, 8, 5) == 4 * (4 * 8 * 16 + memories + block)
