"""The loop of every benchmark: what is compared is measured in turn, round by round, so that a
change in the machine's speed affects all of it alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


def prepare(
    preparations: Mapping[Key, Callable[[], Value]],
    on_done: Callable[[Key], object] = lambda key: None,
) -> dict[Key, Value]:
    """The results of the preparations by key: networks that are traced and warm, for example.

    on_done: told the key after each.
    """
    prepared = {}
    for key, make in preparations.items():
        prepared[key] = make()
        on_done(key)
    return prepared


def measure(
    measurements: Mapping[Key, Callable[[], Value]],
    rounds: int,
    on_done: Callable[[Key], object] = lambda key: None,
) -> dict[Key, list[Value]]:
    """The values [rounds] of each measurement, by key.

    A round takes each measurement once; every other round goes backwards, so that a slow drift of
    the machine's speed cancels out. on_done: told the key after each.
    """
    values: dict[Key, list[Value]] = {key: [] for key in measurements}
    for number in range(rounds):
        keys = list(measurements)
        for key in keys if number % 2 == 0 else reversed(keys):
            values[key].append(measurements[key]())
            on_done(key)
    return values
