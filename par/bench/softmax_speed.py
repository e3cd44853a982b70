"""How long the (adaptive) softmax takes on this machine: the real layer timed forward and
backward, and a model of its clusters fitted to that.

A step is the nll of N = B T tokens and the gradients of the hidden states and of all weights of
the layer. The optimizer's update is not included; its cost is proportional to the number of
weights, which smaller tail widths reduce.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from par.bench import in_turn
from par.core.config import ModelConfig
from par.core.progress import Progress
from par.nn import cutoffs
from par.nn.adaptive_softmax import AdaptiveSoftmax
from par.nn.ops import Initial

# of a timing for the fit: 0.3 GB, and as much again for their gradient; the fitted model
# extrapolates beyond
MAX_LOGITS = 1 << 26
LEAST_SECONDS = 0.01  # of a timing: a shorter step is repeated
PASSES = 5  # the fastest step counts: other work on a machine only ever slows a step down

Timing = Callable[[], float]


class TimedSoftmax:
    """The layer with random weights, and random hidden states [N, D] for it. Equal seeds give
    equal numbers.

    `loss_and_gradients` takes targets [N] and returns the mean nll and its gradients: of the
    hidden states, of the layer's weights in order, and of the embedding that it is tied to.
    """

    def __init__(self, model: ModelConfig, vocab_size: int, rows: int, seed: int = 0):
        initial, shape = Initial(seed, model.init_std), (vocab_size, model.d_model)
        tied = (
            [keras.Variable(initial.normal("embedding"), shape=shape)]
            if model.tie_embeddings
            else []
        )
        self.layer = AdaptiveSoftmax(model, vocab_size, initial, *tied)
        self.hidden = tf.random.stateless_normal([rows, model.d_model], [seed, 0])

        def step(targets: tf.Tensor) -> list[tf.Tensor]:
            with tf.GradientTape() as tape:
                tape.watch(self.hidden)
                loss = tf.reduce_mean(self.layer.nll(self.hidden, targets))
            gradients = tape.gradient(
                loss,
                [
                    self.hidden,
                    *(weight.value for weight in (*self.layer.trainable_variables, *tied)),
                ],
            )
            return [loss, *map(tf.convert_to_tensor, gradients)]

        self.loss_and_gradients = tf.function(step, autograph=False).get_concrete_function(
            tf.TensorSpec([rows], tf.int32)
        )

    def timing(self, targets: np.ndarray) -> Timing:
        """A warm function that repeats steps on targets [N] for LEAST_SECONDS and returns the
        milliseconds of the fastest."""
        ids = tf.constant(targets, tf.int32)

        def milliseconds() -> float:
            times = []
            while sum(times) < LEAST_SECONDS:
                start = time.perf_counter()
                self.loss_and_gradients(ids)[0].numpy()
                times.append(time.perf_counter() - start)
            return 1e3 * min(times)

        milliseconds()
        return milliseconds


def fastest(
    what: str, preparations: Sequence[Callable[[], Timing]], quiet: bool = False
) -> np.ndarray:
    """[n] the fewest milliseconds of each timing in PASSES, taken in turn."""
    total = len(preparations) * (PASSES + 1)
    with Progress(what, "timing", total, shown=not quiet) as progress:
        timings = in_turn.prepare(dict(enumerate(preparations)), lambda _: progress(1))
        times = in_turn.measure(timings, PASSES, lambda _: progress(1))
    return np.min(list(times.values()), axis=1)


def fit_clusters(
    model: ModelConfig, counts: np.ndarray, rows: int, seed: int, quiet: bool = False
) -> list[cutoffs.Fit]:
    """The cost models of the head and of each tail of `model`; of its cutoffs, only their number
    counts.

    The head is fitted to plain softmaxes of several sizes. A tail of width d is fitted to
    softmaxes with a head of one id and one tail, less the time of such a head alone. The tail has
    k ids, and as many of the `rows` tokens as k consecutive ids of `counts` [V] have, for several
    k and first ids.
    """
    v, rng = len(counts), np.random.default_rng(seed)
    below = cutoffs.prefix_shares(counts)
    plain = dataclasses.replace(model, cutoffs=(), proj_dims=())
    timings, points = [], []  # points: width (0 for the head), k, B

    def add(config: ModelConfig, width: int, k: int, sizes: Sequence[int]) -> None:
        first = len(config.cutoffs)
        softmax = functools.cache(lambda: TimedSoftmax(config, first + k, rows, seed))
        for b in sizes:
            targets = np.zeros(rows, np.int32)
            targets[rng.permutation(rows)[:b]] = rng.integers(first, first + k, b)
            points.append((width, k, b))
            timings.append(lambda targets=targets: softmax().timing(targets))

    # 2 logits: what a head of one id and one slot has
    for k in _spread(2, min(v, MAX_LOGITS // rows), 8):
        add(plain, 0, k, [rows])
    for width in sorted(set(model.tail_widths)):
        least = max(1, v // 256)
        for k in _spread(least, v - least, 6):
            sizes = {
                round(rows * (below[first + k] - below[first]))
                for first in _spread(least, v - k, 4)
            }
            add(
                dataclasses.replace(plain, cutoffs=(1,), proj_dims=(width,)),
                width,
                k,
                sorted(b for b in sizes if b * k <= MAX_LOGITS),
            )
    times = fastest("timing the softmax", timings, quiet)
    widths, k, b = np.array(points).T
    fits = [cutoffs.fit(model.d_model, k[widths == 0], b[widths == 0], times[widths == 0])]
    for width in model.tail_widths:
        mine = widths == width
        fits.append(
            cutoffs.fit(
                width, k[mine], b[mine], np.maximum(times[mine] - times[0], 0.0), beside=times[0]
            )
        )
    return fits


def _spread(low: int, high: int, count: int) -> list[int]:
    """Up to `count` whole numbers from low to high in a geometric progression."""
    return sorted({round(value) for value in np.geomspace(low, max(low, high), count)})


def fastest_cutoffs(
    model: ModelConfig, counts: np.ndarray, rows: int, seed: int, quiet: bool = False
) -> cutoffs.Cuts:
    """The cutoffs of the shortest predicted time on this machine, for up to
    `cutoffs.most_clusters` clusters; none if the plain softmax is faster."""
    most = cutoffs.most_clusters(model.d_model, model.proj_factor, len(counts))
    fits = fit_clusters(
        dataclasses.replace(model, cutoffs=tuple(range(1, most)), proj_dims=()),
        counts,
        rows,
        seed,
        quiet,
    )
    return cutoffs.cheapest(
        [
            cutoffs.optimal(counts, clusters, cutoffs.device_cost(fits, rows))
            for clusters in range(1, most + 1)
        ]
    )


def measure(
    model: ModelConfig, counts: np.ndarray, cuts: Sequence[cutoffs.Cuts], rows: int, seed: int
) -> list[float]:
    """Milliseconds of a step of the real layer for each of `cuts`, on tokens as frequent as
    `counts` [V] says, so that each tail has its share of the rows.

    model: of its cutoffs, only their number counts, which is that of the tail widths.
    """
    below, rng = cutoffs.prefix_shares(counts), np.random.default_rng(seed)
    ids = np.searchsorted(below[1:-1], (np.arange(rows) + rng.random()) / rows, side="right")
    targets = rng.permutation(ids)

    def prepare(cut: cutoffs.Cuts) -> Timing:
        config = dataclasses.replace(
            model, cutoffs=cut.cutoffs, proj_dims=model.tail_widths[: len(cut.cutoffs)]
        )
        return TimedSoftmax(config, len(counts), rows, seed).timing(targets)

    return fastest("measuring", [functools.partial(prepare, cut) for cut in cuts]).tolist()
