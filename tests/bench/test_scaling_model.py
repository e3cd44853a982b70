"""The cost of a training on many devices, by formula."""

from __future__ import annotations

import pytest

from par.bench import cost_fit, scaling_model
from par.core.config import ModelConfig, SearchConfig
from par.search import flops
from small import small_config, small_data

MODEL = ModelConfig(d_model=16, num_heads=2, d_ffn=24, mem_len=5)
COUNTS = flops.zipf_counts(40)


def estimate(devices, blocks="sad", batch_size=8, **machines):
    return scaling_model.estimate(
        blocks,
        MODEL,
        SearchConfig(),
        batch_size,
        7,
        COUNTS,
        scaling_model.Machines(devices, **machines),
    )


@pytest.mark.parametrize(
    "settings",
    [{}, {"cutoffs": (10, 20)}, {"cutoffs": (10, 20), "tie_embeddings": True}, {"norm": "post"}],
    ids=str,
)
@pytest.mark.parametrize("blocks", ["ssid", "ad"])
def test_parameters_are_those_of_the_network(tmp_path, blocks, settings):
    from par.train.learner import Learner

    config = small_config(small_data(tmp_path / "copies"), blocks, **settings)
    assert (
        scaling_model.parameters(blocks, config.model, config.data.vocab_size)
        == Learner(config).parameters
    )


def test_devices_share_the_compute_and_every_one_sends_almost_twice_the_gradients():
    one, four = estimate(1, device_flops=1e9), estimate(4, device_flops=1e9, link_bytes=1e6)
    assert one.communication == 0 and one.compute == pytest.approx(
        flops.training_flops("sad", MODEL, 8, 7, COUNTS, "causal") / 1e9
    )
    assert four.compute == pytest.approx(one.compute / 4)
    assert four.communication == pytest.approx(
        1.5 * 4 * scaling_model.parameters("sad", MODEL, 40) / 1e6
    )
    assert estimate(4, link_bytes=1e6, overhead=0.25).seconds == pytest.approx(
        four.communication + 0.25 + estimate(4).compute
    )


def test_every_device_holds_the_state_and_its_rows_activations_and_every_machine_reads_all():
    one, four = estimate(1), estimate(4)
    assert (
        one.state_bytes
        == four.state_bytes
        == scaling_model.STATE_BYTES * scaling_model.parameters("sad", MODEL, 40)
    )
    assert four.activation_bytes == pytest.approx(one.activation_bytes / 4)
    assert one.read_bytes == four.read_bytes == 4 * 8 * 8


def test_memory_is_that_of_the_formula_that_benchmark_growth_fits():
    coefficients = (
        scaling_model.STATE_BYTES,
        scaling_model.WINDOW_BYTES,
        scaling_model.KEY_BYTES,
        scaling_model.PAIR_BYTES,
    )
    parameters = scaling_model.parameters("ss", MODEL, 40)
    shape = cost_fit.Shape(num_blocks=2, batch_size=8, seq_len=7, mem_len=5, d_model=16, d_ffn=24)
    terms = cost_fit.memory_terms(shape, MODEL.num_heads, parameters)
    expected = sum(factor * term for factor, term in zip(coefficients, terms[1:], strict=True))
    found = estimate(1, blocks="ss")
    assert found.state_bytes + found.activation_bytes - 2 * 4 * 8 * 7 * 40 == pytest.approx(
        expected
    )


def test_a_fixed_block_keeps_its_part_of_a_stochastic_one():
    head = scaling_model.activation_bytes("i", MODEL, 8, 7, 40)
    of = {
        blocks: scaling_model.activation_bytes(blocks, MODEL, 8, 7, 40) - head
        for blocks in ("a", "d", "s", "i")
    }
    assert (
        of["a"] + of["d"] == pytest.approx(of["s"]) and of["i"] == 0 and min(of["a"], of["d"]) > 0
    )
