"""Text from a trained network, one token at a time: the memory is carried, so no hidden state is
computed twice.

    prompt   windows of T tokens, the rest one by one  ->  memories, last token
    token    (last token, memories)  ->  the next token, the memories after it

Every query sees itself and exactly M tokens back (`same_length`), so a text written token by token
equals one window with that band mask.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from par.core.config import SamplingConfig
from par.core.progress import Progress
from par.data.tokenizer import EOS, SPECIAL_PIECES, Tokenizer
from par.evaluate import sampling
from par.nn.forward_mode import EVALUATION, Phase
from par.nn.transformer import Memories
from par.train.learner import Learner

# of a prompt's last line: more than the bytes of the characters that the next text depends on
CONTEXT_TOKENS = 32
SAMPLER_TEMPERATURE = 0.8  # of the texts that a training run writes of itself


class PromptState(NamedTuple):
    """A prompt that has been read: its tokens [N], and the memories [A, 1, M, D] before the last
    of them."""

    tokens: Sequence[int]
    memories: Memories


class Decoder:
    """Continues a prompt token by token. Its graphs are traced once."""

    def __init__(self, objective: Any, seq_len: int, mem_len: int, phase: Phase = EVALUATION):
        """objective: a causal one of par.objectives. seq_len: T of the windows that a prompt is
        read in. mem_len: M, how far back a query sees."""
        self._objective, self._seq_len, self.mem_len = objective, seq_len, mem_len
        self._phase = dataclasses.replace(phase, same_length=True)
        self._writers: dict[SamplingConfig, Any] = {}

    def empty_memories(self) -> Memories:
        """The memories [A, 1, M, D] before any token."""
        return self._objective.trunk.empty_memories(1, self.mem_len)

    def read(
        self,
        tokens: Sequence[int],
        memories: Memories | None = None,
        progress: Callable[[int], None] = lambda made: None,
    ) -> Memories:
        """The memories [A, 1, M, D] after tokens [N], from empty ones or `memories`; `progress` is
        called with the number of tokens just read."""
        memories = memories or self.empty_memories()
        tokens, at = np.asarray(tokens, np.int32)[None], 0
        while at < tokens.shape[1]:
            count = self._seq_len if tokens.shape[1] - at >= self._seq_len else 1
            memories = self.after(tf.constant(tokens[:, at : at + count]), memories)
            at += count
            progress(count)
        return memories

    def read_prompt(self, tokens: Sequence[int], show_progress: bool = False) -> PromptState:
        """The state after a prompt [N >= 1]. show_progress: with a bar on stderr.

        Only the end of a long prompt is read: what stands further back than attention can pass on
        changes nothing.
        """
        # each block with attention passes on M tokens more
        reach = len(self._objective.trunk.memory_layout.slots) * self.mem_len
        context = tokens[-1 - reach : -1]
        with Progress(
            "reading the prompt", "token", len(context), shown=show_progress
        ) as progress:
            return PromptState(tokens, self.read(context, progress=progress))

    def write(
        self, prompt: PromptState | Sequence[int], config: SamplingConfig
    ) -> Iterator[np.ndarray]:
        """The tokens [B] after a prompt [N >= 1], B = num_samples, `length` times; deterministic
        for a seed. A prompt that is still to be read may be given as its tokens."""
        state = prompt if isinstance(prompt, PromptState) else self.read_prompt(prompt)
        memories = self._repeated(state.memories, config.num_samples)
        token = tf.fill([config.num_samples], tf.constant(state.tokens[-1], tf.int32))
        writer = self._writer(config)
        for place in range(config.length):
            token, memories = writer(token, memories, tf.constant(place))
            yield token.numpy()

    @tf.function(autograph=False)
    def after(self, tokens: tf.Tensor, memories: Memories) -> Memories:
        """The memories after tokens [B, N] int32, all at once."""
        trunk, visibility = self._objective.trunk, self._objective.visibility
        return trunk(tokens, memories, visibility=visibility, phase=self._phase)[1]

    @staticmethod
    def _repeated(memories: Memories, rows: int) -> Memories:
        """The memories of one row, once for each of `rows`."""
        return Memories(tf.repeat(memories.hidden, rows, axis=1), tf.repeat(memories.valid, rows))

    def _writer(self, config: SamplingConfig) -> Any:
        """The graph of one token for these settings."""
        key = dataclasses.replace(config, length=1)
        if key not in self._writers:
            self._writers[key] = tf.function(
                lambda token, memories, place: self.next(token, memories, place, config),
                autograph=False,
            )
        return self._writers[key]

    def log_prob(self, token: tf.Tensor, memories: Memories) -> tuple[tf.Tensor, Memories]:
        """Log-probabilities [B, V] (nats) of what follows token [B] int32, and the memories after
        it."""
        return self._objective.log_prob(token[:, None], memories, self._phase)

    def next(
        self, token: tf.Tensor, memories: Memories, place: tf.Tensor, config: SamplingConfig
    ) -> tuple[tf.Tensor, Memories]:
        """After token [B] int32: the token drawn [B], the memories. place: scalar, tokens drawn
        before. Draws no special piece but the line's end."""
        log_prob, memories = self.log_prob(token, memories)
        special = np.arange(log_prob.shape[-1]) < len(SPECIAL_PIECES)
        special[EOS] = False
        return sampling.draw(tf.where(special, sampling.OUT, log_prob), config, place), memories


