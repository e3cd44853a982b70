"""The network of a composed model: a trunk without blocks on its base, so that its hidden states
are the base's; no head."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from par.core.config import ModelConfig
from par.nn.transformer import Transformer


class ComposedNetwork:
    """A trunk that adds nothing."""

    visibility = "bidirectional"

    def __init__(self, config: ModelConfig, vocab_size: int, seed: int, settings: Any = None):
        pass

    def build(self, make_trunk: Callable[..., Transformer]) -> None:
        """Makes the layers: one trunk."""
        self.trunk = make_trunk()

    @property
    def layers(self) -> dict[str, keras.layers.Layer]:
        """The layers by their names in checkpoints."""
        return {"trunk": self.trunk}

    def read_data(self, data_dir: Path) -> None:
        """Reads nothing: it is not trained."""
