"""A network that imitates another one, its teacher, whose weights stay as they are.

    hidden     text        ->  teacher  ->  h_t, normalised  <-  W s_t + b  <-  trunk  <-  text
               distance: the mean square of the differences; at the start, where W is near 0, 1
    log_prob   masked text ->  teacher  ->  P                <-  Q          <-  trunk  <-  the same
               distance: KL(P, Q) = sum_v P(v) log(P(v) / Q(v)), nats, of masked tokens
               (Hinton et al. 2015, arXiv 1503.02531, at temperature 1)

Both read every window by itself, without a memory.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras
import tensorflow as tf

from par.core.config import ModelConfig
from par.data.tokenizer import MASK, PAD
from par.nn.adaptive_softmax import AdaptiveSoftmax
from par.nn.blocks import EPSILON
from par.nn.forward_mode import EVALUATION, Phase
from par.nn.ops import TYPES, Initial
from par.nn.transformer import Memories, Transformer
from par.objectives import masking
from par.objectives.settings import EVALUATION_RATE
from par.objectives.stream_windows import ReadsWindows
from par.objectives.tower_settings import DistillSettings
from par.objectives.towers.classify import Classes

TEACHER = "teacher"


class Distiller(ReadsWindows):
    """A trunk that sees both sides, with a linear map to the teacher's states or a softmax."""

    visibility = "bidirectional"

    def __init__(self, config: ModelConfig, vocab_size: int, seed: int, settings: DistillSettings):
        self._config, self._vocab_size, self._settings = config, vocab_size, settings
        self._initial = Initial(seed, config.init_std)

    def build(self, make_trunk: Callable[..., Transformer]) -> None:
        """Makes the layers: a trunk, its head, the teacher and the teacher's head."""
        shape, theirs = self._settings.shape, self._settings.teacher_model
        self.trunk = make_trunk()
        changes = theirs.to_json() | {name: getattr(theirs, name) for name in ("cutoffs",)}
        changes["proj_dims"] = theirs.proj_dims
        self.teacher = make_trunk(TEACHER, shape["blocks"], on_base=False, **changes)
        self.layers: dict[str, keras.layers.Layer] = {"trunk": self.trunk, TEACHER: self.teacher}
        if self._settings.imitates_log_prob:
            heads = {"head": (self._config, self.trunk), "teacher_head": (theirs, self.teacher)}
            for name, (model, trunk) in heads.items():
                table = trunk.table if model.tie_embeddings else None
                within = self._initial.within(name)
                self.layers[name] = AdaptiveSoftmax(model, self._vocab_size, within, table)
            self.layers["teacher_head"].trainable = False
        else:
            within = self._initial.within("head")
            self.layers["head"] = Classes(self._config.d_model, theirs.d_model, within)
        self.teacher.trainable = False

    @property
    def exported_layers(self) -> dict[str, keras.layers.Layer]:
        """Those of the network without its teacher."""
        return {name: self.layers[name] for name in ("trunk", "head")}

    def prepare(
        self, window: tf.Tensor, seed: tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """[B, T+1] -> tokens [B, T] as both networks read them; real [B, T], False where there is
        padding; places [B, K] of what is imitated, all T of hidden states, and weights [B, K]
        float32: 0 where there is nothing. seed: [B, 2]."""
        tokens = window[:, :-1]
        real = tokens != PAD
        if not self._settings.imitates_log_prob:
            places = tf.zeros_like(tokens) + tf.range(tokens.shape[1])
            weights = tf.cast(real, tf.float32)
            return {"tokens": tokens, "real": real, "places": places, "weights": weights}
        rate, selected = EVALUATION_RATE, masking.scored(tokens, seed)
        if training:
            rate = self._settings.mask_rate
            choice = masking.uniforms(seed, tokens.shape[1])[0]
            selected = masking.tokens_of(choice, masking.ordinary(tokens), rate)
        places, weights = masking.selected_places(selected, rate)
        masked = tf.where(selected, MASK, tokens)
        return {"tokens": masked, "real": real, "places": places, "weights": weights}

    def token_scores(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[dict[str, tuple[tf.Tensor, tf.Tensor]], Memories]:
        """`nll`, the distance, and `agreement`, the cosine of the states, or 1 where the most
        probable piece is the same, with their weights, [B, T] each; and the memories as they
        are."""
        distance, agreement = self._compared(batch, phase)
        at = functools.partial(
            masking.at_places, places=batch["places"], shape=batch["tokens"].shape
        )
        weights = at(batch["weights"])
        found = {"nll": distance, "agreement": agreement}
        return {name: (at(values), weights) for name, values in found.items()}, memories

    def loss(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[tf.Tensor, tf.Tensor, dict, Memories]:
        """Sums over the window of distance and weight, no parts, and the memories as they are."""
        distance, _ = self._compared(batch, phase)
        weights = batch["weights"]
        return tf.reduce_sum(distance * weights), tf.reduce_sum(weights), {}, memories

    def _compared(self, batch: dict[str, tf.Tensor], phase: Phase) -> tuple[tf.Tensor, tf.Tensor]:
        """Distance and agreement [B, K]."""
        own = self._states(self.trunk, self.visibility, batch, phase)
        theirs = self._states(
            self.teacher,
            self._settings.shape["visibility"],
            batch,
            EVALUATION,
            TYPES[self._settings.teacher_model.precision],
        )
        head, shape = self.layers["head"], batch["places"].shape
        if self._settings.imitates_log_prob:
            wanted = tf.stop_gradient(self.layers["teacher_head"].log_prob(theirs))
            found = head.log_prob(own)
            distance = tf.reduce_sum(tf.exp(wanted) * (wanted - found), axis=-1)
            same = tf.argmax(wanted, axis=-1) == tf.argmax(found, axis=-1)
            agreement = tf.cast(same, tf.float32)
        else:
            wanted = tf.stop_gradient(normalised(tf.cast(theirs, tf.float32)))
            found = head(own)
            distance = tf.reduce_mean(tf.square(found - wanted), axis=-1)
            agreement = cosine(found, wanted)
        return tf.reshape(distance, shape), tf.reshape(agreement, shape)

    def _states(
        self,
        trunk: Transformer,
        visibility: str,
        batch: dict[str, tf.Tensor],
        phase: Phase,
        dtype: tf.DType | None = None,
    ) -> tf.Tensor:
        """[B*K, D] the hidden states of a trunk at the places, in the type of its products."""
        hidden, _ = trunk(
            batch["tokens"],
            trunk.empty_memories(batch["tokens"].shape[0], 0),
            visibility=visibility,
            phase=phase,
            real=batch["real"],
        )
        picked = tf.gather(hidden, batch["places"], batch_dims=1)
        flat = tf.reshape(picked, [-1, picked.shape[-1]])
        return tf.cast(flat, dtype or TYPES[self._config.precision])


def normalised(states: tf.Tensor) -> tf.Tensor:
    """States [N, D] with mean 0 and variance 1 each."""
    centred = states - tf.reduce_mean(states, axis=-1, keepdims=True)
    square = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
    return centred * tf.math.rsqrt(square + EPSILON)


def cosine(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """[N] of vectors [N, D]; 0 where one of them is 0."""
    lengths = tf.norm(one, axis=-1) * tf.norm(other, axis=-1)
    return tf.math.divide_no_nan(tf.reduce_sum(one * other, axis=-1), lengths)
