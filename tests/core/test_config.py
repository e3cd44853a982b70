"""Every setting has a reason and a check, whether it comes from a flag, from code or from a run's
config.json."""

from __future__ import annotations

import dataclasses
import json
import re
import typing

import pytest

from par.core import config
from par.core.config import DataConfig, LoggingConfig, ModelConfig, SearchConfig, TrainingConfig
from par.core.errors import UsageError

NEEDED = {DataConfig: {"corpus": "python-docs"}}  # what a group can't do without
SETTINGS = [
    (group, field, kind) for group in config.GROUPS for field, kind in config.fields(group)
]
each_group = pytest.mark.parametrize("group", config.GROUPS, ids=lambda group: group.__name__)
each_setting = pytest.mark.parametrize(
    ("group", "field", "kind"), SETTINGS, ids=[f"{g.__name__}.{f.name}" for g, f, _ in SETTINGS]
)


def with_value(group: type, name: str, value: object) -> config.Group:
    return group(**NEEDED.get(group, {}) | {name: value})


def item_kind(kind: type) -> type:
    return typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind


def as_kind(kind: type, item: object) -> object:
    return (item,) if typing.get_origin(kind) is tuple else item


@each_setting
def test_every_setting_has_a_reason_a_known_type_and_a_default_that_passes(group, field, kind):
    assert len(field.metadata["reason"]) >= 10 and not field.metadata["reason"].endswith(".")
    assert item_kind(kind) in (str, int, float, bool)
    defaults = field.default if isinstance(field.default, tuple) else (field.default,)
    for value in defaults:
        whole = field.metadata["is_duration"] and type(value) is int
        assert (whole or type(value) is item_kind(kind)) and (
            not field.metadata["choices"] or value in field.metadata["choices"]
        )


def test_a_setting_belongs_to_one_group_alone():
    names = [field.name for _, field, _ in SETTINGS]
    assert len(names) == len(set(names)) > 30


@each_group
def test_every_group_is_frozen_and_comes_back_from_json(group):
    value = group(**NEEDED.get(group, {}))
    assert group.from_json(json.loads(json.dumps(value.to_json()))) == value
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, config.fields(group)[0][0].name, 1)


def test_lists_come_back_from_json_as_tuples():
    value = ModelConfig(cutoffs=(10, 20), proj_dims=[8, 4])
    assert value.to_json()["cutoffs"] == [10, 20] and value.proj_dims == (8, 4)
    assert ModelConfig.from_json(json.loads(json.dumps(value.to_json()))) == value


@each_group
def test_a_key_too_many_or_too_few_is_named(group):
    value = group(**NEEDED.get(group, {})).to_json()
    first = next(iter(value))
    with pytest.raises(
        UsageError,
        match=(
            rf"{group.__name__} must have exactly the keys .*{first}.*; unknown: \['colour'\],"
            r" missing: \[\]"
        ),
    ):
        group.from_json(value | {"colour": 1})
    with pytest.raises(UsageError, match=rf"unknown: \[\], missing: \['{first}'\]"):
        group.from_json({key: value[key] for key in value if key != first})
    with pytest.raises(UsageError, match=rf"{group.__name__} must be a JSON object, but is \[1\]"):
        group.from_json([1])


@each_setting
def test_a_value_of_another_type_is_refused(group, field, kind):
    wrong = {
        str: [3, None],
        int: ["3", 3.0, True, None],
        float: ["3", True, None],
        bool: [1, "true", None],
    }[item_kind(kind)]
    for item in wrong:
        with pytest.raises(
            UsageError,
            match=(
                f"{field.name} must be of type {item_kind(kind).__name__}, but is"
                f" {re.escape(repr(item))}"
            ),
        ):
            with_value(group, field.name, as_kind(kind, item))
    if typing.get_origin(kind) is tuple:
        for value in ("abc", 3, None):
            with pytest.raises(UsageError, match=f"{field.name} must be a list, but is {value!r}"):
                with_value(group, field.name, value)


