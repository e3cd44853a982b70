"""What a base is made of: its JSON, and what is refused."""

from __future__ import annotations

import dataclasses

import pytest

from par.core.config import ModelConfig
from par.core.errors import UsageError
from par.nn.parts import Part, Stack, checked_names, part_name


def part(name: str, d_model: int = 16, **changes) -> Part:
    model = ModelConfig(d_model=d_model, num_heads=2, d_ffn=8)
    made = Part(name, "ad", model, "causal", "run", "last", 3, "0" * 64)
    return dataclasses.replace(made, **changes)


TWO_LEVELS = Stack(((part("x", 8),), (part("a"), part("b", 24, visibility="bidirectional"))))


def test_a_base_comes_back_from_its_json():
    assert Stack.from_json(TWO_LEVELS.to_json()) == TWO_LEVELS


def test_the_width_is_that_of_the_last_level_and_any_part_that_sees_ahead_makes_all_do():
    assert TWO_LEVELS.width == 40
    assert TWO_LEVELS.visibility == "bidirectional"
    assert Stack(TWO_LEVELS.levels[:1]).visibility == "causal"
    assert TWO_LEVELS.text == "a + b on x"


def test_names_origin_and_dropout_do_not_make_another_network():
    other = part("y", run="other", step=7, train_sha256="1" * 64)
    other = dataclasses.replace(other, model=dataclasses.replace(other.model, dropout_rate=0.5))
    assert Stack(((part("x"),),)).is_same_network(Stack(((other,),)))
    for changes in ({"blocks": "da"}, {"visibility": "bidirectional"}, {"d_model": 8}):
        assert not Stack(((part("x"),),)).is_same_network(Stack(((part("x", **changes),),)))


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ((), "at least one part"),
        (((),), "at least one part"),
        (((part("a"), part("a")),), "two parts are called 'a'"),
        (((part("a"),), (part("a"),)), "two parts are called 'a'"),
        (tuple((part(f"p{i}"),) for i in range(17)), "may have 16 levels"),
        ((tuple(part(f"p{i}") for i in range(65)),), "and 64 parts"),
    ],
)
def test_bases_that_can_not_be_are_refused(levels, said):
    with pytest.raises(UsageError, match=said):
        Stack(levels)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "a b"}, "name of a part"),
        ({"name": ""}, "name of a part"),
        ({"visibility": "both"}, "visibility"),
        ({"blocks": "xyz"}, "x"),
        ({"train_sha256": "abc"}, "SHA-256"),
        ({"step": -1}, "step"),
        ({"extra": 1}, "exactly the keys"),
    ],
)
def test_damaged_parts_are_refused(change, said):
    with pytest.raises(UsageError, match=said):
        Part.from_json(part("a").to_json() | change)


def test_a_run_of_any_name_gives_the_name_of_a_part():
    assert part_name("group/seed 0,x") == "group-seed-0-x"


def test_unknown_names_are_refused_with_those_that_are_known():
    assert checked_names(["b", "b"], ["a", "b"], "unfreeze") == ("b",)
    with pytest.raises(UsageError, match="--unfreeze=c is not a part of the base, which has a, b"):
        checked_names(["c"], ["a", "b"], "unfreeze")
