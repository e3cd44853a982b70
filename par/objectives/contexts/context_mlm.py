"""Masked prediction with other texts beside the text: contexts are memory.

    tokens          each block l reads   [ x_l of context 1 | ... | of context N | x_l of text ]
    attention       each block l reads   [ p_l 1 ... p_l N | x_l of text ]    p_l: x_l, pooled
    sum, concat     h of the text + c, or [h, c] W      c: mean of the contexts' pooled h

    batch           x_l of the contexts are those of the network itself, which reads each alone
    biencoder       a second network reads them; each block sees its last hidden states
    hierarchical    text and contexts are read side by side, and in each block all of them see p_l
                    of all

Unordered contexts are all at one distance: their tokens at that of a text right before this one,
pooled vectors at T + 1. Ancestors are at distances by depth: the tokens of the nearest right
before the text, those of its parent before them; pooled vectors at T + 1, T + 2, ... . A text sees
its own pooled vector at T. Letters: N contexts of a text, M memory positions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from par.core.config import ModelConfig
from par.data.documents import PARENT
from par.data.manifest import Manifest
from par.data.tokenizer import BOS, MASK, PAD
from par.nn.forward_mode import EVALUATION, Phase, row_integers
from par.nn.ops import Initial, linear
from par.nn.positions import Placement
from par.nn.transformer import Contexts, Memories, Transformer
from par.objectives import head_groups, masking, pools
from par.objectives.context_settings import ContextSettings
from par.objectives.contexts.mask_words import MaskWords
from par.objectives.contrast import pooled
from par.objectives.document_reader import EMPTY, DocumentReader, Draws, PoolTensors, Readers
from par.objectives.masked_lm import MaskedLanguageModel
from par.objectives.settings import most_selected

# dropout counts the rows of contexts from here on, and those of texts, of which there are fewer,
# from 0
CONTEXTS = 1 << 32


class Join(keras.layers.Layer):
    """[h, c] W: hidden states [B, T, D] and a vector [B, D] of each row -> [B, T, D]."""

    def __init__(self, d_model: int, initial: Initial):
        super().__init__(name="join")
        self.kernel = self.add_weight(
            name="kernel",
            shape=(2 * d_model, d_model),
            initializer=initial.normal("kernel", (2 * d_model) ** -0.5),
        )
        self.built = True

    def call(self, hidden: tf.Tensor, vectors: tf.Tensor) -> tf.Tensor:
        """[B, T, D] from hidden [B, T, D] and vectors [B, D]."""
        beside = tf.broadcast_to(vectors[:, None], tf.shape(hidden))
        return linear(tf.concat([hidden, beside], axis=-1), self.kernel)


class ContextLanguageModel(MaskedLanguageModel):
    """A masked language model of documents, each with other documents beside it; a second trunk
    reads these with encoder biencoder."""

    def __init__(self, config: ModelConfig, vocab_size: int, seed: int, settings: ContextSettings):
        super().__init__(config, vocab_size, seed, settings)
        self._contexts: ContextSettings = settings
        self._readers = Readers(settings.doc_len, self._draws)
        self._words: MaskWords | None = None  # until it reads its data
        self.encoder: Transformer | None = None
        self.join: Join | None = None

    def build(self, make_trunk: Callable[..., Transformer]) -> None:
        """Makes the layers: trunk and head, and what the contexts need beside them."""
        super().build(make_trunk)
        settings = self._contexts
        if settings.encoder == "biencoder" and settings.number:
            blocks = settings.context_architecture or None
            self.encoder = make_trunk("contexts", blocks=blocks, mem_len=0)
        if settings.has_concat:
            initial = Initial(self._seed, self._config.init_std).within("join")
            self.join = Join(self._config.d_model, initial)

    @property
    def layers(self) -> dict[str, keras.layers.Layer]:
        """The layers by their names in checkpoints."""
        more = {"contexts": self.encoder, "join": self.join}
        return super().layers | {name: layer for name, layer in more.items() if layer is not None}

    # ---- what is read ----

    def documents(self, data_dir: Path, manifest: Manifest, split: str) -> DocumentReader:
        """The documents of a split, read once. Raises: DataError, ResourceError as
        DocumentReader; SettingError as MaskWords."""
        if self._contexts.mask_words and self._words is None:
            self._words = MaskWords.of_data(Path(data_dir), self._contexts.mask_words)
        return self._readers.of(data_dir, manifest, split)

    def _draws(self, table: np.ndarray, split: str, data_dir: Path) -> Draws:
        """Every document is a target, whether it has contexts or not."""
        settings = self._contexts
        targets, number = np.arange(len(table)), settings.number
        if not number:
            return Draws(targets, lambda rows, seeds: {"text": rows})
        if settings.context == "ancestors":
            parents = tf.constant(np.append(table[:, PARENT], EMPTY), tf.int32)
            return Draws(
                targets,
                lambda rows, seeds: {"text": rows, "contexts": ancestors(parents, rows, number)},
            )
        kinds = [PoolTensors.of(pools.contexts_of(table, own)) for own in settings.of_each_kind]

        def draw(rows: tf.Tensor, seeds: tf.Tensor) -> dict[str, tf.Tensor]:
            numbers = tf.split(row_integers(seeds, number), len(kinds), axis=1)
            drawn = [each.draw(rows, own) for each, own in zip(kinds, numbers, strict=True)]
            return {"text": rows, "contexts": tf.concat(drawn, axis=1)}

        return Draws(targets, draw)

    def element_spec(self, batch_size: int, seq_len: int) -> dict[str, tf.TensorSpec]:
        """text [B, doc_len]; contexts [B, N, doc_len], of ancestors the nearest first, if there
        are any; scored [B]: 0 for a row that is not; all int32."""
        length, number = self._contexts.doc_len, self._contexts.number
        shapes = {"text": [length], "contexts": [number, length], "scored": []}
        if not number:
            del shapes["contexts"]
        return {name: tf.TensorSpec([batch_size, *of], tf.int32) for name, of in shapes.items()}

    def prepare(
        self, element: dict[str, tf.Tensor], seed: tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """The batch of `masked` for the texts, and contexts [B, N, T], with a [BOS] before each if
        its state is the vector. seed: [B, 2]."""
        batch = self.masked(element["text"], seed, training)
        batch["weights"] *= tf.cast(element["scored"] > 0, tf.float32)[:, None]
        if self._contexts.number:
            batch["contexts"] = self._begun(element["contexts"])
        return batch

    def _begun(self, contexts: tf.Tensor) -> tf.Tensor:
        """Contexts [..., T] with a [BOS] before each if its state is the vector."""
        if self._contexts.pool != "cls":
            return contexts
        begin = tf.where(contexts[..., :1] == PAD, PAD, BOS)
        return tf.concat([begin, contexts], axis=-1)

    def _chosen(
        self,
        tokens: tf.Tensor,
        choice: tf.Tensor,
        of_spans: list[tf.Tensor],
        rate: float,
        training: bool,
    ) -> tf.Tensor:
        if self._words is None:
            return super()._chosen(tokens, choice, of_spans, rate, training)
        most = most_selected(rate, tokens.shape[1])
        return masking.lowest(choice, self._words.occur(tokens), tf.fill([tokens.shape[0]], most))

    # ---- the network ----

    def _hidden(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[tf.Tensor, Memories]:
        """The hidden states [B, T, D] of the texts beside their contexts, and the memories as they
        are."""
        if not self._contexts.number:
            return self._read(batch["tokens"], batch["real"], phase), memories
        if self._contexts.encoder == "hierarchical":
            return self._side_by_side(batch, phase), memories
        if self._contexts.combine in ("sum", "concat"):
            real, last, _ = self._encoded(batch, phase)
            vectors = self._of_each(self._pooled(last, real), batch)
            is_there = self._of_each(tf.reduce_any(real, axis=-1), batch)
            hidden = self._read(batch["tokens"], batch["real"], phase)
            return self._joined(hidden, vectors, is_there), memories
        beside = self._memory(batch, phase)
        return self._read(batch["tokens"], batch["real"], phase, beside), memories

    def halves(self, contexts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Of each kind of head_groups what its heads take from its contexts, among contexts [B, N,
        T], beside a single [MASK] and without those of other kinds: [B, A * h * K] float32 by
        kind, of A attending blocks and h heads."""
        rows, each, found = contexts.shape[0], self._contexts.contexts, {}
        masked = tf.fill([rows, 1], MASK)
        for place, (kind, heads) in enumerate(self._contexts.groups):
            is_own = tf.range(self._contexts.number) // each == place
            alone = tf.where(is_own[:, None], contexts, PAD)
            memory = self._memory({"contexts": self._begun(alone)}, EVALUATION)
            taken = self.trunk.taken(masked, memory, visibility=self.visibility)
            own = [tf.gather(x[:, :, 0], heads, axis=1) for x in taken]  # [B, h, K]
            found[kind] = tf.reshape(tf.stack(own, axis=1), [rows, -1])
        return found

    def of_every_kind(self, tokens: tf.Tensor) -> tf.Tensor:
        """[B, N, T] contexts, of every kind of which a text [B, T] is the only one."""
        kinds, rest = len(self._contexts.kinds), self._contexts.contexts - 1
        one = tf.pad(tokens[:, None], [[0, 0], [0, rest], [0, 0]], constant_values=PAD)
        return tf.tile(one, [1, kinds, 1])

    def _memory(self, batch: dict[str, tf.Tensor], phase: Phase) -> Contexts:
        """What the blocks of the trunk read of the contexts: tokens of them, or a pooled vector of
        each."""
        real, last, inputs = self._encoded(batch, phase)
        read = inputs if self.encoder is None else [last] * _attending(self.trunk)
        if self._contexts.combine == "tokens":
            read = [_in_a_row(self._of_each(x, batch)) for x in read]
            remembered = _in_a_row(self._of_each(real, batch))
            placement = Placement(texts=1 if self._in_line else self._contexts.number)
        else:
            read = [self._of_each(self._pooled(x, real), batch) for x in read]
            remembered = self._of_each(tf.reduce_any(real, axis=-1), batch)
            placement = Placement(fixed=self._distances)
        return self._beside(lambda place, x: read[place], remembered, placement)

    def _encoded(
        self, batch: dict[str, tf.Tensor], phase: Phase
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Of the contexts [C, T] of all texts, each read by itself: which positions hold tokens,
        the hidden states [C, T, D], and the input of each attending block."""
        flat = self._flat(batch)
        real, trunk = flat != PAD, self.trunk if self.encoder is None else self.encoder
        last, inputs = trunk.block_inputs(
            flat, visibility=self.visibility, phase=self._of_contexts(phase), real=real
        )
        return real, last, inputs

    def _flat(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """[C, T] the contexts of all texts."""
        contexts = batch["contexts"]
        if self._in_line:
            contexts = contexts[:, ::-1]  # the nearest ancestor right before the text
        rows, number, length = contexts.shape
        return tf.reshape(contexts, [rows * number, length])

    def _of_each(self, x: tf.Tensor, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """[B, N, ...] what belongs to the contexts of each text, from x [C, ...], that of all of
        them."""
        return tf.reshape(x, [*batch["contexts"].shape[:2], *x.shape[1:]])

    def _of_contexts(self, phase: Phase) -> Phase:
        """The pass over the contexts of all texts."""
        first = tf.cast(phase.first_row, tf.int64) * self._contexts.number + CONTEXTS
        return dataclasses.replace(phase, first_row=first)

    def _side_by_side(self, batch: dict[str, tf.Tensor], phase: Phase) -> tf.Tensor:
        """The hidden states [B, T, D] of texts that are read beside their contexts, where each
        block sees what is pooled of all."""
        contexts, rows = batch["contexts"], batch["tokens"].shape[0]
        texts = 1 + self._contexts.number
        tokens = tf.concat([batch["tokens"][:, None], contexts], axis=1)
        real = tf.concat([batch["real"][:, None], contexts != PAD], axis=1)
        length = tokens.shape[2]
        is_there = tf.reduce_any(real, axis=-1)
        flat, real = (tf.reshape(each, [rows * texts, length]) for each in (tokens, real))

        def everyones(place: int, x: tf.Tensor) -> tf.Tensor:
            return tf.repeat(self._vectors(x, real, rows), texts, axis=0)

        placement = Placement(fixed=(self._contexts.doc_len, *self._distances))
        remembered = tf.repeat(is_there, texts, axis=0)
        beside = self._beside(everyones, remembered, placement)
        of_all = dataclasses.replace(phase, first_row=phase.first_row * texts)
        hidden = self._read(flat, real, of_all, beside)
        by_text = tf.reshape(hidden, [rows, texts, length, hidden.shape[-1]])
        if self._contexts.combine == "attention":
            return by_text[:, 0]
        vectors = self._vectors(hidden, real, rows)[:, 1:]
        return self._joined(by_text[:, 0], vectors, is_there[:, 1:])

    def _read(
        self, tokens: tf.Tensor, real: tf.Tensor, phase: Phase, contexts: Contexts | None = None
    ) -> tf.Tensor:
        """The hidden states [B, T, D] of tokens [B, T] beside contexts, without a memory."""
        none = self.trunk.empty_memories(tokens.shape[0], 0)
        how = {"visibility": self.visibility, "phase": phase, "real": real}
        return self.trunk(tokens, none, contexts=contexts, **how)[0]

    def _beside(
        self,
        memory: Callable[[int, tf.Tensor], tf.Tensor],
        real: tf.Tensor,
        placement: Placement,
    ) -> Contexts:
        learns = self._contexts.learns
        kept = memory if learns else lambda place, x: tf.stop_gradient(memory(place, x))
        return Contexts(kept, real, placement, learns, self._seen_by_heads(real.shape[1]))

    def _seen_by_heads(self, mem_len: int) -> np.ndarray | None:
        """[H, M] bool, which positions each head sees; None: all."""
        groups = self._contexts.groups
        if not groups:
            return None
        return head_groups.seen(groups, self._config.num_heads, mem_len // len(groups))

    def _pooled(self, states: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
        """[C, D] the vectors of texts from their states [C, T, D]."""
        return pooled(states, real, self._contexts.pool)

    def _vectors(self, states: tf.Tensor, real: tf.Tensor, rows: int) -> tf.Tensor:
        """[B, 1 + N, D] those of the texts of each row from their states [B * (1 + N), T, D]."""
        vectors = self._pooled(states, real)
        return tf.reshape(vectors, [rows, -1, vectors.shape[-1]])

    def _joined(self, hidden: tf.Tensor, vectors: tf.Tensor, is_there: tf.Tensor) -> tf.Tensor:
        """Hidden states [B, T, D] with the mean of the vectors [B, N, D] that are there [B, N]."""
        weights = tf.cast(is_there, vectors.dtype)[..., None]
        mean = tf.math.divide_no_nan(
            tf.reduce_sum(vectors * weights, axis=1), tf.reduce_sum(weights, axis=1)
        )
        if not self._contexts.learns:
            mean = tf.stop_gradient(mean)
        return hidden + mean[:, None] if self.join is None else self.join(hidden, mean)

    @property
    def _in_line(self) -> bool:
        """Whether the contexts' tokens are one text, the oldest first."""
        return self._contexts.by_depth and self._contexts.combine == "tokens"

    @property
    def _distances(self) -> tuple[int, ...]:
        """[N] the distance of each context's vector."""
        first, number = self._contexts.doc_len + 1, self._contexts.number
        return (
            tuple(range(first, first + number)) if self._contexts.by_depth else (first,) * number
        )


def ancestors(parents: tf.Tensor, rows: tf.Tensor, number: int) -> tf.Tensor:
    """[B, N] int32 the parent of each row [B], its parent and so on; EMPTY where there is none.
    parents: [R + 1] rows; the last one, which EMPTY is read as, has none."""
    last, found = tf.shape(parents)[0] - 1, []
    for _ in range(number):
        rows = tf.gather(parents, tf.where(rows == EMPTY, last, rows))
        found.append(rows)
    return tf.stack(found, axis=1)


def _attending(trunk: Transformer) -> int:
    return sum(block.attends for block in trunk.blocks)


def _in_a_row(x: tf.Tensor) -> tf.Tensor:
    """[B, N * T, ...] from [B, N, T, ...]."""
    rows, number, length, *width = x.shape
    return tf.reshape(x, [rows, number * length, *width])
