"""The base of a run: what its trunk reads instead of embeddings, and which parts of it are
trained, too."""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

from par.core import schema
from par.core.errors import SettingError, UsageError
from par.nn.parts import Stack, checked_names

KEYS = ("run", "checkpoint", "step", "sha256", "frozen", "unfreeze", "parts")


@dataclasses.dataclass(frozen=True)
class Base:
    """A base, and the checkpoint that its weights are from.

    run: name of the run that --base names, "" for a composed model, whose parts tell it
    themselves. sha256: over the hashes of the checkpoint's files. frozen: whether its weights stay
    as they are, but for the parts named by unfreeze. stack: the parts; None until the run was
    read.
    """

    run: str = ""
    checkpoint: str = "last"
    step: int = 0
    sha256: str = ""
    frozen: bool = True
    unfreeze: tuple[str, ...] = ()
    stack: Stack | None = None

    def __post_init__(self) -> None:
        if self.unfreeze and not self.frozen:
            raise SettingError(
                "unfreeze names parts of a frozen base, but all of it is trained: leave unfreeze"
                " out, or keep freeze_base",
                "unfreeze",
                "freeze_base",
            )
        if self.stack:
            names = [part.name for part in self.stack.parts]
            checked_names(self.unfreeze, names, "unfreeze")

    @property
    def trained(self) -> tuple[str, ...]:
        """The names of the parts that are trained."""
        names = tuple(part.name for part in self.stack.parts)
        return self.unfreeze if self.frozen else names

    @property
    def in_f32(self) -> Base:
        """The same with products in float32."""
        levels = tuple(tuple(part.in_f32 for part in level) for level in self.stack.levels)
        return dataclasses.replace(self, stack=Stack(levels))

    @property
    def text(self) -> str:
        """The base in words: its parts, and which of them are trained."""
        trained = ", ".join(self.trained)
        return f"{self.stack.text} ({f'trained: {trained}' if trained else 'frozen'})"

    @property
    def networks(self) -> str:
        """Its networks in words and eight digits, which are the same if a step costs the same:
        what a latency table is for."""
        found = [
            [
                part.blocks,
                part.visibility,
                part.model.to_json() | {"mem_len": 0, "init_std": 0},  # the run's own memory
                part.name in self.trained,
            ]
            for part in self.stack.parts
        ]
        sizes = [len(level) for level in self.stack.levels]
        digest = hashlib.sha256(schema.canonical_json([sizes, found]).encode()).hexdigest()[:8]
        levels = [" + ".join(part.blocks for part in level) for level in self.stack.levels]
        return f"{' on '.join(reversed(levels))[:200]} ({digest})"

    def is_request_of(self, kept: Base | None) -> bool:
        """Whether `kept` may be what a command asked for with this one."""
        names = ("run", "checkpoint", "frozen", "unfreeze")
        return kept is not None and all(
            getattr(self, name) == getattr(kept, name) for name in names
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        values = {name: getattr(self, name) for name in KEYS if name != "parts"}
        parts = self.stack.to_json() if self.stack else []
        return values | {"unfreeze": list(self.unfreeze), "parts": parts}

    def identity(self) -> dict[str, Any]:
        """What must not change when the run is continued, by name: what was asked for, and of each
        part all but where it is from."""
        values = {name: value for name, value in self.to_json().items() if name != "parts"}
        for number, level in enumerate(self.stack.levels if self.stack else ()):
            for part in level:
                own = {"level": number, "blocks": part.blocks, "visibility": part.visibility}
                values[f"parts.{part.name}"] = own | part.model.to_identity()
        return values

    @classmethod
    def from_json(cls, value: Any) -> Base:
        """Inverse of `to_json`. Raises: UsageError if it is not."""
        if not isinstance(value, dict) or set(value) != set(KEYS):
            raise UsageError(f"base must have exactly the keys {', '.join(KEYS)}")
        hints = {"step": int, "frozen": bool, "unfreeze": tuple[str, ...]}
        decoded = {
            name: schema.decode(hints.get(name, str), value[name], f"base: {name}")
            for name in KEYS
            if name != "parts"
        }
        made = cls(**decoded, stack=Stack.from_json(value["parts"]))
        if made.run:
            schema.check_sha256(made.sha256, "base: sha256")
        return made
