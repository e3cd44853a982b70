"""What networks have in common that read windows of the stream, as the records have them."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf


class ReadsWindows:
    """Part of the network of an objective (par.objectives)."""

    def read_data(self, data_dir: Path) -> None:
        """Reads nothing: such a network needs nothing but the windows."""

    @staticmethod
    def element_spec(batch_size: int, seq_len: int) -> tf.TensorSpec:
        """[B, T+1] int32."""
        return tf.TensorSpec([batch_size, seq_len + 1], tf.int32)
