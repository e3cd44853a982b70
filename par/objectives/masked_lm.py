"""Masked language modelling: selected tokens are predicted from both sides of the window, and from
the memory of the windows before, as a causal model has it (Devlin et al. 2019)."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from par.core.config import ModelConfig
from par.data.tokenizer import MASK, PAD, Tokenizer
from par.nn.adaptive_softmax import AdaptiveSoftmax
from par.nn.forward_mode import Phase
from par.nn.ops import TYPES, Initial
from par.nn.transformer import Memories, Transformer
from par.objectives import masking
from par.objectives.settings import EVALUATION_RATE, MaskedLMSettings
from par.objectives.stream_windows import ReadsWindows
from par.objectives.typos import Typos


class MaskedLanguageModel(ReadsWindows):
    """A trunk that sees both sides, and an adaptive softmax over the hidden states of the selected
    tokens alone."""

    visibility = "bidirectional"

    def __init__(
        self, config: ModelConfig, vocab_size: int, seed: int, settings: MaskedLMSettings
    ):
        self._config, self._vocab_size, self._seed = config, vocab_size, seed
        self._settings = settings
        self._word_starts = tf.ones([vocab_size], tf.bool)  # until it reads its data
        self._typos = Typos(settings.typos, vocab_size)

    def read_data(self, data_dir: Path) -> None:
        """Reads which pieces begin a word, if words are to be selected, and which are letters, if
        there are to be typing errors. Without it each piece is a word, and none a letter.

        Raises: DataError if the tokenizer can't be read; UsageError if it does not tell words, or
        is not of characters where there are to be errors.
        """
        if self._settings.mask_scheme == "word":
            tokenizer = Tokenizer.load(data_dir / "tokenizer.model")
            self._word_starts = tf.constant(tokenizer.word_starts())
        self._typos.read_data(data_dir)

    def build(self, make_trunk: Callable[..., Transformer]) -> None:
        """Makes the layers: one trunk, one head."""
        self.trunk = make_trunk()
        embedding = self.trunk.table if self._config.tie_embeddings else None
        initial = Initial(self._seed, self._config.init_std).within("head")
        self.head = AdaptiveSoftmax(self._config, self._vocab_size, initial, embedding)

    @property
    def layers(self) -> dict[str, keras.layers.Layer]:
        """The layers by their names in checkpoints."""
        return {"trunk": self.trunk, "head": self.head}

    def prepare(
        self, window: tf.Tensor, seed: tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """The batch of `masked` for windows [B, T+1], without the last token of each."""
        return self.masked(window[:, :-1], seed, training)

    def masked(
        self, tokens: tf.Tensor, seed: tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """[B, T] -> tokens [B, T] as the network sees them; real [B, T], False where there is
        padding; and of the K most tokens that a window can have selected: places [B, K], targets
        [B, K], weights [B, K] float32, 0 where a window has fewer. seed: [B, 2].

        In training by the settings, else as masking.scored tells. Of characters that are typed
        wrongly those that were meant are the targets.
        """
        settings, size, clean = self._settings, tokens.shape[1], tokens
        if training:
            tokens, clean = self._typos(tokens, seed)
        choice, kinds, ids, *of_spans = masking.uniforms(seed, size)
        if training:
            rate, split = settings.mask_rate, settings.mask_split
        else:
            rate, split = EVALUATION_RATE, (1.0, 0.0, 0.0)
        selected = self._chosen(tokens, choice, of_spans, rate, training)
        places, weights = masking.selected_places(selected, rate)
        return {
            "tokens": masking.corrupted(tokens, selected, kinds, ids, split, self._vocab_size),
            "real": tokens != PAD,
            "places": places,
            "targets": tf.gather(clean, places, batch_dims=1),
            "weights": weights,
        }

    def _chosen(
        self,
        tokens: tf.Tensor,
        choice: tf.Tensor,
        of_spans: list[tf.Tensor],
        rate: float,
        training: bool,
    ) -> tf.Tensor:
        """[B, T] bool: the selected tokens, by uniform numbers choice [B, T] and, for spans,
        of_spans."""
        settings, eligible = self._settings, masking.ordinary(tokens)
        if training and settings.mask_scheme == "span":
            return masking.spans_of(*of_spans, eligible, rate, settings.span_p, settings.span_max)
        if training and settings.mask_scheme == "run":
            return masking.runs_of(of_spans[1], eligible, rate, settings.run_length)
        if training and settings.mask_scheme == "word":
            begins = tf.gather(self._word_starts, tokens)
            return masking.words_of(choice, eligible, begins, rate)
        return masking.tokens_of(choice, eligible, rate)  # as masking.scored, where it is scored

    def token_scores(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[dict[str, tuple[tf.Tensor, tf.Tensor]], Memories]:
        """`nll` (nats) and `accuracy` (1 where the most probable piece is the token) at each
        position, with weights, [B, T] each, 0 where nothing is predicted; and the memories after
        the window."""
        flat, memories = self._selected(batch, memories, phase)
        targets = batch["targets"]
        guesses = tf.reshape(self.head.most_probable(flat), targets.shape)
        hits = tf.cast(guesses == targets, tf.float32)
        found = {"nll": self._nll(flat, batch), "accuracy": hits}
        at = functools.partial(
            masking.at_places, places=batch["places"], shape=batch["tokens"].shape
        )
        weights = at(batch["weights"])
        return {name: (at(values), weights) for name, values in found.items()}, memories

    def pseudo_scores(
        self, tokens: tf.Tensor, memories: Memories, phase: Phase
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], Memories]:
        """nll (nats) and weight, [T] each, 1 for ordinary tokens, of each token [T] of a window
        where it alone is [MASK]; and the memories after the window as it is. memories: of one
        row."""
        size = tokens.shape[0]
        alone = tf.eye(size, dtype=tf.bool)
        row = tokens[None]
        batch = {
            "tokens": tf.where(alone, MASK, row),
            "real": tf.repeat(row != PAD, size, axis=0),
            "places": tf.range(size)[:, None],
            "targets": tokens[:, None],
        }
        copies = Memories(
            tf.repeat(memories.hidden, size, axis=1), tf.repeat(memories.valid, size, axis=0)
        )
        flat, _ = self._selected(batch, copies, phase)
        _, memories = self.trunk(
            row, memories, visibility=self.visibility, phase=phase, real=row != PAD
        )
        weight = tf.cast(masking.ordinary(tokens), tf.float32)
        return (self._nll(flat, batch)[:, 0], weight), memories

    def loss(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[tf.Tensor, tf.Tensor, dict, Memories]:
        """Sums over the window of nll (nats) and weight (selected tokens), no parts, and the
        memories after it. A tail of the softmax is computed for its own tokens alone; an accuracy
        would need all of it for every token."""
        flat, memories = self._selected(batch, memories, phase)
        nll, weights = self._nll(flat, batch), batch["weights"]
        return tf.reduce_sum(nll * weights), tf.reduce_sum(weights), {}, memories

    def _nll(self, flat: tf.Tensor, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        """[B, K] nats of the targets under the hidden states of `_selected`."""
        targets = batch["targets"]
        return tf.reshape(self.head.nll(flat, tf.reshape(targets, [-1])), targets.shape)

    def _selected(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[tf.Tensor, Memories]:
        """The hidden states [B*K, D] of the selected tokens, and the memories after the window."""
        hidden, memories = self._hidden(batch, memories, phase)
        picked = tf.gather(hidden, batch["places"], batch_dims=1)
        flat = tf.reshape(picked, [-1, picked.shape[-1]])
        return tf.cast(flat, TYPES[self._config.precision]), memories

    def _hidden(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[tf.Tensor, Memories]:
        """The hidden states [B, T, D] of a batch, and the memories after it."""
        return self.trunk(
            batch["tokens"],
            memories,
            visibility=self.visibility,
            phase=phase,
            real=batch["real"],
        )

    def log_prob_at(
        self,
        places: tf.Tensor,
        tokens: tf.Tensor,
        real: tf.Tensor,
        memories: Memories,
        phase: Phase,
    ) -> tuple[tf.Tensor, Memories]:
        """Log-probabilities [B, K, V] (nats) of the pieces at places [B, K] of a window of tokens
        [B, T], in which they are [MASK], and the memories after it. real: [B, T], as `prepare`
        gives it."""
        window = {"places": places, "tokens": tokens, "real": real}
        flat, memories = self._selected(window, memories, phase)
        shape = tf.concat([tf.shape(places), [self._vocab_size]], axis=0)
        return tf.reshape(self.head.log_prob(flat), shape), memories
