"""Everything that is compared meets the same changes of the machine's speed."""

from __future__ import annotations

import pytest

from par.bench import in_turn


class Machine:
    """A clock that runs slower and slower: a measurement of `work` takes work + its start."""

    def __init__(self):
        self.time, self.order = 0.0, []

    def measurement(self, name: str, work: float):
        def measure() -> float:
            self.order.append(name)
            self.time += 1.0
            return work + self.time

        return measure


def test_a_round_takes_each_once_and_every_other_round_goes_backwards():
    machine, done = Machine(), []
    values = in_turn.measure(
        {name: machine.measurement(name, 0.0) for name in "abc"}, 3, done.append
    )
    assert "".join(machine.order) == "abccbaabc" and done == machine.order
    assert values == {"a": [1.0, 6.0, 7.0], "b": [2.0, 5.0, 8.0], "c": [3.0, 4.0, 9.0]}


def test_a_slow_drift_cancels_out():
    machine = Machine()
    values = in_turn.measure(
        {name: machine.measurement(name, work) for name, work in (("a", 5.0), ("b", 7.0))}, 4
    )
    assert sum(values["b"]) / 4 - sum(values["a"]) / 4 == pytest.approx(2.0)


def test_what_is_prepared_keeps_its_key_and_order():
    done = []
    prepared = in_turn.prepare({2: lambda: "two", 1: lambda: "one"}, done.append)
    assert list(prepared.items()) == [(2, "two"), (1, "one")] and done == [2, 1]


def test_without_rounds_there_are_no_values():
    assert in_turn.measure({"a": lambda: 1.0}, 0) == {"a": []}
