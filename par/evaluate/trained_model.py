"""A trained network in a few lines of Python: score texts, continue or fill them, embed them.

import par
model = par.load("logs/RUN")
model.score("A line of text.")["perplexity_per_word"]
model.generate("The list", length=50, temperature=0.8, seed=1)[0]
model.fill("A [MASK] of text.", k=5).text
model.replaced("A line of text.").probability
model.embed(["A line of text.", "Another."])
model.user_encoding(["A text of an author.", "Another one."])
model.halves(["A text of an author.", "Another one."])["author"]
model.token_scores("A line of text.").nll
model.attention("A line of text.", block=1).probability
model.nearest("line", k=5)
"""

from __future__ import annotations

import functools
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from par.core import metrics
from par.core.config import FillConfig, SamplingConfig
from par.core.errors import DataError, UsageError
from par.core.progress import Progress
from par.core.text import plural
from par.data import windows
from par.data.cleaning import clean, clean_text
from par.data.corpus import Text
from par.data.encoding import encode_block
from par.data.tokenizer import EOS, PAD, SPECIAL_PIECES, UNK, Tokenizer
from par.evaluate import evaluation, filling
from par.evaluate.detection import Detector, Suspected
from par.evaluate.eval_config import EvalConfig, check_memory
from par.evaluate.filling import Filled, Filler
from par.evaluate.generation import Continuation, Decoder
from par.evaluate.text_vectors import TextVectors
from par.objectives import masked_text
from par.search.architecture import Architecture
from par.train import loading, run_config, run_directory, seeds, weight_transfer
from par.train.learner import Learner

SHOWN_PIECES = 20  # of a text that is not one piece: enough to see how it was read


class TokenScores(NamedTuple):
    """Each of the N tokens of a text: its piece, the text that it adds ("" before the last byte of
    a character), and its nll [N] in nats."""

    pieces: list[str]
    texts: list[str]
    nll: np.ndarray


class AttentionMap(NamedTuple):
    """Attention of the last T tokens of a text to themselves and to the memory before them."""

    probability: np.ndarray  # [H, T, S]; a row adds up to 1, and what is not visible has 0
    keys: list[str]  # the pieces of the S positions; the last T are the window's


