"""A base: trained trunks side by side, in levels, whose hidden states are concatenated.

    tokens [B, T] -> level 0 -> [B, T, W_0] -> level 1 -> [B, T, W_1]     W: sum of a level's D

Parts are frozen unless they are named: they have no gradient, and no dropout.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from par.core.errors import UsageError
from par.data.tokenizer import PAD
from par.nn.forward_mode import EVALUATION, Phase
from par.nn.memory_layout import Layout, Slot
from par.nn.parts import Stack, checked_names
from par.nn.transformer import Below, Memories, Transformer


@keras.saving.register_keras_serializable("par")
class Composition(keras.layers.Layer):
    """The trunks of a par.nn.parts.Stack. A Keras layer: called with tokens [B, T] int32 it
    returns hidden states [B, T, W], those of the last level side by side.

    Args: stack: the parts; vocab_size: V; seed: of the initial weights; trained: names of the
    parts that are not frozen.

    Weights of a SuperNet's blocks are mixed by softmax(alpha), and alpha is always frozen.
    """

    def __init__(self, stack: Stack, vocab_size: int, seed: int, trained: Iterable[str] = ()):
        super().__init__(name="base")
        self.stack, self.vocab_size = stack, vocab_size
        self.levels: list[list[Transformer]] = []
        below = None
        for number, level in enumerate(stack.levels):
            made = []
            for place, part in enumerate(level):
                trunk = Transformer(
                    part.architecture,
                    part.model,
                    None,
                    vocab_size,
                    seed,
                    part=f"base_{number}_{place}",
                    below=below,
                )
                for alpha in trunk.logits:
                    alpha.trainable = False
                # tf.train.Checkpoint finds a layer by its attribute, not in a list
                setattr(self, trunk.name, trunk)
                made.append(trunk)
            self.levels.append(made)
            below = Below(sum(part.model.d_model for part in level))
        self.built = True
        self.unfreeze(trained)

    @property
    def named(self) -> dict[str, Transformer]:
        """The trunks by the names of their parts."""
        trunks = [trunk for level in self.levels for trunk in level]
        return dict(zip((part.name for part in self.stack.parts), trunks, strict=True))

    @property
    def width(self) -> int:
        """W of the last level."""
        return self.stack.width

    @property
    def logits(self) -> list[keras.Variable]:
        """The architecture logits of SuperNets among the parts."""
        return [alpha for trunk in self.named.values() for alpha in trunk.logits]

    @property
    def slots(self) -> tuple[Slot, ...]:
        """The memory of each block that attends."""
        return tuple(slot for trunk in self.named.values() for slot in trunk.own_slots)

    @property
    def memory_layout(self) -> Layout:
        """How the memories share a tensor."""
        return Layout(self.slots, self.width)

    def unfreeze(self, names: Iterable[str]) -> None:
        """Freezes all parts but those of these names.

        Raises: UsageError for a name that no part has.
        """
        named = self.named
        chosen = checked_names(names, named, "unfreeze")
        for name, trunk in named.items():
            trunk.trainable = name in chosen
            for alpha in trunk.logits:
                alpha.trainable = False

    def call(self, tokens: tf.Tensor, real: tf.Tensor | None = None) -> tf.Tensor:
        """The hidden states [B, T, W] of windows of tokens [B, T] int32, each read by itself,
        without dropout.

        real: [B, T] bool, which positions hold tokens; by default all but [PAD].
        """
        if tokens.shape[1] is None:
            raise UsageError("tokens must have a fixed length T, as by keras.Input((T,))")
        tokens = tf.cast(tokens, tf.int32)
        real = tokens != PAD if real is None else real
        rows, layout = tf.shape(tokens)[0], self.memory_layout
        pasts = iter([tf.zeros([rows, 0, slot.width]) for slot in layout.slots])
        valid = tf.zeros([rows], tf.int32)
        return self.states(tokens, pasts, layout, valid, 0, phase=EVALUATION, real=real)[0]

    def compute_output_spec(self, tokens, real=None):
        """What Keras is told of the output."""
        return keras.KerasTensor((*tokens.shape, self.width), dtype="float32")

    def read(
        self, tokens: tf.Tensor, memories: Memories, real: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, Memories]:
        """The hidden states [B, T, W] of a window, and the memories after it, for texts that are
        read window by window; see `empty_memories`."""
        layout, length = self.memory_layout, memories.hidden.shape[2]
        pasts = iter(layout.unpacked(memories.hidden))
        x, kept = self.states(
            tokens, pasts, layout, memories.valid, length, phase=EVALUATION, real=real
        )
        valid = layout.after(memories.valid, length, tokens.shape[1])
        return x, Memories(layout.packed(kept, memories.hidden), valid)

    def empty_memories(self, batch_size: int, mem_len: int | None = None) -> Memories:
        """Memories without tokens for B = batch_size rows. mem_len: M in tokens, by default the
        longest of the parts'."""
        if mem_len is None:
            mem_len = max(part.model.mem_len for part in self.stack.parts)
        shape = self.memory_layout.shape(batch_size, mem_len)
        return Memories(tf.zeros(shape), tf.zeros([batch_size], tf.int32))

    def states(
        self,
        tokens: tf.Tensor,
        pasts: Iterator[tf.Tensor],
        layout: Layout,
        valid: tf.Tensor,
        length: int,
        *,
        phase: Phase,
        real: tf.Tensor | None,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The hidden states [B, T, W], and the next memory [B, M, D] of each block that attends;
        see `Transformer.states`. Each part sees of the window what it saw in its training."""
        x, kept = None, []
        phase = dataclasses.replace(phase, argmax=False)  # that is of the logits of a search
        frozen = dataclasses.replace(phase, training=False)
        for parts, trunks in zip(self.stack.levels, self.levels):
            found = []
            for part, trunk in zip(parts, trunks):
                own = phase if trunk.trainable else frozen
                states, after, *_ = trunk.states(
                    tokens, pasts, layout, valid, length, part.visibility, own, real, x
                )
                found.append(states)
                kept += after
            x = found[0] if len(found) == 1 else tf.concat(found, axis=-1)
        return x, kept

    def arrays(self) -> list[np.ndarray]:
        """All weights, in an order that depends on the networks of the parts alone."""
        return [v.numpy() for trunk in self.named.values() for v in trunk.weights]

    def get_config(self):
        """What `from_config` makes the layer of."""
        trained = [name for name, trunk in self.named.items() if trunk.trainable]
        return {
            "parts": self.stack.to_json(),
            "vocab_size": self.vocab_size,
            "trained": trained,
        }

    @classmethod
    def from_config(cls, config):
        """The layer of a `get_config`, with fresh weights."""
        stack = Stack.from_json(config["parts"])
        return cls(stack, config["vocab_size"], 0, config["trained"])
