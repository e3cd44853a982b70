"""SpanELECTRA: a small generator fills masked spans, and the network, the discriminator, tells of
every token whether it was replaced. Both have a head that reads a span from its boundaries.

    text           the  cat  sat  on   the  mat  .
    masked         the  [M]  [M]  on   the  mat  .    generator: LM head, SBGO from "the" and "on"
    drawn          the  dog  sat  on   the  mat  .    from the mean of both distributions
    replaced?       0    1    0    0    0    0   0    ATO of every token; SBPO of "dog" and "sat"

Replaced-token detection is ELECTRA's (Clark et al. 2020, arXiv 2003.10555), the boundary objective
SpanBERT's (Joshi et al. 2020, arXiv 1907.10529); the shared table is DeBERTaV3's (He et al. 2021,
arXiv 2111.09543). A draw that is right is no replacement. Draws have no gradient, so that the
discriminator's loss does not reach the generator.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from par.core.config import ModelConfig
from par.core.errors import UsageError
from par.data.tokenizer import MASK, PAD
from par.nn.adaptive_softmax import AdaptiveSoftmax
from par.nn.forward_mode import EVALUATION, Phase
from par.nn.ops import TYPES, Initial
from par.nn.transformer import Memories, Table, Transformer
from par.objectives import masking
from par.objectives.electra.boundaries import SpanBoundaryHead, boundaries
from par.objectives.electra.replaced import (
    Logit,
    ReplacedHead,
    binary_cross_entropy,
    drawn,
    most_probable,
)
from par.objectives.electra_figures import SPAN_ELECTRA
from par.objectives.electra_settings import SPAN_MAX, SPAN_P, SPAN_RATE, SpanElectraSettings
from par.objectives.masking import FIRST
from par.objectives.stream_windows import ReadsWindows

GENERATOR = "generator"
Scores = dict[str, tuple[tf.Tensor, tf.Tensor]]


class Filled(NamedTuple):
    """What a generator says of the K places of a row that are masked: [B, K] each."""

    pieces: tf.Tensor  # int32, what is put there
    nll: tf.Tensor  # nats of the tokens by the LM head
    boundary_nll: tf.Tensor  # nats by SBGO; valid where a span has both boundaries
    guesses: tf.Tensor  # int32, the most probable piece of the mean of both
    boundary_guesses: tf.Tensor  # int32, that of SBGO alone
    confidence: tf.Tensor  # probability of what is put there


class SpanElectra(ReadsWindows):
    """A discriminator, which is the run's trunk, with its heads; and a generator with its own."""

    visibility = "bidirectional"

    def __init__(
        self, config: ModelConfig, vocab_size: int, seed: int, settings: SpanElectraSettings
    ):
        self._config, self._vocab_size, self._settings = config, vocab_size, settings
        self._initial = Initial(seed, config.init_std)
        self._product = TYPES[config.precision]

    def build(self, make_trunk: Callable[..., Transformer]) -> None:
        """Makes the layers: the discriminator and the generator, if there is one."""
        settings, width = self._settings, self._config.d_model
        changes = settings.generator_changes(self._config)
        make_generator = functools.partial(
            make_trunk, GENERATOR, settings.generator_blocks, **changes
        )
        if settings.generator == "random":
            self.trunk, self.generator = make_trunk(), None
        elif settings.share_embeddings == "gdes":
            self.generator = make_generator(table=Table(width))
            shared = self.generator.raw_table
            table = Table(width, lambda: tf.stop_gradient(shared()), adds_own=True)
            self.trunk = make_trunk(table=table)
        else:
            self.trunk = make_trunk()
            is_tied = settings.share_embeddings == "tied"
            table = Table(width, self.trunk.raw_table) if is_tied else None
            self.generator = make_generator(table=table)
        self.layers: dict[str, keras.layers.Layer] = {"trunk": self.trunk}
        if settings.ato:
            within = self._initial.within("ato")
            self.layers["ato"] = ReplacedHead("ato", width, within, self._config.precision)
        if settings.sbpo:
            within = self._initial.within("sbpo")
            self.layers["sbpo"] = SpanBoundaryHead("sbpo", width, SPAN_MAX, within)
            self.layers["sbpo_logit"] = Logit("sbpo_logit", width, within.within("logit"))
        if self.generator is not None:
            self._build_generator_heads(dataclasses.replace(self._config, **changes))

    def _build_generator_heads(self, shape: ModelConfig) -> None:
        embedding = self.generator.table if shape.tie_embeddings else None
        within = self._initial.within(f"{GENERATOR}_head")
        head = AdaptiveSoftmax(shape, self._vocab_size, within, embedding)
        own = {GENERATOR: self.generator, f"{GENERATOR}_head": head}
        if self._settings.generator == "frozen":
            for layer in own.values():
                layer.trainable = False
        self.layers |= own
        if self._settings.sbgo:
            self.layers["sbgo"] = SpanBoundaryHead(
                "sbgo", shape.d_model, SPAN_MAX, self._initial.within("sbgo")
            )

    @property
    def exported_layers(self) -> dict[str, keras.layers.Layer]:
        """Those of the discriminator; with gdes the generator's, too, whose table it adds to."""
        if self._settings.share_embeddings == "gdes":
            return self.layers
        names = ("trunk", "ato", "sbpo", "sbpo_logit")
        return {name: self.layers[name] for name in names if name in self.layers}

    def prepare(
        self, window: tf.Tensor, seed: tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """[B, T+1] -> tokens [B, T]; real [B, T], False where there is padding; selected [B, T],
        what is masked, in spans; and of the K most tokens that a window can have selected, [B, K]
        each: places; weights float32, 0 where a window has fewer; uniforms, numbers by which they
        are drawn; before, after, place: see `boundaries`; and bounded float32, the weights of
        tokens whose span has both boundaries. seed: [B, 2].

        In training of `span_rate`, else of SPAN_RATE. As draws are by numbers of this batch, they
        are the same for all paths of a step, and in evaluation depend on nothing but the place in
        the text and the generator.
        """
        tokens = window[:, :-1]
        real = tokens != PAD
        of_draws, _, _, of_lengths, of_places = masking.uniforms(seed, tokens.shape[1])
        rate = self._settings.span_rate if training else SPAN_RATE
        selected = masking.spans_of(
            of_lengths, of_places, masking.ordinary(tokens), rate, SPAN_P, SPAN_MAX
        )
        places, weights = masking.selected_places(selected, rate)
        spans = boundaries(selected, real)
        before, after, place, has_both = (_at(each, places) for each in spans)
        return {
            "tokens": tokens,
            "real": real,
            "selected": selected,
            "places": places,
            "weights": weights,
            "uniforms": _at(of_draws, places),
            "before": before,
            "after": after,
            "place": place,
            "bounded": weights * tf.cast(has_both, tf.float32),
        }

    def fill(self, batch: dict[str, tf.Tensor], phase: Phase) -> Filled:
        """What the generator says of the masked places. A frozen one has no dropout."""
        targets = _at(batch["tokens"], batch["places"])
        if self.generator is None:
            return self._any_pieces(batch["uniforms"], targets)
        if self._settings.generator == "frozen" and phase.training:
            phase = EVALUATION
        hidden, _ = self.generator(
            tf.where(batch["selected"], MASK, batch["tokens"]),
            self.generator.empty_memories(targets.shape[0]),
            visibility=self.visibility,
            phase=phase,
            real=batch["real"],
        )
        head, flat = self.layers[f"{GENERATOR}_head"], tf.reshape(targets, [-1])
        states = self._rows_at(hidden, batch["places"])
        nll, probability = head.nll(states, flat), _probability(head, states)
        boundary_nll, boundary_guesses = tf.zeros_like(nll), tf.zeros_like(flat)
        if self._settings.sbgo:
            states = tf.cast(self._of_boundaries("sbgo", hidden, batch), self._product)
            boundary_nll, of_boundaries = head.nll(states, flat), _probability(head, states)
            boundary_guesses = most_probable(of_boundaries)
            bounded = tf.reshape(batch["bounded"], [-1, 1]) > 0
            probability = tf.where(bounded, (probability + of_boundaries) / 2, probability)
        pieces = guesses = most_probable(probability)
        if self._settings.sample == "draw":
            pieces = drawn(probability, tf.reshape(batch["uniforms"], [-1]))
        confidence = tf.gather(probability, pieces, batch_dims=1)
        found = (pieces, nll, boundary_nll, guesses, boundary_guesses, confidence)
        return Filled(*(tf.reshape(each, targets.shape) for each in found))

    def _any_pieces(self, uniforms: tf.Tensor, targets: tf.Tensor) -> Filled:
        """Each ordinary piece with the same probability."""
        number = self._vocab_size - FIRST
        pieces = FIRST + tf.minimum(tf.cast(uniforms * number, tf.int32), number - 1)
        nll = tf.fill(targets.shape, math.log(number))
        confidence = tf.fill(targets.shape, 1.0 / number)
        return Filled(pieces, nll, tf.zeros_like(nll), pieces, pieces, confidence)

    def detect(
        self, tokens: tf.Tensor, real: tf.Tensor, memories: Memories, phase: Phase
    ) -> tuple[tf.Tensor, tf.Tensor, Memories]:
        """The discriminator on a window of tokens [B, T] that may be replaced: hidden states
        [B, T, D], ATO's logits [B, T], 0 without ATO, and the memories after it."""
        hidden, memories = self.trunk(
            tokens, memories, visibility=self.visibility, phase=phase, real=real
        )
        if not self._settings.ato:
            return hidden, tf.zeros(tokens.shape), memories
        return hidden, self.layers["ato"](hidden, real), memories

    def replaced_logits(
        self, tokens: tf.Tensor, real: tf.Tensor, memories: Memories, phase: Phase
    ) -> tuple[tf.Tensor, Memories]:
        """ATO's logits [B, T] that tokens [B, T] were replaced, and the memories after them.
        Raises: UsageError for a network without ATO."""
        if not self._settings.ato:
            raise UsageError(
                "whether a token was replaced is told by networks with --ato, but this one was"
                " trained with --noato: embed is what it has"
            )
        return self.detect(tokens, real, memories, phase)[1:]

    def _of_boundaries(self, name: str, hidden: tf.Tensor, batch: dict) -> tf.Tensor:
        """[B*K, D] the states of a boundary head for the masked tokens."""
        before, after = (self._rows_at(hidden, batch[name]) for name in ("before", "after"))
        return self.layers[name](before, after, tf.reshape(batch["place"], [-1]))

    def _rows_at(self, hidden: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
        """[B*K, D] the hidden states [B, T, D] at places [B, K], in the type of products."""
        return tf.cast(tf.reshape(_at(hidden, places), [-1, hidden.shape[-1]]), self._product)

    def _scores(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[Scores, Scores, Memories]:
        """Values and weights by name: of all tokens [B, T], and of the masked ones [B, K]; and the
        memories after the window."""
        settings, tokens, places = self._settings, batch["tokens"], batch["places"]
        weights, filled = batch["weights"], self.fill(batch, phase)
        put = masking.at_places(filled.pieces, places, tokens.shape)
        seen = tf.where(batch["selected"], put, tokens)
        hidden, logits, memories = self.detect(seen, batch["real"], memories, phase)
        real, labels = tf.cast(batch["real"], tf.float32), tf.cast(seen != tokens, tf.float32)
        span_logits = tf.zeros_like(weights)
        if settings.sbpo:
            states = self._of_boundaries("sbpo", hidden, batch)
            states = self.layers["sbpo_logit"](tf.cast(states, self._product))
            span_logits = tf.reshape(states, places.shape)
        of_ato, of_sbpo = real * float(settings.ato), batch["bounded"] * float(settings.sbpo)
        of_sbgo = batch["bounded"] * float("sbgo" in self.layers)
        targets = _at(tokens, places)
        of_tokens = {
            "replaced": (labels, real),
            "detection_nll": (binary_cross_entropy(logits, labels), of_ato),
            "seen": (seen, real),
        }
        of_masked = {
            "span_nll": (binary_cross_entropy(span_logits, _at(labels, places)), of_sbpo),
            "generator_nll": (filled.nll, weights),
            "boundary_nll": (filled.boundary_nll, of_sbgo),
            "accuracy": (_equal(filled.guesses, targets), weights),
            "boundary_accuracy": (_equal(filled.boundary_guesses, targets), of_sbgo),
            "unlikely": (-filled.confidence, weights),
        }
        ranked = (of_tokens, logits, real) if settings.ato else (of_masked, span_logits, of_sbpo)
        ranked[0]["logit"] = ranked[1:]
        return of_tokens, of_masked, memories

    def _total(self, of_tokens: Scores, of_masked: Scores) -> tuple[tf.Tensor, tf.Tensor]:
        """What is minimised (nats), of tokens [B, T] and of masked tokens [B, K]. Its sum over the
        number of tokens is disc_weight times the mean of ATO's loss over the tokens, and the means
        of the others over the masked tokens of each row, of which a span without both boundaries
        has 0."""
        settings, (_, real) = self._settings, of_tokens["replaced"]
        masked = tf.reduce_sum(of_masked["generator_nll"][1], axis=1, keepdims=True)
        share = tf.reduce_sum(real, axis=1, keepdims=True) / tf.maximum(masked, 1.0)
        factors = {
            "span_nll": settings.disc_weight,
            "boundary_nll": 1.0,
            "generator_nll": float(settings.generator == "joint"),
        }
        terms = [
            factor * share * tf.math.multiply(*of_masked[name]) for name, factor in factors.items()
        ]
        of_all = settings.disc_weight * tf.math.multiply(*of_tokens["detection_nll"])
        return of_all, tf.add_n(terms)

    def loss(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[tf.Tensor, tf.Tensor, dict[str, Any], Memories]:
        """Sums over the window of the loss of `_total` (nats) and of weight (tokens), the parts of
        training, and the memories after it."""
        *scores, memories = self._scores(batch, memories, phase)
        total = tf.add_n([tf.reduce_sum(each) for each in self._total(*scores)])
        named = scores[0] | scores[1]
        parts = {name: _sums(*named[name]) for name in SPAN_ELECTRA.training_parts}
        return total, tf.reduce_sum(named["replaced"][1]), parts, memories

    def token_scores(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[dict[str, tuple[tf.Tensor, tf.Tensor]], Memories]:
        """`nll`, a token's share of the loss (nats); the parts; and for rankings `logit`, that the
        token was replaced, `unlikely`, minus the generator's probability of what it put there, and
        `seen`, the id that the discriminator saw: each with weights, [B, T]; and the memories
        after the window."""
        of_tokens, of_masked, memories = self._scores(batch, memories, phase)
        at = functools.partial(
            masking.at_places, places=batch["places"], shape=batch["tokens"].shape
        )
        own, other = self._total(of_tokens, of_masked)
        found = {name: (at(values), at(weights)) for name, (values, weights) in of_masked.items()}
        found |= of_tokens | {"nll": (own + at(other), of_tokens["replaced"][1])}
        return {name: found[name] for name in SPAN_ELECTRA.scored}, memories


def _at(values: tf.Tensor, places: tf.Tensor) -> tf.Tensor:
    """[B, K, ...] of values [B, T, ...] at places [B, K]."""
    return tf.gather(values, places, batch_dims=1)


def _equal(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    return tf.cast(one == other, tf.float32)


def _sums(values: tf.Tensor, weights: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.reduce_sum(values * weights), tf.reduce_sum(weights)


def _probability(head: AdaptiveSoftmax, states: tf.Tensor) -> tf.Tensor:
    """[N, V] from states [N, D], without a gradient."""
    return tf.stop_gradient(tf.exp(head.log_prob(states)))
