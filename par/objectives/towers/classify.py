"""Which label a document has, group or author, among those of train.

    text [B, T]  ->  trunk  ->  pooled [B, D]  ->  softmax(x W + b) [B, C]

A document is read by itself, without a memory, as far as `doc_len` tokens. Beside the network
stand, on the same documents, the most frequent label of train, and naive Bayes over the n-grams of
the same tokens (par.baselines.naive_bayes).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from par.baselines import labels
from par.baselines.naive_bayes import NaiveBayes
from par.core.config import ModelConfig
from par.data import documents
from par.data.manifest import Manifest
from par.data.tokenizer import BOS, PAD, Tokenizer, properties
from par.nn.forward_mode import Phase
from par.nn.ops import TYPES, Initial, linear
from par.nn.transformer import Memories, Transformer
from par.objectives import contrast
from par.objectives.document_reader import DocumentReader, Draws
from par.objectives.tower_settings import ClassifySettings, check_meaning, check_split
from par.objectives.typos import Typos

LONGEST = {"char": 4}  # tokens of an n-gram of naive Bayes, by the tokenizer's type; of others 2


class Classes(keras.layers.Layer):
    """The logits of C classes: x W + b."""

    def __init__(self, d_model: int, classes: int, initial: Initial):
        super().__init__(name="head", autocast=False)  # states choose the type of the products
        self.kernel = self.add_weight(
            name="kernel", shape=(d_model, classes), initializer=initial.normal("kernel")
        )
        self.bias = self.add_weight(name="bias", shape=(classes,), initializer="zeros")
        self.built = True

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """x [B, D] -> [B, C] float32."""
        return tf.cast(linear(x, self.kernel), tf.float32) + self.bias


class Classifier:
    """A trunk that sees both sides of a document, and a softmax over its pooled hidden states."""

    visibility = "bidirectional"

    def __init__(
        self, config: ModelConfig, vocab_size: int, seed: int, settings: ClassifySettings
    ):
        self._config, self._seed, self._settings = config, seed, settings
        self._typos = Typos(settings.typos, vocab_size)
        self._readers: dict[tuple[Path, str], DocumentReader] = {}

    def build(self, make_trunk: Callable[..., Transformer]) -> None:
        """Makes the layers: one trunk, one head."""
        self.trunk = make_trunk()
        initial = Initial(self._seed, self._config.init_std).within("head")
        self.head = Classes(self._config.d_model, self._settings.classes, initial)

    @property
    def layers(self) -> dict[str, keras.layers.Layer]:
        """The layers by their names in checkpoints."""
        return {"trunk": self.trunk, "head": self.head}

    def read_data(self, data_dir: Path) -> None:
        """Reads which pieces are letters, if there are to be typing errors. Raises: as
        `Typos.read_data`."""
        self._typos.read_data(data_dir)

    def documents(self, data_dir: Path, manifest: Manifest, split: str) -> DocumentReader:
        """The documents of a split, read once. Raises: DataError, ResourceError as DocumentReader;
        DataError if the labels are not those of the run; UsageError if no document has one."""
        key = Path(data_dir), split
        if key not in self._readers:

            def draws(table: np.ndarray) -> Draws:
                return self._draws(table, key[0], manifest, split)

            self._readers[key] = DocumentReader(
                key[0], manifest, split, self._settings.doc_len, draws
            )
        return self._readers[key]

    def _draws(self, table: np.ndarray, data_dir: Path, manifest: Manifest, split: str) -> Draws:
        """Documents that have a label of train, which it is, and whether counting finds it."""
        settings, train = self._settings, documents.load(data_dir, "train", manifest)
        found = settings.labels_of(train)
        check_meaning(settings, train, found, data_dir)
        check_split(settings, table, found, split, data_dir)
        own = labels.numbers(settings.names_of(table), found)
        targets = np.flatnonzero(own >= 0)
        counted = labels.numbers(settings.names_of(train), found)
        facts = {"label": np.maximum(own, 0), **self._counted(data_dir, manifest, split, own)}
        facts["majority"] = own == np.bincount(counted[counted >= 0]).argmax()
        tensors = {name: tf.constant(values, tf.int32) for name, values in facts.items()}
        return Draws(
            targets,
            lambda rows, seeds: {"text": rows},
            lambda rows: {name: tf.gather(values, rows) for name, values in tensors.items()},
        )

    def _counted(
        self, data_dir: Path, manifest: Manifest, split: str, own: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Whether naive Bayes, counted on train, finds the class [R] of each document; -1 of
        train itself, of which it is not asked."""
        if split == "train":
            return {"bayes": np.full(len(own), -1, np.int32)}
        tokens, classes = {}, {"train": None, split: own}
        for name in classes:
            table = documents.load(data_dir, name, manifest)
            reader = documents.TokenReader(data_dir, manifest, name, table)
            tokens[name] = reader.beginnings(self._settings.doc_len, PAD)
            if name == "train":
                names = self._settings.names_of(table)
                classes[name] = labels.numbers(names, self._settings.labels_of(table))
        kind = properties(Tokenizer.load(data_dir / "tokenizer.model").model)["model_type"]
        known = classes["train"] >= 0
        model = NaiveBayes(
            tokens["train"][known],
            classes["train"][known],
            self._settings.classes,
            LONGEST.get(kind, 2),
            PAD,
        )
        return {"bayes": model.predict(tokens[split]) == own}

    def element_spec(self, batch_size: int, seq_len: int) -> dict[str, tf.TensorSpec]:
        """text [B, doc_len]; label [B]; bayes and majority [B]: 1 where these find it, -1 where
        that is not known; scored [B]: 0 for a row that is not; all int32."""
        shapes = {"text": [self._settings.doc_len]}
        shapes |= {name: [] for name in ("label", "bayes", "majority", "scored")}
        return {name: tf.TensorSpec([batch_size, *of], tf.int32) for name, of in shapes.items()}

    def prepare(
        self, element: dict[str, tf.Tensor], seed: tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        """tokens [B, T] as the trunk reads them, in training with typing errors; label [B]; hits
        of counting, bayes and majority [B], weights [B], and which of these has a hit of bayes,
        counted [B], float32. seed: [B, 2]."""
        text = element["text"]
        if training:
            text, _ = self._typos(text, seed)
        weights = tf.cast(element["scored"] > 0, tf.float32)
        return {
            "tokens": self.window(text),
            # a synthetic text has any number
            "label": tf.minimum(element["label"], self._settings.classes - 1),
            "weights": weights,
            "counted": weights * tf.cast(element["bayes"] >= 0, tf.float32),
            **{name: tf.cast(element[name] > 0, tf.float32) for name in ("bayes", "majority")},
        }

    def window(self, tokens: tf.Tensor) -> tf.Tensor:
        """Texts [B, doc_len] as the trunk reads them, with [BOS] before each if its state is the
        encoding."""
        if self._settings.pool != "cls":
            return tokens
        return tf.concat([tf.fill([tokens.shape[0], 1], BOS), tokens], axis=1)

    def token_scores(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[dict[str, tuple[tf.Tensor, tf.Tensor]], Memories]:
        """`nll` (nats), `accuracy`, 1 where the most probable label is the document's, and the
        hits of counting, [B, 1] each, with their weights; and the memories as they are."""
        logits = self._logits(batch, phase)
        guesses = tf.argmax(logits, axis=1, output_type=tf.int32)
        values = {
            "nll": self._nll(logits, batch),
            "accuracy": tf.cast(guesses == batch["label"], tf.float32),
            "bayes": batch["bayes"],
            "majority": batch["majority"],
        }
        weights = dict.fromkeys(values, batch["weights"]) | {"bayes": batch["counted"]}
        found = {name: (value[:, None], weights[name][:, None]) for name, value in values.items()}
        return found, memories

    def loss(
        self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase
    ) -> tuple[tf.Tensor, tf.Tensor, dict, Memories]:
        """Sums over the rows of nll (nats) and of the weights, no parts, and the memories as they
        are."""
        nll, weights = self._nll(self._logits(batch, phase), batch), batch["weights"]
        return tf.reduce_sum(nll * weights), tf.reduce_sum(weights), {}, memories

    @staticmethod
    def _nll(logits: tf.Tensor, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        return tf.nn.sparse_softmax_cross_entropy_with_logits(batch["label"], logits)

    def _logits(self, batch: dict[str, tf.Tensor], phase: Phase) -> tf.Tensor:
        """[B, C]."""
        tokens = batch["tokens"]
        real = tokens != PAD
        hidden, _ = self.trunk(
            tokens,
            self.trunk.empty_memories(tokens.shape[0], 0),
            visibility=self.visibility,
            phase=phase,
            real=real,
        )
        vectors = contrast.pooled(tf.cast(hidden, tf.float32), real, self._settings.pool)
        return self.head(tf.cast(vectors, TYPES[self._config.precision]))
