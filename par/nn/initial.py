"""Initial weights, each from its own seed, so that a network is a function of (architecture,
settings, seed)."""

from __future__ import annotations

import keras


class Initial:
    """Hands out initializers in the order in which weights are made."""

    def __init__(self, seed: int, std: float):
        self._next, self._std = seed * 1_000_003, std

    def normal(self, std: float | None = None) -> keras.initializers.Initializer:
        """Normal with mean 0 and the configured standard deviation, or `std`, with a seed that no
        other weight of the network has."""
        self._next += 1
        return keras.initializers.RandomNormal(
            stddev=self._std if std is None else std, seed=self._next % 2**31
        )