class Model(TextVectors):
    """A run's network with its tokenizer, as `par.load` returns it.

    A text is read as tools/build_data.py reads a file: cleaned, in lines, each of which ends with
    [EOS].
    """

    def __init__(
        self,
        config: run_config.RunConfig,
        learner: Learner,
        tokenizer: Tokenizer,
        evaluate_as: str = "soft",
        name: str = "",
    ):
        """evaluate_as: `soft` or `argmax`, how a SuperNet is used; it does not change a fixed
        network. name: of the run."""
        self.name = name
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
        blocks: str = "",
    ) -> Model:
        """Loads the network of a run directory, with its tokenizer.

        Args:
          run: directory that tools/train.py made.
          checkpoint: `last`, or `best` by the nll on valid.
          data: directory of the data set, if it is not where the run remembers it.
          evaluate_as: how a SuperNet is used: `soft`, the mixture, or `argmax`, the likeliest
            option of each block. It does not change a fixed network.
          warn: is called with a line if a checkpoint is damaged and an older one is used.
          blocks: a fixed network in the place of a search's own, with the search's weights;
            par.train.warm_start.check_blocks has found that it has them. "": the run's own.

        Returns: a Model.

        Raises:
          UsageError: for another checkpoint or evaluate_as, or for a directory of several seeds.
          DataError: if the run, its checkpoint or its data is missing or damaged, or they do not
            fit together.

        Example:
          model = Model.load("logs/RUN", checkpoint="best")
        """
        for name, value, choices in (
            ("checkpoint", checkpoint, ("last", "best")),
            ("evaluate_as", evaluate_as, ("soft", "argmax")),
        ):
            if value not in choices:
                raise UsageError(f"{name} must be one of {', '.join(choices)}, but is {value!r}")
        is_run = (Path(run) / "config.json").is_file()
        if several := {} if is_run else seeds.find_runs(Path(run)):
            raise UsageError(
                f"{run} holds the runs of {plural(len(several), 'seed')}: load one of them,"
                f" {', '.join(map(str, several.values()))}"
            )
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
        learner = loading.load_learner(run, config, checkpoint, warn)
        if blocks:
            learner = weight_transfer.derive_network(learner, blocks)
        name = run_directory.run_name(Path(run))
        return cls(learner.config, learner, tokenizer, evaluate_as, name)

    def untrained(self) -> Model:
        """The same network with fresh weights of the run's seed; a SuperNet, that of a base, too,
        keeps its logits.

        Returns: a Model, for what the weights of this one are worth.

        Example:
          model.untrained().embed(["A line of text."])
        """
        fresh = Learner(self.config)
        logits = (
            [*of.logits, *(of.base.logits if of.base else ())] for of in (fresh, self.learner)
        )
        for mine, theirs in zip(*logits, strict=True):
            mine.assign(theirs)
        found = Model(self.config, fresh, self.tokenizer)
        found.phase = self.phase
        return found

    @property
    def architecture(self) -> Architecture:
        """The blocks of the network."""
        return self.config.architecture

    @property
    def pi(self) -> np.ndarray:
        """[L, O] probabilities of attention, dense and identity; one-hot for a fixed block."""
        return self.learner.pi

    @property
    def trunk(self) -> Any:
        """The network without its head, a par.nn.transformer.Transformer: tokens and memories in,
        hidden states and memories out."""
        return self.learner.objective.trunk

    def encode(self, text: str) -> np.ndarray:
        """The ids of a text as a file would hold it: cleaned, each line, the last too, ended by
        [EOS].

        Args:
          text: any text; "" has no ids.

        Returns: [N] int32.

        Raises:
          UsageError: if it is not a str, or has lone surrogates.

        Example:
          model.encode("A line of text.").tolist()
        """
        return self._encode(text)[0]

    def _encode(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """The ids [N], and how many lines, words, characters and bytes they stand for."""
        parts, continues = [], False
        for block in Text.of(_utf8(text)).raw_blocks():
            parts.append(encode_block(self.tokenizer, block, continues))
            continues = not block.data.endswith(b"\n")
        ids = np.concatenate([np.zeros([0], np.int32), *(part.ids for part in parts)])
        return ids, np.sum([[0] * 4, *(part.sizes for part in parts)], axis=0)

    def score(
        self, text: str, seq_len: int | None = None, mem_len: int | None = None
    ) -> dict[str, float]:
        """How well the network predicts a text. Every token is scored, the first after [EOS].

        Args:
          text: what is scored; it is read as by `encode`.
          seq_len: window length T in tokens; None: training's.
          mem_len: memory length M in tokens; None: training's.

        Returns: `nll`, the sum in nats, and the figures of par.core.metrics, such as
          `perplexity_per_word` and `bits_per_byte`.

        Raises:
          DataError: if the text is empty.
          UsageError: if it is not a text, a length is out of bounds, or the network does not
            predict the next token.
          ResourceError: if such windows do not fit into this machine's memory.

        Example:
          model.score("A line of text.")["perplexity_per_word"]
        """
        ids, (_, words, characters, bytes_) = self._encode(text)
        nll = float(self._token_nll(ids, seq_len, mem_len).sum(dtype=np.float64))
        if not len(ids):
            raise DataError("there is nothing to score: the text is empty")
        return {"nll": nll} | metrics.figures(
            nll,
            len(ids),
            tokens=len(ids),
            words=int(words),
            characters=int(characters),
            bytes_=int(bytes_),
        )

    def token_scores(
        self, text: str, seq_len: int | None = None, mem_len: int | None = None
    ) -> TokenScores:
        """How well the network predicts each token of a text.

        Args:
          text, seq_len, mem_len: as for `score`.

        Returns: TokenScores of the N tokens of `encode(text)`; an empty text has none.

        Raises:
          UsageError, ResourceError: as `score`.

        Example:
          scores = model.token_scores("A line of text.")
          list(zip(scores.texts, scores.nll))
        """
        ids = self.encode(text)
        nll = self._token_nll(ids, seq_len, mem_len)
        return TokenScores(
            self.tokenizer.pieces(ids),
            list(self.tokenizer.decode_stream(ids.tolist()))[: len(ids)],
            nll,
        )

    def _token_nll(self, ids: np.ndarray, seq_len: int | None, mem_len: int | None) -> np.ndarray:
        """nll in nats of each of ids [N], the first after [EOS] -> [N] float32."""
        self.config.contract.check_generates("score", "this one")
        seq_len, mem_len = self._lengths(len(ids), seq_len, mem_len)
        if not len(ids):
            return np.zeros([0], np.float32)
        cut = windows.windows(np.append(np.int32(EOS), ids), 1, seq_len, pad_id=PAD)
        steps = self.learner.token_nll(
            tf.data.Dataset.from_tensor_slices(cut), self.phase, mem_len
        )
        return np.concatenate([nll[0] for nll, _ in steps])[: len(ids)]

    def _lengths(
        self, num_tokens: int, seq_len: int | None, mem_len: int | None
    ) -> tuple[int, int]:
        """T and M, no longer than a text of so many tokens or than training's, as more would
        change nothing. Raises: UsageError, ResourceError as `score`."""
        EvalConfig(seq_len=seq_len, mem_len=mem_len)  # checks the bounds
        trained = self.config.data.seq_len, self.config.model.mem_len
        seq_len, mem_len = (
            default if given is None else min(given, max(num_tokens, default))
            for given, default in zip((seq_len, mem_len), trained)
        )
        check_memory(self.config, 1, seq_len, mem_len, flags="seq_len or mem_len")
        return seq_len, mem_len

    def attention(
        self, text: str, block: int, seq_len: int | None = None, mem_len: int | None = None
    ) -> AttentionMap:
        """Attention of one block, while the last T tokens of `encode(text)` are read.

        The tokens before these have been read in windows of T and are in memory, as far as M goes.

        Args:
          text: as for `score`.
          block: number of a block with attention, counted from 1.
          seq_len: T, or fewer in a shorter text; None: training's.
          mem_len: memory length M in tokens; None: training's.

        Returns: AttentionMap with the probabilities [H, T, S] and the pieces of the S keys.

        Raises:
          UsageError: for a block without attention, a length out of bounds, or a network whose
            blocks read several characters as one position.
          DataError: if the text is empty.
          ResourceError: as `score`.

        Example:
          heads = model.attention("A line of text.", block=1)
          heads.probability[0, -1]  # head 0, last token, over heads.keys
        """
        if (factor := self.config.model.downsample) > 1:
            raise UsageError(
                f"attention is shown between tokens, but the blocks of this network read {factor}"
                " characters as one position (--downsample)"
            )
        attending = [
            number for number, kind in enumerate(self.architecture.blocks, 1) if kind in "as"
        ]
        if type(block) is not int or block not in attending:
            choices = (
                f"block must be one with attention, {', '.join(map(str, attending))}"
                if attending
                else "no block has attention"
            )
            raise UsageError(f"{choices} (of {self.architecture.short}), but is {block!r}")
        ids = self.encode(text)
        seq_len, mem_len = self._lengths(len(ids), seq_len, mem_len)
        if not len(ids):
            raise DataError("there is nothing to look at: the text is empty")
        window, before = ids[-seq_len:], ids[:-seq_len]
        # blocks below pass on nothing from further back
        below = len(self.trunk.base.slots) if self.trunk.base else 0
        reach = mem_len + (below + attending.index(block)) * (mem_len + seq_len - 1)
        most = -(-reach // seq_len) * seq_len
        before = before[max(len(before) - most, 0) :]
        memories, seen = self.trunk.empty_memories(1, mem_len), self._seen
        for part in np.split(before, range(len(before) % seq_len, len(before), seq_len)):
            if len(part):
                _, memories = self.trunk(tf.constant(part[None]), memories, **seen)
        probability, _ = self.trunk.attention(
            tf.constant(window[None]), memories, block - 1, **seen
        )
        filled = len(window) + min(len(before), mem_len)
        return AttentionMap(
            probability[0, :, :, -filled:].numpy(), self.tokenizer.pieces(ids[-filled:])
        )

    @property
    def _seen(self) -> dict[str, Any]:
        """What a pass of the trunk needs beside tokens and memories."""
        return {"visibility": self.config.contract.visibility, "phase": self.phase}

    def nearest(self, piece: str | int, k: int = 10) -> list[tuple[str, float]]:
        """The pieces whose embeddings have the largest cosines with that of `piece`.

        Args:
          piece: a word that is one piece, or a piece as the vocabulary spells it (▁ stands for a
            space), or its id. In many vocabularies `re` is both the word ▁re and the end of other
            words; as a text it means the word.
          k: how many.

        Returns: up to k pairs of piece and cosine, the largest first, without special pieces.

        Raises:
          UsageError: if the vocabulary lacks the piece, k is less than 1, or the network reads a
            base instead of embeddings.

        Example:
          model.nearest("line", k=5)
        """
        if type(k) is not int or k < 1:
            raise UsageError(f"k must be an integer of at least 1, but is {k!r}")
        if self.trunk.embedding is None:
            raise UsageError(
                "nearest needs a network with embeddings of its own, but this one reads the"
                f" states of {self.config.base.stack.text}"
            )
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
        ids = self._prompt_ids(piece)
        row = ids[0] if len(ids) == 1 and ids[0] != UNK else self.tokenizer.id_of(piece)
        if row is None:
            shown = " ".join(self.tokenizer.pieces(ids[:SHOWN_PIECES])) or "nothing"
            if len(ids) > SHOWN_PIECES:
                shown += " ..."
            raise UsageError(
                f"piece must be one of the vocabulary, but {piece[:60]!r} is read as {shown}"
            )
        return row

    def fill(
        self,
        text: str,
        k: int = 5,
        seq_len: int | None = None,
        mem_len: int | None = None,
        show_progress: bool = False,
    ) -> Filled:
        """The pieces that the network expects at each [MASK] of a text.

        Each is predicted in one pass, from all that is written, as if the other [MASK]s stayed. A
        word of several pieces needs as many [MASK]s. A space right before a [MASK] is in the
        piece, where pieces hold spaces: ▁ at its beginning.

        Args:
          text: what is filled, read as by `encode`, as if a line ended before it. A text longer
            than a window is read in windows with memory, as in an evaluation: a [MASK] is
            predicted from its window and the memory before it.
          k: how many candidates; of a smaller vocabulary all.
          seq_len: window length T in tokens; None: training's.
          mem_len: memory length M in tokens; None: training's.
          show_progress: with a bar on stderr.

        Returns: Filled, the text with the best candidate at each [MASK], and `masks`, for each the
          k most probable pieces as (piece, id, probability), the best first, without special ones.

        Raises:
          UsageError: if it is not a text or has no [MASK], k or a length is out of bounds, or the
            network does not predict masked pieces.
          ResourceError: as `score`.

        Example:
          model.fill("A [MASK] file").masks[0][0].piece
        """
        self.config.contract.check_fills("fill", "this one")
        ids, k = self._masked_ids(text), FillConfig(k=k).k
        k = min(k, self.config.data.vocab_size - len(SPECIAL_PIECES))
        lengths = self._lengths(len(ids) + 1, seq_len, mem_len)
        with Progress("reading the text", "token", len(ids) + 1, shown=show_progress) as made:
            predicted = self._filler.predict(ids, k, *lengths, made)
        found = filling.candidates(self.tokenizer, *predicted)
        filled = self.tokenizer.decode(filling.filled_ids(ids, found))
        return Filled(filled if text.endswith("\n") else filled.removesuffix("\n"), found)

    def _masked_ids(self, text: str) -> np.ndarray:
        """The ids of a text with MASK for each [MASK]. Raises: UsageError if it has none."""
        data = _utf8(text)
        cleaned = clean(data, starts_file=True, ends_file=True, tally=Counter())
        masked_text.check_masked(cleaned)
        return self._masked_text.encode(cleaned)

    @functools.cached_property
    def _masked_text(self) -> masked_text.MaskedText:
        return masked_text.MaskedText(self.tokenizer)

    @functools.cached_property
    def _filler(self) -> Filler:
        return Filler(self.learner.objective, self.phase)

    def replaced(
        self, text: str, seq_len: int | None = None, mem_len: int | None = None
    ) -> Suspected:
        """How probable it is of each token of a text that a generator put it there.

        Args:
          text: any text, read as by `encode`.
          seq_len, mem_len: as for `score`.

        Returns: Suspected with the pieces, the texts and the probabilities of the N tokens of
          `encode(text)`; an empty text has none.

        Raises:
          UsageError: if it is not a text, a length is out of bounds, or the network does not tell
            replaced tokens.
          ResourceError: as `score`.

        Example:
          found = model.replaced("A line of text.")
          list(zip(found.texts, found.probability))
        """
        self.config.contract.check_detects("replaced", "this one")
        ids = self.encode(text)
        probability = self._detector.predict(ids, *self._lengths(len(ids), seq_len, mem_len))
        texts = list(self.tokenizer.decode_stream(ids.tolist()))[: len(ids)]
        return Suspected(self.tokenizer.pieces(ids), texts, probability)

    @functools.cached_property
    def _detector(self) -> Detector:
        return Detector(self.learner.objective, self.phase)

    def generate(self, prompt: str = "", mem_len: int | None = None, **settings: Any) -> list[str]:
        """Continues a prompt.

        Args:
          prompt: the text to continue, cleaned as a corpus is; "" begins a line.
          mem_len: M, tokens that every token sees back; None: the furthest that training saw,
            M + T - 1.
          **settings: those of par.core.config.SamplingConfig: `length` in tokens, `temperature`,
            `top_k`, `top_p`, `num_samples`, `seed`.

        Returns: `num_samples` texts, each the prompt as the tokenizer reads it (lower-cased, say)
          and what the network writes after it. The same seed gives the same texts.

        Raises:
          UsageError: if it is not a text, a setting is out of bounds, or the network does not
            predict the next token.
          TypeError: for an unknown setting.
          ResourceError: if such memories do not fit into this machine.

        Example:
          model.generate("The list", length=50, temperature=0.8, seed=1)[0]
        """
        return self.continuation(prompt, mem_len, **settings).texts()

    def stream(
        self, prompt: str = "", mem_len: int | None = None, **settings: Any
    ) -> Iterator[str]:
        """Continues a prompt, and yields the text while it is written.

        Args:
          prompt, mem_len, **settings: as for `generate`; there is one sample.

        Yields: the prompt, then the text that each token adds; joined, the text of `generate`.

        Raises:
          UsageError, ResourceError: as `generate`.

        Example:
          for part in model.stream("The list", length=50):
              print(part, end="", flush=True)
        """
        made = self.continuation(prompt, mem_len, **settings | {"num_samples": 1})
        yield made.prompt_text
        yield from made.stream()

    def continuation(
        self,
        prompt: str = "",
        mem_len: int | None = None,
        show_progress: bool = False,
        **settings: Any,
    ) -> Continuation:
        """Reads a prompt, for `generate` and `stream` (see there), and where the time of reading
        it and of writing the text must be told apart. show_progress: with a bar on stderr."""
        config, tokens = SamplingConfig(**settings), [EOS, *self._prompt_ids(prompt)]
        if mem_len is not None:
            EvalConfig(mem_len=mem_len)  # checks the bounds
            # more than the text can have would change nothing
            longest = max(len(tokens) + config.length, self.config.trained_context)
            mem_len = min(mem_len, longest)
        decoder = self.decoder(mem_len)
        for rows, length in ((config.num_samples, 1), (1, self.config.data.seq_len)):
            check_memory(
                self.config, rows, length, decoder.mem_len, flags="num_samples or mem_len"
            )
        state = decoder.read_prompt(tokens, show_progress)
        return Continuation(self.tokenizer, decoder, state, config)

    def _prompt_ids(self, prompt: str) -> list[int]:
        """The ids of a text that is continued: no [EOS] unless a line ends there, and no space at
        the end, as the next piece begins with its own."""
        text = clean_text(_utf8(prompt)).rstrip(" ")
        return self.tokenizer.encode_block(text).tolist() if text else []

    def decoder(self, mem_len: int | None = None) -> Decoder:
        """The decoder that writes texts; mem_len: see `generate`. Raises: UsageError if the
        network does not predict the next token."""
        self.config.contract.check_generates("generate", "this one")
        if mem_len is None:
            mem_len = self.config.trained_context
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
    """The bytes of a text. Raises: UsageError if it is not a str or has lone surrogates."""
    if not isinstance(text, str):
        raise UsageError(f"a text must be a str, but is {type(text).__name__}")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"a text must be whole characters, but has half of one at position {error.start}:"
            f" {text[error.start]!a}"
        ) from None