@dataclasses.dataclass(frozen=True)
class Continuation:
    """A prompt that has been read, and the settings to continue it with."""

    tokenizer: Tokenizer
    decoder: Decoder
    prompt: PromptState  # [EOS] before the ids of the prompt
    config: SamplingConfig

    def trace(self) -> None:
        """Traces the graph of one token, so that it takes no time later."""
        next(self.decoder.write(self.prompt, self.config))

    def texts(self) -> list[str]:
        """The prompt and what the network writes after it, `num_samples` times."""
        written = np.stack(list(self.decoder.write(self.prompt, self.config)), axis=-1)
        ids = [*self.prompt.tokens[1:]]
        return [self.tokenizer.decode([*ids, *sample]) for sample in written.tolist()]

    @property
    def prompt_text(self) -> str:
        """The prompt as the tokenizer reads it."""
        return self.tokenizer.decode(self.prompt.tokens[1:])

    def stream(self) -> Iterator[str]:
        """The first of `texts` after its prompt, as it is written: what each token adds."""
        # the text of a token depends on the characters before it in its line
        line = list(self.prompt.tokens[1:][-CONTEXT_TOKENS:])
        if EOS in line:
            line = line[len(line) - line[::-1].index(EOS) :]
        to_skip = len(self.tokenizer.decode(line))
        written = (int(tokens[0]) for tokens in self.decoder.write(self.prompt, self.config))
        texts = self.tokenizer.decode_stream(itertools.chain(line, written))
        for number, text in enumerate(texts):
            skipped = min(to_skip, len(text))
            to_skip -= skipped
            if number >= len(line):
                yield text[skipped:]


class Sampler:
    """Texts of a network during its training, always with the same seed, so that they differ only
    by what was learned; the network is not changed."""

    def __init__(self, learner: Learner, data_dir: Path, length: int):
        """length: tokens of a text; 0: no text. Nothing is loaded or traced before the first
        text."""
        self._learner, self._data_dir, self._length = learner, data_dir, length
        self._decoder: Decoder | None = None

    def text(self) -> str:
        """What the network writes at the beginning of a line, a SuperNet as its mixture."""
        if not self._length:
            return ""
        if self._decoder is None:
            config = self._learner.config
            self._tokenizer = Tokenizer.load(self._data_dir / "tokenizer.model")
            self._decoder = Decoder(
                self._learner.objective, config.data.seq_len, config.trained_context
            )
        drawn = SamplingConfig(
            length=self._length,
            temperature=SAMPLER_TEMPERATURE,
            seed=self._learner.config.training.seed,
        )
        written = np.stack(list(self._decoder.write([EOS], drawn)))
        return self._tokenizer.decode(written[:, 0].tolist())
