"""A trained network in a few lines of Python: score texts, go on with them, embed them.

import par
model = par.load("logs/RUN")
model.score("A line of text.")["perplexity_per_word"]
model.generate("The list", length=50, temperature=0.8, seed=1)[0]
model.embed("A line of text.")
model.token_scores("A line of text.").nll
model.attention("A line of text.", block=1).probability
model.nearest("line", k=5)
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from par.core import metrics
from par.core.config import SamplingConfig
from par.core.errors import DataError, UsageError
from par.data import windows
from par.data.cleaning import clean_text
from par.data.corpus import Text
from par.data.encoding import encode_block
from par.data.tokenizer import EOS, PAD, SPECIAL_PIECES, UNK, Tokenizer
from par.evaluate import evaluation
from par.evaluate.eval_config import EvalConfig
from par.evaluate.generation import Decoder
from par.search.architecture import Architecture
from par.train import loading, run_config
from par.train.learner import Learner

SHOWN_PIECES = 20  # of a text that is no piece: enough to see how it was read


class TokenScores(NamedTuple):
    """Of each of the N tokens of a text: its piece, what it adds to the text ("" before the last
    byte of a character), and its nll [N] in nats."""

    pieces: list[str]
    texts: list[str]
    nll: np.ndarray


class AttentionMap(NamedTuple):
    """How much the T tokens at the end of a text take of themselves and of what is in memory
    before them."""

    probability: np.ndarray  # [H, T, S]; a row adds up to 1, what is not visible has 0
    keys: list[str]  # the pieces of the S positions; the last T are the window's


class Model:
    """A run's network with its tokenizer. A text is read as tools/build_data.py reads a file:
    lines, each of which ends with [EOS]."""

    def __init__(
        self,
        config: run_config.RunConfig,
        learner: Learner,
        tokenizer: Tokenizer,
        evaluate_as: str = "soft",
    ):
        """evaluate_as: `soft` or `argmax`, how a SuperNet is used; a fixed network is what it
        is."""
        self.config, self.learner, self.tokenizer = config, learner, tokenizer
        self.phase, self._decoders = evaluation.PHASES[evaluate_as], {}

    @classmethod
    def load(
        cls,
        run: str | Path,
        checkpoint: str = "last",
        data: str | Path | None = None,
        evaluate_as: str = "soft",
        warn: Callable[[str], None] = warnings.warn,
    ) -> Model:
        """The network of a run directory. checkpoint: last or best. data: where its data is now,
        if it is not at the place that the run remembers.

        warn: told of a damaged checkpoint that an older one stands in for.

        Raises: UsageError for another checkpoint or evaluate_as; DataError if the run, its
        checkpoint or its data is missing, damaged, or does not
        fit together.
        """
        for name, value, choices in (
            ("checkpoint", checkpoint, ("last", "best")),
            ("evaluate_as", evaluate_as, ("soft", "argmax")),
        ):
            if value not in choices:
                raise UsageError(f"{name} must be one of {', '.join(choices)}, but is {value!r}")
        config, data_dir = run_config.load(Path(run))
        data_dir = Path(data or data_dir)
        run_config.load_manifest(run, config, data_dir)
        tokenizer = Tokenizer.load(data_dir / "tokenizer.model")
        if tokenizer.sha256 != config.data.tokenizer_sha256:
            raise DataError(
                f"tokenizer {data_dir / 'tokenizer.model'} has SHA-256 {tokenizer.sha256}, but run"
                f" {run} was trained with {config.data.tokenizer_sha256}: put the run's own"
                " tokenizer back"
            )
        return cls(
            config, loading.load_learner(run, config, checkpoint, warn), tokenizer, evaluate_as
        )

    @property
    def architecture(self) -> Architecture:
        """The blocks."""
        return self.config.architecture

    @property
    def pi(self) -> np.ndarray:
        """[L, O] probabilities of attention, dense and identity; one-hot where a block is
        fixed."""
        return self.learner.pi

    @property
    def trunk(self) -> Any:
        """The network without its head: tokens and memories in, hidden states and memories out
        (par.nn.transformer.Transformer)."""
        return self.learner.objective.trunk

    def encode(self, text: str) -> np.ndarray:
        """The ids [N] of a text as a file would hold it: cleaned, each line ended by [EOS], the
        last one, too."""
        return self._encoded(text)[0]

    def _encoded(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """The ids [N], and how many lines, words, characters and bytes they stand for."""
        parts, continues = [], False
        for block in Text.of(_utf8(text)).raw_blocks():
            parts.append(encode_block(self.tokenizer, block, continues))
            continues = not block.data.endswith(b"\n")
        return np.concatenate([np.zeros([0], np.int32), *(part.ids for part in parts)]), np.sum(
            [[0] * 4, *(part.sizes for part in parts)], axis=0
        )

    def score(
        self, text: str, seq_len: int | None = None, mem_len: int | None = None
    ) -> dict[str, float]:
        """How well the network predicts a text: `nll`, the sum in nats, and the figures of
        par.core.metrics. Every token is scored, the first after [EOS].

        seq_len, mem_len: T and M in tokens; the defaults are training's. Raises: DataError for a
        text without a line, UsageError for lengths that
        par.evaluate.eval_config.EvalConfig does not take.
        """
        ids, (_, words, characters, bytes_) = self._encoded(text)
        nll = float(self._token_nll(ids, seq_len, mem_len).sum(dtype=np.float64))
        if not len(ids):
            raise DataError("there is nothing to score: the text is empty")
        return {"nll": nll} | metrics.figures(
            nll, len(ids), len(ids), int(words), int(characters), int(bytes_)
        )

    def token_scores(
        self, text: str, seq_len: int | None = None, mem_len: int | None = None
    ) -> TokenScores:
        """How well the network predicts each of the N tokens of `encode(text)`. seq_len, mem_len,
        and what is raised for them: as for `score`."""
        ids = self.encode(text)
        nll = self._token_nll(ids, seq_len, mem_len)
        return TokenScores(
            self.tokenizer.pieces(ids),
            list(self.tokenizer.decode_stream(ids.tolist()))[: len(ids)],
            nll,
        )

    def _token_nll(self, ids: np.ndarray, seq_len: int | None, mem_len: int | None) -> np.ndarray:
        """nll in nats of each of ids [N], the first after [EOS] -> [N] float32."""
        EvalConfig(seq_len=seq_len, mem_len=mem_len)  # refuses what is no length
        if not len(ids):
            return np.zeros([0], np.float32)
        cut = windows.windows(
            np.append(np.int32(EOS), ids), 1, seq_len or self.config.data.seq_len, pad_id=PAD
        )
        steps = self.learner.token_nll(
            tf.data.Dataset.from_tensor_slices(cut), self.phase, mem_len
        )
        return np.concatenate([nll[0] for nll, _ in steps])[: len(ids)]

    def attention(
        self, text: str, block: int, seq_len: int | None = None, mem_len: int | None = None
    ) -> AttentionMap:
        """Where one block's attention looks while the last tokens of `encode(text)` are read, T =
        seq_len of them or as many as there are.

        block: counted from 1, one that attends. seq_len, mem_len: T and M in tokens; the defaults
        are training's. What comes before these T tokens
        has been read in windows of T and is in memory, as far as M goes. Raises: UsageError for a
        block without attention, or for lengths that are
        none; DataError for a text without a line.
        """
        reading = EvalConfig(seq_len=seq_len, mem_len=mem_len)  # refuses what is no length
        attending = [
            number for number, kind in enumerate(self.architecture.blocks, 1) if kind in "as"
        ]
        if type(block) is not int or block not in attending:
            choices = (
                f"one of those with attention, {', '.join(map(str, attending))}"
                if attending
                else "none: no block has attention"
            )
            raise UsageError(
                f"block of {self.architecture.short} must be {choices}, but is {block!r}"
            )
        ids, seq_len, mem_len = (
            self.encode(text),
            reading.seq_len or self.config.data.seq_len,
            reading.memory(self.config),
        )
        if not len(ids):
            raise DataError("there is nothing to look at: the text is empty")
        window, before = ids[-seq_len:], ids[:-seq_len]
        # blocks below hand on nothing from further back
        reach = mem_len + attending.index(block) * (mem_len + seq_len - 1)
        most = -(-reach // seq_len) * seq_len
        before, memories = (
            before[max(len(before) - most, 0) :],
            self.trunk.empty_memories(1, mem_len),
        )
        for part in np.split(before, range(len(before) % seq_len, len(before), seq_len)):
            if len(part):
                _, memories = self.trunk(tf.constant(part[None]), memories, phase=self.phase)
        probability, _ = self.trunk.attention(
            tf.constant(window[None]), memories, block - 1, phase=self.phase
        )
        there = len(window) + min(len(before), mem_len)
        return AttentionMap(
            probability[0, :, :, -there:].numpy(), self.tokenizer.pieces(ids[-there:])
        )

    def nearest(self, piece: str | int, k: int = 10) -> list[tuple[str, float]]:
        """The k pieces whose embeddings point the same way as that of `piece`, with the cosine of
        the angle between, nearest first; no special ones.

        piece: a word that is one piece, or a piece as the vocabulary spells it (▁ stands for a
        space), or its id: in many a vocabulary `re` is both
        the word ▁re and the end of others, and as a text the word. Raises: UsageError if it is
        none of these, or k is no number of pieces.
        """
        if type(k) is not int or k < 1:
            raise UsageError(f"k must be an integer of at least 1, but is {k!r}")
        row = self._row(piece)
        found = nearest_rows(self.trunk.embedding.numpy(), row, k, first=len(SPECIAL_PIECES))
        names = self.tokenizer.pieces(token for token, _ in found)
        return [(name, cosine) for name, (_, cosine) in zip(names, found)]

    def _row(self, piece: str | int) -> int:
        """The id of a piece, as `nearest` takes it."""
        if type(piece) is int:
            vocab_size = self.config.data.vocab_size
            if not 0 <= piece < vocab_size:
                raise UsageError(
                    f"piece must be one of the vocabulary, as an id from 0 to {vocab_size - 1:,},"
                    f" but is {piece}"
                )
            return piece
        ids = self._prompt(piece)
        row = ids[0] if len(ids) == 1 and ids[0] != UNK else self.tokenizer.id_of(piece)
        if row is None:
            read_as = " ".join(self.tokenizer.pieces(ids[:SHOWN_PIECES])) + " ..." * (
                len(ids) > SHOWN_PIECES
            )
            raise UsageError(
                f"piece must be one of the vocabulary, but {piece[:60]!r} is read as"
                f" {read_as or 'nothing'}"
            )
        return row

    def embed(self, text: str) -> np.ndarray:
        """The hidden states [N, D] after each of the N ids of `encode(text)`, each with all that
        came before it in memory and window."""
        ids, seq_len = self.encode(text), self.config.data.seq_len
        memories, states = self.trunk.empty_memories(1), []
        for start in range(0, len(ids), seq_len):
            window = np.full([1, seq_len], PAD, np.int32)
            window[0, : len(ids) - start] = ids[start : start + seq_len]
            hidden, memories = self._hidden(tf.constant(window), memories)
            states.append(hidden[0].numpy())
        return np.concatenate([np.zeros([0, self.config.model.d_model], np.float32), *states])[
            : len(ids)
        ]

    @functools.cached_property
    def _hidden(self) -> Any:
        return tf.function(
            lambda tokens, memories: self.trunk(tokens, memories, phase=self.phase),
            autograph=False,
        )

    def generate(self, prompt: str = "", mem_len: int | None = None, **settings: Any) -> list[str]:
        """The prompt and what the network writes after it, `num_samples` times. settings: those of
        par.core.config.SamplingConfig.

        mem_len: M, tokens that every token sees back; the default is the furthest that training
        saw, M + T - 1. The prompt comes back as the
        tokenizer reads it: lower-cased, say.
        """
        config, ids = SamplingConfig(**settings), self._prompt(prompt)
        written = np.stack(list(self.decoder(mem_len).write([EOS, *ids], config)), axis=-1)
        return [self.tokenizer.decode([*ids, *sample]) for sample in written.tolist()]

    def stream(
        self, prompt: str = "", mem_len: int | None = None, **settings: Any
    ) -> Iterator[str]:
        """What `generate` gives as its one text, as it is written: what each token adds, those of
        the prompt first."""
        config, ids = SamplingConfig(**settings | {"num_samples": 1}), self._prompt(prompt)
        written = (int(tokens[0]) for tokens in self.decoder(mem_len).write([EOS, *ids], config))
        yield from self.tokenizer.decode_stream(itertools.chain(ids, written))

    def _prompt(self, prompt: str) -> list[int]:
        """The ids of a text that goes on: no [EOS] unless a line end stands there, and no space at
        the end, as the next piece begins with its own."""
        block = clean_text(_utf8(prompt))
        return self.tokenizer.encode_block(block.rstrip(" ")).tolist() if block.rstrip(" ") else []

    def decoder(self, mem_len: int | None = None) -> Decoder:
        """What writes texts; mem_len: see `generate`."""
        mem_len = (
            self.config.trained_context if mem_len is None else EvalConfig(mem_len=mem_len).mem_len
        )
        if mem_len not in self._decoders:
            self._decoders[mem_len] = Decoder(
                self.learner.objective, self.config.data.seq_len, mem_len, self.phase
            )
        return self._decoders[mem_len]


def cosines(table: np.ndarray, row: int) -> np.ndarray:
    """cos(e_row, e_i) = e_row·e_i / (|e_row| |e_i|) for every row i of a table [V, D] -> [V]
    float64; 0 where a vector is all zeros."""
    table = np.asarray(table, np.float64)
    lengths = np.linalg.norm(table, axis=1)
    products, scales = table @ table[row], lengths * lengths[row]
    return np.divide(products, scales, out=np.zeros_like(products), where=scales > 0)


def nearest_rows(table: np.ndarray, row: int, k: int, first: int = 0) -> list[tuple[int, float]]:
    """The k rows with the largest cosines, largest first, of equal ones the lower row; without
    `row` itself and the rows below `first`."""
    found = cosines(table, row)
    order = [int(i) for i in np.argsort(-found, kind="stable") if i >= first and i != row]
    return [(i, float(found[i])) for i in order[:k]]


def _utf8(text: str) -> bytes:
    """The bytes of a text. Raises: UsageError for what is none."""
    if not isinstance(text, str):
        raise UsageError(f"a text must be a str, but is {type(text).__name__}")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"a text must be whole characters, but has half of one at position {error.start}:"
            f" {text[error.start]!a}"
        ) from None
