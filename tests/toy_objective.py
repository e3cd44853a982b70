"""A second objective, for tests of the contract: hidden tokens are predicted from both sides, by
two trunks of which one is searched, and more hits are better.

Nothing outside par.objectives may know that it exists.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import keras
import tensorflow as tf

import par
from par.core.config import ModelConfig
from par.core.errors import SettingError
from par.core.metrics import Figure
from par.core.setting_group import Group, setting
from par.data.tokenizer import EOS, PAD, SPECIAL_PIECES
from par.nn.adaptive_softmax import AdaptiveSoftmax
from par.nn.forward_mode import Phase, row_uniforms
from par.nn.ops import Initial
from par.nn.transformer import Memories
from par.objectives import OBJECTIVES
from par.objectives.contract import Contract
from par.objectives.stream_windows import ReadsWindows

TOOLS = "par.tools"
HIDDEN = EOS + 1  # [MASK]
ACCURACY = Figure("accuracy", "accuracy", lambda sums: sums.part("accuracy"), better="higher")
NLL = Figure(
    "nll_per_token",
    "nll per hidden token",
    lambda sums: sums.nll / sums.tokens,
    "nats",
    brief="nll",
    tag="loss/nll_per_token",
)


@dataclasses.dataclass(frozen=True)
class ToySettings(Group):
    """What is hidden."""

    toy_rate: float = setting(0.3, "share of the tokens that is hidden", minimum=0.0, maximum=1.0)
    toy_reader: str = setting("d", "blocks of the second trunk")


class Toy(ReadsWindows):
    """Two trunks, whose hidden states are added, and a softmax."""

    visibility = "bidirectional"

    def __init__(self, config: ModelConfig, vocab_size: int, seed: int, settings: ToySettings):
        self._config, self._vocab_size, self._seed = config, vocab_size, seed
        self._settings = settings

    def build(self, make_trunk: Any) -> None:
        self.reader = make_trunk("reader", blocks=self._settings.toy_reader, mem_len=0)
        self.trunk = make_trunk()
        initial = Initial(self._seed, self._config.init_std).within("head")
        self.head = AdaptiveSoftmax(self._config, self._vocab_size, initial)

    @property
    def layers(self) -> dict[str, keras.layers.Layer]:
        return {"trunk": self.trunk, "reader": self.reader, "head": self.head}

    def prepare(
        self, window: tf.Tensor, seed: tf.Tensor, training: bool = True
    ) -> dict[str, tf.Tensor]:
        tokens = window[:, :-1]
        drawn = row_uniforms(seed, tokens.shape[1]) < self._settings.toy_rate
        hidden = drawn & (tokens >= len(SPECIAL_PIECES))
        return {
            "tokens": tf.where(hidden, HIDDEN, tokens),
            "targets": tokens,
            "weights": tf.cast(hidden, tf.float32),
            "real": tokens != PAD,
        }

    def token_scores(self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase) -> Any:
        how = {"visibility": self.visibility, "phase": phase, "real": batch["real"]}
        tokens, targets = batch["tokens"], batch["targets"]
        seen, memories = self.trunk(tokens, memories, **how)
        seen += self.reader(tokens, self.reader.empty_memories(tokens.shape[0]), **how)[0]
        rows = tf.reshape(seen, [-1, seen.shape[-1]])
        nll = tf.reshape(self.head.nll(rows, tf.reshape(targets, [-1])), targets.shape)
        guess = tf.argmax(self.head.log_prob(rows), axis=-1, output_type=tf.int32)
        hits = tf.cast(tf.reshape(guess, targets.shape) == targets, tf.float32)
        weights = batch["weights"]
        return {"nll": (nll, weights), "accuracy": (hits, weights)}, memories

    def loss(self, batch: dict[str, tf.Tensor], memories: Memories, phase: Phase) -> Any:
        scores, memories = self.token_scores(batch, memories, phase)
        sums = {
            name: (tf.reduce_sum(value * weight), tf.reduce_sum(weight))
            for name, (value, weight) in scores.items()
        }
        return *sums.pop("nll"), sums, memories


def _check(config: Any) -> None:
    if config.objective_settings.toy_rate * config.data.seq_len < 0.5:
        raise SettingError("toy_rate hides no token of a window", "toy_rate")


TOY = Contract(
    name="toy",
    network="toy_objective:Toy",
    visibility="bidirectional",
    generates=False,
    figures=(ACCURACY, NLL),
    compared=("accuracy", "nll_per_token"),
    tracked="nll_per_token",
    charts={"Accuracy": {"of hidden tokens": "accuracy"}},
    carries_memory=False,
    parts=("accuracy",),
    training_parts=("accuracy",),
    draws=2,
    instead="use fill",
    settings=ToySettings,
    check=_check,
)


@contextmanager
def registered() -> Iterator[Contract]:
    """The objective beside the others, as an entry of par.objectives. The commands make their
    flags at import: those that are loaded meanwhile know it, those of before and after do not."""
    before = _taken_tools()
    OBJECTIVES[TOY.name] = TOY
    try:
        yield TOY
    finally:
        del OBJECTIVES[TOY.name]
        _taken_tools()
        sys.modules.update(before)
        if TOOLS in before:
            par.tools = before[TOOLS]


def _taken_tools() -> dict[str, ModuleType]:
    """The modules of the commands, which are loaded anew when they are next imported."""
    names = [name for name in sys.modules if name == TOOLS or name.startswith(f"{TOOLS}.")]
    return {name: sys.modules.pop(name) for name in names}
