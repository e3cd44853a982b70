"""What a base is made of, known without TensorFlow: trunks side by side, in levels.

    level 1   EN [B, T, D_EN]     CODE [B, T, D_CODE]     read the states of level 0
    level 0   CHARS [B, T, D_CHARS]                       reads tokens

The states of the last level, concatenated, are what the network above reads. par.nn.composition
computes them.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from par.core import schema
from par.core.config import ModelConfig
from par.core.errors import UsageError
from par.search.architecture import Architecture

KEYS = ("name", "blocks", "model", "visibility", "run", "checkpoint", "step", "train_sha256")
VISIBILITIES = ("causal", "bidirectional")
MAX_PARTS, MAX_LEVELS = 64, 16


@dataclasses.dataclass(frozen=True)
class Part:
    """A trunk of a base: its name, its network, and the checkpoint that its weights are from.

    visibility: what a token sees of its window, as in its training. train_sha256: of the data that
    it was trained on (par.train.run_config.DataIdentity).
    """

    name: str
    blocks: str
    model: ModelConfig
    visibility: str
    run: str
    checkpoint: str
    step: int
    train_sha256: str

    def __post_init__(self) -> None:
        check_part_name(self.name)
        if self.visibility not in VISIBILITIES:
            raise UsageError(
                f"visibility must be {' or '.join(VISIBILITIES)}, but is {self.visibility[:80]!r}"
            )
        schema.check_sha256(self.train_sha256, "base: train_sha256")
        Architecture(self.blocks)

    @property
    def architecture(self) -> Architecture:
        """Its blocks."""
        return Architecture(self.blocks)

    @property
    def in_f32(self) -> Part:
        """The same with products in float32."""
        return dataclasses.replace(self, model=dataclasses.replace(self.model, precision="f32"))

    @property
    def network(self) -> tuple:
        """All that its states depend on beside weights and vocabulary."""
        model = dataclasses.replace(self.model, dropout_rate=0.0)
        return self.blocks, model, self.visibility

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return dataclasses.asdict(self) | {"model": self.model.to_json()}

    @classmethod
    def from_json(cls, value: Any) -> Part:
        """Inverse of `to_json`. Raises: UsageError if it is not."""
        if not isinstance(value, dict) or set(value) != set(KEYS):
            raise UsageError(f"a part of a base must have exactly the keys {', '.join(KEYS)}")
        decoded = {
            name: schema.decode(int if name == "step" else str, value[name], f"base: {name}")
            for name in KEYS
            if name != "model"
        }
        return cls(model=ModelConfig.from_json(value["model"]), **decoded)


@dataclasses.dataclass(frozen=True)
class Stack:
    """The parts of a base, level by level; those of the first level read tokens."""

    levels: tuple[tuple[Part, ...], ...]

    def __post_init__(self) -> None:
        if not self.levels or not all(self.levels):
            raise UsageError("a base must have at least one part in every level")
        if len(self.levels) > MAX_LEVELS or len(self.parts) > MAX_PARTS:
            raise UsageError(
                f"a base may have {MAX_LEVELS} levels and {MAX_PARTS} parts, but has"
                f" {len(self.levels)} and {len(self.parts)}"
            )
        names = [part.name for part in self.parts]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise UsageError(
                f"two parts are called {twice[0]!r}: give each another name, by tools/compose.py"
                " --name"
            )
        ModelConfig(d_model=self.width, num_heads=1)  # checks the width

    @property
    def parts(self) -> tuple[Part, ...]:
        """All of them, the lowest level first."""
        return tuple(part for level in self.levels for part in level)

    @property
    def top(self) -> tuple[Part, ...]:
        """Those whose states the network above reads."""
        return self.levels[-1]

    @property
    def width(self) -> int:
        """D of the states."""
        return sum(part.model.d_model for part in self.top)

    @property
    def visibility(self) -> str:
        """What a state depends on: `causal` where no part sees tokens after its own."""
        is_causal = all(part.visibility == "causal" for part in self.parts)
        return "causal" if is_causal else "bidirectional"

    @property
    def text(self) -> str:
        """The names: `A + B`, or on a base `A + B on X`."""
        of_levels = [" + ".join(part.name for part in level) for level in reversed(self.levels)]
        return " on ".join(of_levels)

    def is_same_network(self, other: Stack) -> bool:
        """Whether another one, with the same weights, has the same states, whatever its names."""
        own, theirs = (
            [[part.network for part in level] for level in stack.levels] for stack in (self, other)
        )
        return own == theirs

    def to_json(self) -> list[list[dict[str, Any]]]:
        """As JSON values."""
        return [[part.to_json() for part in level] for level in self.levels]

    @classmethod
    def from_json(cls, value: Any) -> Stack:
        """Inverse of `to_json`. Raises: UsageError if it is not."""
        if not isinstance(value, list) or not all(isinstance(level, list) for level in value):
            raise UsageError(f"base: parts must be a list of lists, but is {repr(value)[:80]}")
        return cls(tuple(tuple(map(Part.from_json, level)) for level in value))


def check_part_name(name: str) -> None:
    """Raises: UsageError unless a text can be the name of a part, as --unfreeze takes it."""
    if not re.fullmatch(r"[^\s,/\x00-\x1f\x7f]{1,255}", name):
        raise UsageError(
            "the name of a part must have 1 to 255 characters, without spaces, commas and /, but"
            f" is {name[:80]!r}"
        )


def part_name(run: str) -> str:
    """The name of a part from that of its run."""
    return re.sub(r"[\s,/\x00-\x1f\x7f]+", "-", run)[:255]


def checked_names(names: Iterable[str], known: Iterable[str], flag: str) -> tuple[str, ...]:
    """The names, each once. Raises: UsageError for one that is not known; flag: that gave it."""
    names, known = tuple(dict.fromkeys(names)), list(known)
    for name in names:
        if name not in known:
            raise UsageError(
                f"--{flag}={name} is not a part of the base, which has {', '.join(known)}"
            )
    return names
