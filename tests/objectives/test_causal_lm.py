"""Random numbers of a whole network, trunk and head: every use has its own, in every seed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from par.core.config import ModelConfig, SearchConfig
from par.nn import forward_mode, ops
from par.nn.forward_mode import Phase
from par.nn.transformer import Transformer
from par.objectives.causal_lm import CausalLanguageModel
from par.search.architecture import Architecture

B, T, V = 2, 5, 31
each_norm = pytest.mark.parametrize("norm", ["pre", "post"])


def built(blocks: str, seed: int = 0, **settings) -> CausalLanguageModel:
    shape = {"d_model": 22, "num_heads": 2, "d_ffn": 13, "mem_len": 3, "cutoffs": (11, 19)}
    model = ModelConfig(**shape | settings)
    made = CausalLanguageModel(model, V, seed)
    made.build(lambda: Transformer(Architecture(blocks), model, SearchConfig(), V, seed))
    return made


def weights(objective: CausalLanguageModel) -> list[np.ndarray]:
    return [w.numpy() for layer in objective.layers.values() for w in layer.weights]


def numbers(objective: CausalLanguageModel) -> list[set[float]]:
    """The initial numbers of every weight that is drawn, on the scale of its standard
    deviation."""
    drawn = [values for values in weights(objective) if values.std() > 0]
    scales = [0.02 if values.std() < 0.1 else 22**-0.5 for values in drawn]
    return [set(np.round(v / s, 4).ravel().tolist()) for v, s in zip(drawn, scales)]


@pytest.mark.parametrize("tied", [False, True], ids=["own vectors", "tied"])
def test_no_two_weights_share_initial_numbers_also_not_those_of_neighbouring_seeds(tied):
    """Four decimals of independent normals coincide by chance, a fifth of them would not."""
    drawn = [
        part for seed in range(3) for part in numbers(built("sadi", seed, tie_embeddings=tied))
    ]
    assert len(drawn) == 3 * (1 + 2 * 6 + 2 * 2 + 5)
    for one, other in itertools.combinations(drawn, 2):
        assert len(one & other) < 0.2 * min(len(one), len(other))


def test_equal_seeds_give_equal_weights():
    for one, other in zip(weights(built("sadi", 3)), weights(built("sadi", 3)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_identity_blocks_leave_the_initial_weights_of_the_others():
    for one, other in zip(weights(built("ad")), weights(built("iaidi")), strict=True):
        np.testing.assert_array_equal(one, other)


@each_norm
def test_every_use_of_random_numbers_has_a_seed_of_its_own(norm, monkeypatch):
    uses = []

    def spied(seed: int, name: str) -> int:
        uses.append((seed, name))
        return hashed_seed(seed, name)

    hashed_seed = ops.hashed_seed
    for module in (ops, forward_mode):
        monkeypatch.setattr(module, "hashed_seed", spied)
    made = built("sadi", norm=norm, dropout_rate=0.5)
    batch = made.prepare(tf.reshape(tf.range(8, 8 + B * (T + 1)), [B, T + 1]))
    phase = Phase(training=True, step=tf.constant(5, tf.int64))
    made.token_scores(batch, made.trunk.empty_memories(B), phase)
    made.trunk.sample(Phase(training=True, step=tf.constant(5, tf.int64), path=1))
    weights_drawn, noise, masks = 1 + 2 * 6 + 2 * 2 + 5, 2, 4 if norm == "pre" else 5
    assert len(set(uses)) == len(uses) == weights_drawn + noise + masks
    assert len({hashed_seed(*use) for use in uses}) == len(uses)
    assert {seed for seed, _ in uses} == {0}  # the run's own, not a neighbour's
