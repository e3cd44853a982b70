"""A timed softmax computes the loss and every gradient."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from par.bench import softmax_speed
from par.core.config import ModelConfig


@pytest.mark.parametrize("tied", [False, True], ids=["own vectors", "tied"])
@pytest.mark.parametrize("cutoffs", [(), (5, 17)], ids=str)
def test_a_timed_softmax_computes_the_mean_nll_and_the_gradient_of_every_part(cutoffs, tied):
    config = ModelConfig(
        d_model=8, num_heads=1, cutoffs=cutoffs, init_std=0.5, tie_embeddings=tied
    )
    timed = softmax_speed.TimedSoftmax(config, 29, 23)
    ids = np.arange(23, dtype=np.int32)
    loss, of_hidden, *of_weights = timed.loss_and_gradients(tf.constant(ids))
    assert float(loss) == pytest.approx(
        float(tf.reduce_mean(timed.layer.nll(timed.hidden, tf.constant(ids)))), rel=1e-5
    )
    assert of_hidden.shape == (23, 8) and np.all(np.any(of_hidden, axis=-1))
    embedding = [(29, 8)] if tied else []
    assert [gradient.shape for gradient in of_weights] == [
        *(weight.shape for weight in timed.layer.weights),
        *embedding,
    ]
    assert all(np.any(gradient) for gradient in of_weights)
    assert timed.timing(ids)() > 0
