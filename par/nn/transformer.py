"""The trunk: from tokens and memories to hidden states and the next memories, without head and
loss. A trunk on a base (par.nn.composition) reads the base's hidden states instead of embeddings.

It is built from any string of the block alphabet (par.search.architecture); search and final
training differ only in the string.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from par.core.config import ModelConfig, SearchConfig
from par.nn import positions, supernet
from par.nn.attention import Window
from par.nn.blocks import Block, Mixture, Norm
from par.nn.forward_mode import EVALUATION, Phase, dropout
from par.nn.gradient_checkpointing import recomputed
from par.nn.memory_layout import Layout, Slot
from par.nn.ops import Initial, linear
from par.nn.resampling import PLACE, Resampling
from par.search.architecture import KINDS, Architecture, pi_table

MAIN = "trunk"  # the trunk whose blocks are the run's architecture


class Memories(NamedTuple):
    """Inputs of the attention blocks for the tokens before the window; the caller keeps them from
    window to window."""

    # [number of attending blocks, B, M, D] raw block inputs, oldest first, those of a base before
    # the trunk's own; see par.nn.memory_layout where D differs
    hidden: tf.Tensor
    valid: tf.Tensor  # [B] int32, how many of the M positions (the newest) hold tokens


@dataclasses.dataclass(frozen=True)
class Contexts:
    """Texts beside a window, which the attention blocks read in the place of the tokens before it.

    memory: from the number of an attending block, from 0, and its input x [B, T, D] its memory
    [B, M, D]: raw block inputs, or what is pooled of them. real: [B, M] bool, which positions hold
    something. placement: how far they are. learns: whether a gradient goes through the memory.
    heads: [H, M] bool, which positions each head sees; None: all.
    """

    memory: Callable[[int, tf.Tensor], tf.Tensor]
    real: tf.Tensor
    placement: positions.Placement
    learns: bool = False
    heads: np.ndarray | None = None


class Table(NamedTuple):
    """The embeddings of a trunk that shares some: [V, W] with W = width, projected where D is
    another.

    base: a function that returns another trunk's table, `Transformer.raw_table`; None: the trunk's
    own. adds_own: whether the trunk adds a table of its own, at first 0, to the base.
    """

    width: int
    base: Callable[[], tf.Tensor] | None = None
    adds_own: bool = False


class Below(NamedTuple):
    """What a trunk reads instead of embeddings: hidden states [B, T, W] with W = width, projected
    where D is another.

    base: a function that returns the par.nn.composition.Composition that computes them; None where
    whoever calls `states` has them.
    """

    width: int
    base: Callable[[], Any] | None = None


class Transformer(keras.layers.Layer):
    """A Transformer-XL of any block string (Dai et al. 2019; Mandava et al. 2020), a Keras layer.

    Args: architecture: the blocks; config: shape and rates; search: sampling of the stochastic
    blocks, None: their mixture is softmax(alpha) in training, too; vocab_size: V; seed: of the
    initial weights; gradient_checkpointing: whether training computes blocks again in the backward
    pass; part: name of the trunk in its network; table: of embeddings that trunks share; below:
    what it reads instead of embeddings. Trunks of different names have their own initial weights,
    dropout and Gumbel noise.

    Every layer has a fixed name: TensorFlow orders what it adds up by the names of the operations,
    and the numbers that Keras counts in a process would give the tenth network another last digit
    than the first.
    """

    def __init__(
        self,
        architecture: Architecture,
        config: ModelConfig,
        search: SearchConfig | None,
        vocab_size: int,
        seed: int,
        gradient_checkpointing: bool = False,
        part: str = MAIN,
        table: Table | None = None,
        below: Below | None = None,
    ):
        super().__init__(name=part)
        self.random_part = "" if part == MAIN else f"{part}/"
        self.architecture, self.config, self.search = architecture, config, search
        self.gradient_checkpointing = gradient_checkpointing
        initial = Initial(seed, config.init_std).within(part)
        width, self._base, adds_own = table or Table(config.d_model)
        self._below, reads_states = below and below.base, below is not None
        width = below.width if reads_states else width
        self.embedding = self.projection = None
        if not reads_states and (self._base is None or adds_own):
            self.embedding = self.add_weight(
                name="embedding",
                shape=(vocab_size, width),
                initializer="zeros" if adds_own else initial.normal("embedding"),
            )
        if width != config.d_model:  # rows of equal size before and after it
            self.projection = self.add_weight(
                name="projection",
                shape=(width, config.d_model),
                initializer=initial.normal("projection", width**-0.5),
            )
        self.blocks = []
        for index, kind in enumerate(architecture.blocks):
            # identities are not counted, so that all spellings of a network have the same weights
            # and dropout; in a search, dropout keeps the number of the block
            computing = sum(1 for block in self.blocks if block.kinds)
            weights = initial.within(f"block_{computing}")
            place = f"block_{index if architecture.is_search else computing}"
            stochastic = kind == "s"
            block = (
                supernet.StochasticBlock(config, weights, place)
                if stochastic
                else Block(kind.replace("i", ""), config, weights, place)
            )
            self.blocks.append(block)
            # tf.train.Checkpoint finds a layer by its attribute, not in a list
            setattr(self, f"block_{index}", block)
        self.resampling = None
        if config.downsample > 1:
            self.resampling = Resampling(config, initial.within(PLACE))
        has_norm = config.norm == "pre" or self.resampling is not None
        self.final_norm = Norm(config.d_model, "final_norm") if has_norm else None
        self.alpha = None
        if architecture.is_search:
            shape = (architecture.blocks.count("s"), len(KINDS))
            self.alpha = self.add_weight(name="alpha", shape=shape, initializer="zeros")
        self.built = True

    @property
    def adds_to_base(self) -> bool:
        """Whether its own table is added to that of another trunk."""
        return self._base is not None and self.embedding is not None

    def raw_table(self) -> tf.Tensor:
        """The embeddings [V, W] before they are projected."""
        if self._base is None:
            return tf.convert_to_tensor(self.embedding)
        base = self._base()
        return base if self.embedding is None else base + self.embedding

    def table(self) -> tf.Tensor:
        """The embeddings [V, D]."""
        rows = self.raw_table()
        return rows if self.projection is None else tf.matmul(rows, self.projection)

    @property
    def base(self) -> Any:
        """The par.nn.composition.Composition whose states it reads, None if it reads tokens."""
        return self._below and self._below()

    def _embedded(self, tokens: tf.Tensor) -> tf.Tensor:
        """[B, T, D] the rows of tokens [B, T] in `table`."""
        if self._base is None:
            rows = tf.gather(self.embedding, tokens)
        else:
            rows = tf.gather(self._base(), tokens)
            rows += 0.0 if self.embedding is None else tf.gather(self.embedding, tokens)
        return rows if self.projection is None else linear(rows, self.projection)

    @property
    def logits(self) -> list[keras.Variable]:
        """The architecture logits, [] for a fixed network."""
        return [] if self.alpha is None else [self.alpha]

    @property
    def pi(self) -> np.ndarray:
        """[L, O] float64 probabilities of the kinds, softmax(alpha); one-hot where the block is
        fixed."""
        alpha = (
            np.zeros((0, len(KINDS)))
            if self.alpha is None
            else np.asarray(self.alpha.numpy(), np.float64)
        )
        odds = np.exp(alpha - alpha.max(axis=-1, keepdims=True))
        return pi_table(self.architecture.blocks, odds / odds.sum(axis=-1, keepdims=True))

    def sample(self, phase: Phase) -> Mixture:
        """The mixture of the stochastic blocks in a pass of this phase, a function of the
        phase."""
        phase = phase.within(self.random_part)
        if self.search is None:
            phase = dataclasses.replace(phase, training=False)
        return supernet.mixture(
            tf.convert_to_tensor(self.alpha), self.search or SearchConfig(), phase
        )

    @property
    def own_slots(self) -> list[Slot]:
        """The memory of each of its blocks that attend."""
        own = Slot(self.config.d_model, self.config.downsample)
        return [own for block in self.blocks if block.attends]

    @property
    def memory_layout(self) -> Layout:
        """How the memories of all blocks that attend share a tensor, those of a base first."""
        slots = (*(self.base.slots if self.base else ()), *self.own_slots)
        return Layout(slots, self.config.d_model, self.config.downsample)

    def empty_memories(self, batch_size: int, mem_len: int | None = None) -> Memories:
        """Memories without tokens for B = batch_size rows. mem_len: M in tokens, by default that
        of training."""
        mem_len = self.config.mem_len if mem_len is None else mem_len
        return Memories(
            tf.zeros(self.memory_layout.shape(batch_size, mem_len)),
            tf.zeros([batch_size], tf.int32),
        )

    def call(
        self,
        tokens: tf.Tensor,
        memories: Memories,
        *,
        visibility: str,
        phase: Phase = EVALUATION,
        real: tf.Tensor | None = None,
        contexts: Contexts | None = None,
    ) -> tuple[tf.Tensor, Memories]:
        """The hidden states [B, T, D] of a window of tokens [B, T] int32, and the memories after
        it.

        visibility: causal or bidirectional within the window; the memory is always visible. real:
        [B, T] bool, which positions hold tokens and are seen by others; None: all. contexts: what
        is read instead of the memories, which then stay as they are.
        """
        return self._forward(tokens, memories, visibility, phase, real, contexts)[:2]

    def block_inputs(
        self,
        tokens: tf.Tensor,
        *,
        visibility: str,
        phase: Phase = EVALUATION,
        real: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """The hidden states [B, T, D] of a window without memory, as in a call, and the input [B,
        T, D] of each attending block: the memory that a window behind it would have, but that a
        gradient goes through it."""
        empty = self.empty_memories(tokens.shape[0], 0)
        hidden, _, inputs, _ = self._forward(tokens, empty, visibility, phase, real)
        return hidden, [x for block, (x, _) in zip(self.blocks, inputs) if block.attends]

    def taken(
        self, tokens: tf.Tensor, contexts: Contexts, *, visibility: str, phase: Phase = EVALUATION
    ) -> list[tf.Tensor]:
        """What the heads of each attending block take from the contexts of a window of tokens [B,
        T], [B, H, T, K]: see RelativeAttention.taken."""
        none = self.empty_memories(tokens.shape[0], 0)
        _, _, inputs, window = self._forward(tokens, none, visibility, phase, None, contexts)
        return [
            block.taken(*each, window) for block, each in zip(self.blocks, inputs) if block.attends
        ]

    def attention(
        self,
        tokens: tf.Tensor,
        memories: Memories,
        block: int,
        *,
        visibility: str,
        phase: Phase = EVALUATION,
    ) -> tuple[tf.Tensor, Memories]:
        """The attention probabilities [B, H, T, S] of one block for a window as in a call, and the
        memories after it.

        block: index, from 0, of a block that attends.
        """
        _, after, inputs, window = self._forward(tokens, memories, visibility, phase)
        return self.blocks[block].attention(*inputs[block], window), after

    def _forward(
        self,
        tokens: tf.Tensor,
        memories: Memories,
        visibility: str,
        phase: Phase,
        real: tf.Tensor | None = None,
        contexts: Contexts | None = None,
    ) -> tuple[tf.Tensor, Memories, list, Window]:
        """The results of a call; the input [B, T, D] of each block and its memory [B, M, D] (None
        if it has none); and the window that the blocks share."""
        layout, length = self.memory_layout, memories.hidden.shape[2]
        pasts, kept, read = iter(layout.unpacked(memories.hidden)), [], None
        if self.base:
            read, kept = self.base.states(
                tokens, pasts, layout, memories.valid, length, phase=phase, real=real
            )
        x, own, inputs, window = self.states(
            tokens, pasts, layout, memories.valid, length, visibility, phase, real, read, contexts
        )
        if contexts is not None:
            return x, memories, inputs, window
        hidden = layout.packed([*kept, *own], memories.hidden)
        after = Memories(hidden, layout.after(memories.valid, length, tokens.shape[1]))
        return x, after, inputs, window

    def states(
        self,
        tokens: tf.Tensor,
        pasts: Iterator[tf.Tensor],
        layout: Layout,
        valid: tf.Tensor,
        length: int,
        visibility: str,
        phase: Phase,
        real: tf.Tensor | None,
        read: tf.Tensor | None = None,
        contexts: Contexts | None = None,
    ) -> tuple[tf.Tensor, list[tf.Tensor], list, Window]:
        """The hidden states [B, T, D] of a window; the next memory [B, M, D] of each block that
        attends; and the last two of `_forward`.

        pasts: yields their memories, which are a part of a whole of this layout, of M = length and
        with so many valid. read: [B, T, W] what it reads instead of embeddings. contexts: see
        `call`; then there is no next memory.
        """
        phase = phase.within(self.random_part)
        if read is None:
            x = self._embedded(tokens) * self.config.d_model**0.5
        else:
            x = read if self.projection is None else linear(read, self.projection)
        x = characters = dropout(x, self.config.dropout_rate, phase, "embedding")
        if self.resampling is not None:
            characters, x, real = self.resampling.join(x, real)
        if contexts is None:
            valid, mem_len = layout.seen(valid, length, tokens.shape[1], self.config.downsample)
            window = self._window(x.shape[1], mem_len, visibility, phase, valid, real)
        else:
            window = self._window_beside(x.shape[1], visibility, phase, real, contexts)
        mixtures = iter(self._mixtures(phase))
        kept, inputs = [], []
        for kind, block in zip(self.architecture.blocks, self.blocks):
            past = None
            if block.attends and contexts is None:
                past = next(pasts)
                kept.append(tf.stop_gradient(_newest(past, x, mem_len)))
            elif block.attends:
                past = contexts.memory(sum(own is not None for _, own in inputs), x)
            inputs.append((x, past))
            call = (
                functools.partial(recomputed, block)
                if self.gradient_checkpointing and phase.training and block.kinds
                else block
            )
            x = call(
                x,
                past,
                window=window,
                mixture=next(mixtures) if kind == "s" else None,
                phase=phase,
            )
        if self.resampling is not None:
            x = self.resampling.split(x, characters, phase)
        return (x if self.final_norm is None else self.final_norm(x)), kept, inputs, window

    def _mixtures(self, phase: Phase) -> list[Mixture]:
        """One for each stochastic block."""
        if self.alpha is None:
            return []
        sample = self.sample(phase)
        needed = (
            [None] * sample.weights.shape[0]
            if sample.needed is None
            else tf.unstack(sample.needed)
        )
        return [
            dataclasses.replace(sample, weights=weights, needed=kinds)
            for weights, kinds in zip(tf.unstack(sample.weights), needed)
        ]

    def _window(
        self,
        seq_len: int,
        mem_len: int,
        visibility: str,
        phase: Phase,
        valid: tf.Tensor,
        real: tf.Tensor | None,
    ) -> Window:
        clamp_len = phase.clamp_len
        if clamp_len is not None:
            clamp_len = self.config.positions(clamp_len)
        distances = positions.distances(seq_len, mem_len, visibility, clamp_len)
        codes = positions.sinusoids(distances, self.config.d_model)
        return Window(
            codes,
            positions.attention_mask(
                positions.visible(seq_len, mem_len, visibility, phase.same_length), valid, real
            ),
        )

    def _window_beside(
        self,
        seq_len: int,
        visibility: str,
        phase: Phase,
        real: tf.Tensor | None,
        contexts: Contexts,
    ) -> Window:
        """The window of a text with contexts beside it, all of which it sees."""
        rows, mem_len = tf.shape(contexts.real)[0], contexts.real.shape[1]
        placement = contexts.placement
        distances = placement.distances(seq_len, mem_len, visibility, phase.clamp_len)
        mask = positions.attention_mask(
            positions.visible(seq_len, mem_len, visibility),
            tf.fill([rows], mem_len),
            real,
            contexts.real,
        )
        if contexts.heads is not None:
            mask += positions.head_mask(contexts.heads, seq_len)
        codes = positions.sinusoids(distances, self.config.d_model)
        return Window(codes, mask, placement, contexts.learns)


def _newest(memory: tf.Tensor, x: tf.Tensor, mem_len: int) -> tf.Tensor:
    """[B, M, D] the last M positions of memory [B, M, D] followed by x [B, T, D]."""
    seq_len = x.shape[1]
    if seq_len >= mem_len:
        return x[:, seq_len - mem_len :]
    return tf.concat([memory[:, seq_len:], x], axis=1)
