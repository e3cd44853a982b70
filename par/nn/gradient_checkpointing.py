"""Gradient checkpointing: a block is computed again in the backward pass, instead of keeping its
activations from the forward pass (Chen et al. 2016, arXiv 1604.06174).

    forward    x ----------------------------> block(x)        kept: x, memory, mixture weights
    backward   x, gradient of block(x) ------> block(x) once more, then its gradients

A step takes one more forward pass of its blocks and holds the activations of one block instead of
all. Dropout is a function of (seed, step, place), so both passes compute the same, and the
gradients are equal; in a graph they differ in their last digits, as TensorFlow fuses operations
of the first pass whose results nothing else reads.
"""

from __future__ import annotations

import dataclasses

import keras
import tensorflow as tf

from par.nn.attention import Window
from par.nn.blocks import Block, Mixture
from par.nn.forward_mode import Phase


def recomputed(
    block: Block,
    x: tf.Tensor,
    memory: tf.Tensor | None,
    window: Window,
    mixture: Mixture | None,
    phase: Phase,
) -> tf.Tensor:
    """The output [B, T, D] of `block` for these arguments. Gradients reach x, the mixture weights
    and the block's own weights, the memory only where `window.memory_learns`."""
    variables = block.trainable_variables
    weights, needed = (mixture.weights, mixture.needed) if mixture else (None, None)
    differentiable = {"x": x, "weights": weights}
    constant = {
        "memory": memory,
        "needed": needed,
        "mask": window.mask,
        "step": tf.convert_to_tensor(phase.step, tf.int64),
    }
    if window.memory_learns:
        differentiable["memory"] = constant.pop("memory")
    constant["first_row"] = phase.first_row if tf.is_tensor(phase.first_row) else None
    differentiable, constant = (
        {name: tensor for name, tensor in part.items() if tensor is not None}
        for part in (differentiable, constant)
    )
    count = len(constant)

    def forward(tensors: list[tf.Tensor]) -> tf.Tensor:
        named = dict(zip([*constant, *differentiable], tensors))
        with keras.StatelessScope(
            state_mapping=list(zip(variables, tensors[count + len(differentiable) :]))
        ):
            return block(
                named["x"],
                named.get("memory"),
                window=dataclasses.replace(window, mask=named["mask"]),
                mixture=mixture
                and dataclasses.replace(
                    mixture, weights=named["weights"], needed=named.get("needed")
                ),
                phase=dataclasses.replace(
                    phase, step=named["step"], first_row=named.get("first_row", phase.first_row)
                ),
            )

    # Every tensor that the block uses is an argument: custom_gradient would treat the source of
    # any other as a variable to be trained.
    @tf.custom_gradient
    def run(*tensors: tf.Tensor) -> tf.Tensor:
        def backward(upstream: tf.Tensor) -> list[tf.Tensor | None]:
            # without it TensorFlow merges the second pass with the first, which it equals
            with tf.control_dependencies([upstream]):
                again = [tf.identity(tensor) for tensor in tensors]
            with tf.GradientTape() as tape:
                tape.watch(again[count:])
                out = forward(again)
            return [None] * count + tape.gradient(out, again[count:], upstream)

        # nothing inside is recorded by an outer tape
        return forward([tf.stop_gradient(tensor) for tensor in tensors]), backward

    return run(*constant.values(), *differentiable.values(), *map(tf.convert_to_tensor, variables))
