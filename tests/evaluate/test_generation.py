"""Writing token by token with memory equals one window in which every query sees itself and M
tokens back."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf

from par.core.config import ModelConfig, SamplingConfig, SearchConfig
from par.data.tokenizer import EOS, SPECIAL_PIECES
from par.evaluate import sampling
from par.evaluate.generation import Decoder
from par.nn.forward_mode import EVALUATION, EVALUATION_ARGMAX, Phase
from par.nn.transformer import Transformer
from par.objectives.causal_lm import CausalLanguageModel
from par.search.architecture import Architecture

V, T, M = 41, 5, 7


@functools.cache
def objective(blocks: str, norm: str = "pre", vocab_size: int = V) -> CausalLanguageModel:
    """A network with random weights, large enough that no two tokens are about equally likely."""
    config = ModelConfig(
        d_model=16,
        num_heads=2,
        d_ffn=24,
        mem_len=M,
        norm=norm,
        cutoffs=(11,) if vocab_size > 20 else (),
    )
    made = CausalLanguageModel(config, vocab_size, 1)
    made.build(lambda: Transformer(Architecture(blocks), config, SearchConfig(), vocab_size, 1))
    for number, weight in enumerate(
        weight for layer in made.layers.values() for weight in layer.weights
    ):
        weight.assign(np.random.default_rng(number).normal(0, 0.5, weight.shape))
    return made


def text(length: int) -> list[int]:
    return np.random.default_rng(length).integers(len(SPECIAL_PIECES), V, length).tolist()


def in_one_window(
    network: CausalLanguageModel, tokens: list[int], mem_len: int, phase: Phase
) -> np.ndarray:
    """[N, V] log-probabilities of what follows each token."""
    band = Phase(argmax=phase.argmax, same_length=True)
    hidden, _ = network.trunk(
        tf.constant([tokens]),
        network.trunk.empty_memories(1, mem_len),
        phase=band,
        visibility="causal",
    )
    log_prob = network.head.log_prob(hidden[0]).numpy()
    log_prob[:, [token for token in range(len(SPECIAL_PIECES)) if token != EOS]] = sampling.OUT
    return log_prob


@pytest.mark.quick(3)
@pytest.mark.parametrize("mem_len", [0, 7, 40])
@pytest.mark.parametrize(
    ("blocks", "norm", "phase"),
    [("adaid", "pre", EVALUATION), ("ada", "post", EVALUATION), ("sds", "pre", EVALUATION_ARGMAX)],
)
def test_every_token_is_the_one_that_a_window_with_the_band_mask_gives(
    blocks, norm, phase, mem_len
):
    network, prompt, config = (
        objective(blocks, norm),
        text(13),
        SamplingConfig(length=15, top_k=6, seed=3),
    )
    written = [
        int(token) for (token,) in Decoder(network, T, mem_len, phase).write(prompt, config)
    ]
    log_prob = in_one_window(network, prompt + written, mem_len, phase)[len(prompt) - 1 : -1]
    expected = [
        sampling.draw(tf.constant(row[None]), config, tf.constant(place)).numpy()[0]
        for place, row in enumerate(log_prob)
    ]
    assert written == expected and len(set(written)) > 2


@pytest.mark.quick(2)
@pytest.mark.parametrize("length", [1, 4, 5, 6, 23])
def test_a_prompt_is_read_the_same_in_windows_and_one_by_one(length):
    decoder = Decoder(objective("adaid"), T, M)
    at_once, one_by_one = decoder.read(text(length)), None
    for token in text(length):
        one_by_one = decoder.read([token], one_by_one)
    np.testing.assert_allclose(at_once.hidden, one_by_one.hidden, rtol=1e-4, atol=1e-5)
    assert at_once.valid.numpy().tolist() == one_by_one.valid.numpy().tolist() == [min(length, M)]


@pytest.mark.quick(1)
@pytest.mark.parametrize("blocks", ["adaid", "did", "sas"])
def test_of_a_long_prompt_only_what_the_next_token_depends_on_is_read(blocks, monkeypatch):
    network, prompt, config = objective(blocks), text(200), SamplingConfig(length=4, top_k=6)
    decoder, read = Decoder(network, T, M), []
    whole, reading = decoder.read(prompt[:-1]), decoder.read
    monkeypatch.setattr(
        decoder,
        "read",
        lambda tokens, **kept: read.append((len(tokens), reading(tokens, **kept))) or read[0][1],
    )
    written = [int(token) for (token,) in decoder.write(prompt, config)]
    log_prob = in_one_window(network, prompt + written, M, EVALUATION)[len(prompt) - 1 : -1]
    assert written == [
        sampling.draw(tf.constant(row[None]), config, tf.constant(place)).numpy()[0]
        for place, row in enumerate(log_prob)
    ]
    ((count, memories),) = read
    assert count == sum(kind in "as" for kind in blocks) * M
    np.testing.assert_allclose(memories.hidden, whole.hidden, rtol=1e-4, atol=1e-5)


def test_a_prompt_is_read_once_however_often_it_is_continued_and_each_token_is_counted(
    monkeypatch,
):
    decoder, counted = Decoder(objective("adaid"), T, M), []
    decoder.read(text(23), progress=counted.append)
    assert counted == [T] * 4 + [1] * 3
    prompt, config = decoder.read_prompt(text(23)), SamplingConfig(length=6, num_samples=2)
    expected = np.array(list(decoder.write(text(23), config)))
    monkeypatch.setattr(decoder, "read", None)
    for _ in range(2):
        np.testing.assert_array_equal(list(decoder.write(prompt, config)), expected)


@pytest.mark.slow
def test_a_sample_is_the_same_however_many_are_written_and_no_two_are():
    network, decoder = objective("adaid"), Decoder(objective("adaid"), T, M)
    one, three = (
        np.array(list(decoder.write(text(9), SamplingConfig(length=20, num_samples=rows))))
        for rows in (1, 3)
    )
    np.testing.assert_array_equal(one[:, 0], three[:, 0])
    assert one.shape == (20, 1) and len({tuple(row) for row in three.T}) == 3
    np.testing.assert_array_equal(
        three,
        list(Decoder(network, T, M).write(text(9), SamplingConfig(length=20, num_samples=3))),
    )


def test_no_special_piece_is_written_but_the_end_of_a_line():
    written = [
        int(token)
        for (token,) in Decoder(objective("d", vocab_size=11), T, 0).write(
            [9], SamplingConfig(length=200)
        )
    ]
    assert set(written) == {EOS, 8, 9, 10}