@each_setting
def test_a_value_out_of_range_is_refused_with_the_bound(group, field, kind):
    rules = field.metadata
    beyond = []
    if rules["minimum"] is not None:
        beyond.append((rules["minimum"] - 1, f"at least {rules['minimum']}"))
    if rules["maximum"] is not None:
        beyond.append((rules["maximum"] + 1, f"at most {rules['maximum']}"))
    if rules["choices"]:
        beyond.append(("none of them", f"one of {', '.join(rules['choices'])}"))
    if item_kind(kind) is float:
        beyond += [
            (float("nan"), "finite"),
            (float("inf"), "finite"),
            (-float("inf"), "finite"),
            (10**400, "finite"),
        ]
    for item, rule in beyond:
        with pytest.raises(
            UsageError,
            match=f"{field.name} must be {re.escape(rule)}, but is {re.escape(repr(item))}",
        ):
            with_value(group, field.name, as_kind(kind, item))
    assert beyond or item_kind(kind) in (str, bool)


def test_equal_numbers_are_equal_settings():
    assert (
        TrainingConfig(max_lr=1).to_json()["max_lr"] == 1.0
        and type(TrainingConfig(max_lr=1).max_lr) is float
    )
    assert (
        json.dumps(
            DataConfig(corpus="x", split_fractions=[0.5, 0.25, 0.25]).to_json()["split_fractions"]
        )
        == "[0.5, 0.25, 0.25]"
    )


@pytest.mark.parametrize(
    ("group", "values", "said"),
    [
        (
            DataConfig,
            {},
            "give either --corpus or --input_text or --input_documents, but they are --corpus ''",
        ),
        (
            DataConfig,
            {"corpus": "python-docs", "input_text": "a.txt"},
            "give either --corpus or --input_text",
        ),
        (
            DataConfig,
            {"corpus": "x", "split_fractions": (0.5, 0.5)},
            "three positive shares that add up to 1",
        ),
        (
            DataConfig,
            {"corpus": "x", "split_fractions": (0.5, 0.5, 0.0)},
            "three positive shares that add up to 1",
        ),
        (
            DataConfig,
            {"corpus": "x", "split_fractions": (0.5, 0.3, 0.3)},
            "three positive shares that add up to 1",
        ),
        (
            ModelConfig,
            {"d_model": 130},
            "d_model must be even and a multiple of num_heads, but d_model is 130 and num_heads 4",
        ),
        (ModelConfig, {"d_model": 7, "num_heads": 1}, "d_model must be even"),
        (
            ModelConfig,
            {"cutoffs": (20, 10)},
            r"cutoffs must increase strictly, but are \[20, 10\]",
        ),
        (ModelConfig, {"cutoffs": (10, 10)}, "cutoffs must increase strictly"),
        (
            ModelConfig,
            {"cutoffs": (10, 20), "proj_dims": (8,)},
            "one width per tail cluster: 2 cutoffs, 1 widths",
        ),
        (ModelConfig, {"proj_dims": (8,)}, "one width per tail cluster: 0 cutoffs, 1 widths"),
        (
            SearchConfig,
            {"target_latency": 0.65},
            "target_latency 0.65 needs --latency_table=FILE, which tools/measure_latency.py makes",
        ),
        (
            SearchConfig,
            {"latency_ms": (2.0, 1.0, 0.0)},
            r"latency_ms must be four numbers, .* but are \[2.0, 1.0, 0.0\]",
        ),
        (
            SearchConfig,
            {"latency_ms": (2.0, 1.0, 0.0, 0.0)},
            "latency_ms must be four numbers, attention, dense, identity, the rest .above 0.",
        ),
        (
            TrainingConfig,
            {"weight_decay": 0.1},
            "weight_decay needs --optimizer=adamw, but optimizer is adam",
        ),
    ],
    ids=str,
)
def test_settings_that_do_not_fit_each_other_are_refused(group, values, said):
    with pytest.raises(UsageError, match=said):
        group(**values)


def test_cutoffs_lie_inside_the_vocabulary():
    ModelConfig(cutoffs=(10, 99)).check_vocabulary(100)
    ModelConfig().check_vocabulary(1)
    with pytest.raises(
        UsageError, match=r"cutoffs must lie below the vocabulary size 99, but are \[10, 99\]"
    ):
        ModelConfig(cutoffs=(10, 99)).check_vocabulary(99)


def test_the_bounds_themselves_are_allowed():
    assert SearchConfig(tau_end=1e-3, tau_start=1e3).tau_end == 1e-3
    assert TrainingConfig(seed=2**31 - 1, max_lr=0.0).seed == 2**31 - 1
    assert LoggingConfig(record_every=0).record_every == 0
