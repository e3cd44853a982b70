"""Blocks that read r characters as one position (Clark et al. 2022, CANINE, section 3.2).

    characters   x_1 x_2 x_3 x_4 | x_5 x_6 x_7 x_8 | x_9  .   .   .       [B, T, D], r = 4
    downsampled       h_1        |       h_2       |       h_3            [B, G, D], G = ⌈T / r⌉
    blocks            g_1        |       g_2       |       g_3
    upsampled    y_1 y_2 y_3 y_4 | y_5 y_6 y_7 y_8 | y_9                  [B, T, D]

    h_i = [x_ri+1 .. x_ri+r] W_down + b_down         a convolution of width and stride r
    u_t = norm(g_i) W_up,k                           a transposed one: t = ri + k
    y_t = x_t + relu(u_t + [x_t-1 x_t x_t+1] W_near + b_near) W_out + b_out

Where T is no multiple of r, zeros stand behind the last character, as they do where a window has
padding, so that neither is seen. Deviations from CANINE: no attention between characters before
and behind, for which there is the convolution of width 3; a residual instead of a concatenation.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from par.core.config import ModelConfig
from par.nn.blocks import Norm
from par.nn.forward_mode import Phase, dropout
from par.nn.ops import TYPES, Initial, add_bias, biased_relu, linear, static
from par.search.flops import NEAR

PLACE = "resampling"


class Resampling(keras.layers.Layer):
    """Joins r = `config.downsample` characters into a position for the blocks, and gives each
    character a state of its own again."""

    def __init__(self, config: ModelConfig, initial: Initial):
        super().__init__(name=PLACE)
        self.factor, self.type = config.downsample, TYPES[config.precision]
        self.dropout_rate, width = config.dropout_rate, config.d_model
        shapes = {
            "down": (self.factor * width, width),
            "up": (width, self.factor * width),
            "near": (NEAR * width, width),
            "out": (width, width),
        }
        for name, shape in shapes.items():
            # as far from 0 as what it adds up: in a sum of n terms the default would vanish
            setattr(
                self,
                name,
                self.add_weight(
                    name=name, shape=shape, initializer=initial.normal(name, shape[0] ** -0.5)
                ),
            )
        for name in ("down_bias", "near_bias", "out_bias"):
            setattr(self, name, self.add_weight(name=name, shape=(width,), initializer="zeros"))
        self.norm = Norm(width, "norm")
        self.built = True

    def join(
        self, x: tf.Tensor, real: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
        """Of characters x [B, T, D], of which real [B, T] hold tokens (None: all): the same, 0
        where there is none; the positions [B, G, D]; and which of these [B, G] hold tokens."""
        if real is not None:
            x *= tf.cast(real, x.dtype)[..., None]
        lacking = -x.shape[1] % self.factor
        count = (x.shape[1] + lacking) // self.factor
        joined = tf.reshape(
            tf.pad(x, [[0, 0], [0, lacking], [0, 0]]),
            static([x.shape[0], count, self.factor * x.shape[2]]),
        )
        if real is not None:
            groups = static([real.shape[0], count, self.factor])
            real = tf.reduce_any(tf.reshape(tf.pad(real, [[0, 0], [0, lacking]]), groups), axis=2)
        made = tf.cast(linear(tf.cast(joined, self.type), self.down), tf.float32)
        return x, add_bias(made, tf.convert_to_tensor(self.down_bias)), real

    def split(self, groups: tf.Tensor, x: tf.Tensor, phase: Phase) -> tf.Tensor:
        """The states [B, T, D] of characters x [B, T, D], as `join` gives them, from the blocks'
        output [B, G, D]."""
        size, width = x.shape[1:]
        spread = linear(tf.cast(self.norm(groups), self.type), self.up)
        spread = tf.reshape(spread, static([x.shape[0], groups.shape[1] * self.factor, width]))
        near = linear(neighbours(tf.cast(x, self.type)), self.near)
        inner = biased_relu(
            tf.slice(spread, [0, 0, 0], [-1, size, -1]) + near,
            tf.convert_to_tensor(self.near_bias),
        )
        made = add_bias(
            tf.cast(linear(inner, self.out), tf.float32), tf.convert_to_tensor(self.out_bias)
        )
        return x + dropout(made, self.dropout_rate, phase, PLACE)


def neighbours(x: tf.Tensor) -> tf.Tensor:
    """[B, T, D] -> [B, T, 3 D]: of each position the one before it, itself, and the one after it;
    0 beyond the ends."""
    size = x.shape[1]
    padded = tf.pad(x, [[0, 0], [NEAR // 2, NEAR // 2], [0, 0]])
    return tf.concat([tf.slice(padded, [0, k, 0], [-1, size, -1]) for k in range(NEAR)], axis=-1)
