"""The residual blocks, one per letter of the alphabet, with one call signature; identity adds
exactly nothing.

    pre-norm    x + dropout(Σ_o w_o f_o(norm(x)))     f_identity = 0; the branches share one norm
    post-norm   Σ_{a,d} w_o norm_o(x + dropout_o(f_o(x))) + w_i x

A fixed block has one branch with weight 1; par.nn.supernet has the mixture.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import keras
import tensorflow as tf

from par.core.config import ModelConfig
from par.nn.attention import RelativeAttention, Window
from par.nn.forward_mode import Phase, dropout
from par.nn.ops import TYPES, Initial, add_bias, biased_relu, linear

EPSILON = 1e-6


@dataclasses.dataclass(frozen=True)
class Mixture:
    """The weights of the kinds of stochastic blocks, in the order of
    par.search.architecture.KINDS."""

    weights: tf.Tensor  # [number of stochastic blocks, O], or [O] for one block
    # bool, of the same shape: kinds that are computed, the others have weight 0; None: all are
    needed: tf.Tensor | None
    single: bool = False  # whether exactly one kind of a block is needed


class Norm(keras.layers.Layer):
    """Layer normalisation over the last axis with gain and bias (Ba et al. 2016).

    keras.layers.LayerNormalization computes x s + (b - mean s) instead of (x - mean) s + b: over
    inputs of mean 10 and variance 1 its largest error is 1.7 times as large (8e-6), and a training
    step at the base shape took 1.4 % (soft), 2.4 % (single path) and 2.1 % (soft, bfloat16) more
    processor time (median of 25 pairs, two threads).
    """

    def __init__(self, d_model: int, name: str):
        super().__init__(name=name)
        self.gain = self.add_weight(name="gain", shape=(d_model,), initializer="ones")
        self.bias = self.add_weight(name="bias", shape=(d_model,), initializer="zeros")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """x [..., D] -> [..., D]."""
        centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
        scale = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True) + EPSILON)
        return centred * scale * self.gain + self.bias


class Dense(keras.layers.Layer):
    """Position-wise feed-forward: relu(x W_1 + b_1) W_2 + b_2 (Vaswani et al. 2017, section 3.3),
    with its products in `precision`."""

    def __init__(self, d_model: int, d_ffn: int, initial: Initial, precision: str = "f32"):
        super().__init__(name="dense")
        self.type = TYPES[precision]
        self.inner = self.add_weight(
            name="inner", shape=(d_model, d_ffn), initializer=initial.normal("inner")
        )
        self.inner_bias = self.add_weight(name="inner_bias", shape=(d_ffn,), initializer="zeros")
        self.outer = self.add_weight(
            name="outer", shape=(d_ffn, d_model), initializer=initial.normal("outer")
        )
        self.outer_bias = self.add_weight(name="outer_bias", shape=(d_model,), initializer="zeros")
        self.built = True

    def call(
        self, x: tf.Tensor, memory: tf.Tensor | None = None, window: Window | None = None
    ) -> tf.Tensor:
        """x [B, T, D] -> [B, T, D]; memory and window are not used."""
        inner = biased_relu(
            linear(tf.cast(x, self.type), self.inner), tf.convert_to_tensor(self.inner_bias)
        )
        return add_bias(
            tf.cast(linear(inner, self.outer), tf.float32), tf.convert_to_tensor(self.outer_bias)
        )


def branch(kind: str, config: ModelConfig, initial: Initial) -> keras.layers.Layer:
    """The function f_o of a kind: `a` or `d`."""
    if kind == "a":
        attention = initial.within("attention")
        return RelativeAttention(config.d_model, config.num_heads, attention, config.precision)
    return Dense(config.d_model, config.d_ffn, initial.within("dense"), config.precision)


class Block(keras.layers.Layer):
    """A residual block of the given branches. `place` names it and its dropout within the
    network."""

    def __init__(self, kinds: str, config: ModelConfig, initial: Initial, place: str):
        super().__init__(name=place)
        self.kinds, self.place = kinds, place
        self.pre, self.dropout_rate = config.norm == "pre", config.dropout_rate
        self.branches = [branch(kind, config, initial) for kind in kinds]
        normed = kinds[:1] if self.pre else kinds
        self.norms = [Norm(config.d_model, f"norm_{kind}") for kind in normed]
        # tf.train.Checkpoint finds a layer by its attribute, not in a list
        for kind, f in zip(kinds, self.branches):
            setattr(self, f"branch_{kind}", f)
        for kind, norm in zip(kinds, self.norms):
            setattr(self, f"norm_{kind}", norm)
        self.built = True

    @property
    def attends(self) -> bool:
        """Whether the block has attention, and so a memory."""
        return "a" in self.kinds

    def parts(self, kind: str) -> tuple[keras.layers.Layer, Norm]:
        """The branch of one of the block's kinds, and its norm, which all share in pre-norm."""
        o = self.kinds.index(kind)
        return self.branches[o], self.norms[0 if self.pre else o]

    def call(
        self,
        x: tf.Tensor,
        memory: tf.Tensor | None,
        window: Window,
        mixture: Mixture | None,
        phase: Phase,
    ) -> tf.Tensor:
        """The output [B, T, D] of the block for one window.

        x: [B, T, D]; memory: [B, M, D], inputs of this block for the M tokens before, None if it
        does not attend; mixture: weights [O] of a stochastic block, and which kinds are needed;
        None for a fixed one.
        """
        if not self.kinds:
            return x
        branches = range(len(self.kinds))
        add = functools.partial(
            self._sum,
            x=x,
            memory=memory,
            window=window,
            weights=None if mixture is None else tf.unstack(mixture.weights),
            phase=phase,
        )
        if mixture is None or mixture.needed is None:
            return add(branches)
        # one graph for every set of kinds that can be needed, of which the step's own is run
        needed = tf.cast(mixture.needed, tf.int32)
        if mixture.single:
            sets, number = [[o] for o in branches] + [[]], tf.argmax(needed, output_type=tf.int32)
        else:
            sets = [[o for o in branches if bits >> o & 1] for bits in range(2 ** len(branches))]
            number = tf.reduce_sum(needed[: len(branches)] * [2**o for o in branches])
        return tf.switch_case(number, [functools.partial(add, chosen) for chosen in sets])

    def attention(self, x: tf.Tensor, memory: tf.Tensor, window: Window) -> tf.Tensor:
        """The attention probabilities [B, H, T, S] of a block that has attention; x and memory as
        for a call."""
        return self.parts("a")[0].probabilities(*self._branch_inputs(x, memory), window)

    def taken(self, x: tf.Tensor, memory: tf.Tensor, window: Window) -> tf.Tensor:
        """What each head takes from the memory alone, [B, H, T, K]; x and memory as for a call."""
        return self.parts("a")[0].taken(*self._branch_inputs(x, memory), window)

    def _branch_inputs(
        self, x: tf.Tensor, memory: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """x and memory as inputs of the branches: normalised in pre-norm, unchanged in
        post-norm."""
        if not self.pre:
            return x, memory
        return self.norms[0](x), None if memory is None else self.norms[0](memory)

    def _sum(
        self,
        chosen: Sequence[int],
        x: tf.Tensor,
        memory: tf.Tensor | None,
        window: Window,
        weights: list | None,
        phase: Phase,
    ) -> tf.Tensor:
        """The block with its `chosen` branches, by number; the others have weight 0. weights: one
        scalar per kind, None for a single branch."""
        if self.pre:
            if not chosen:
                return tf.identity(x)
            normed, past = self._branch_inputs(x, memory if 0 in chosen and self.attends else None)
            outputs = [self.branches[o](normed, past, window=window) for o in chosen]
            mixed = (
                outputs[0]
                if weights is None
                else tf.add_n([weights[o] * out for o, out in zip(chosen, outputs)])
            )
            return x + dropout(mixed, self.dropout_rate, phase, self.place)
        outputs = [
            self.norms[o](
                x
                + dropout(
                    self.branches[o](x, memory, window=window),
                    self.dropout_rate,
                    phase,
                    f"{self.place}/{self.kinds[o]}",
                )
            )
            for o in chosen
        ]
        return (
            outputs[0]
            if weights is None
            else tf.add_n(
                [*(weights[o] * out for o, out in zip(chosen, outputs)), weights[-1] * x]
            )
        )
