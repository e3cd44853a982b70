"""docs/artefacts.md tells what is in the artefacts. Those that need training are held to it where
they are made: `documented` in other tests."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

import documented
import flags_page
from par.core.config import LoggingConfig, ModelConfig
from par.data import manifest
from par.evaluate.certify import plan as certify_plan
from par.evaluate.compare import plan
from par.nn.base import Base
from par.nn.parts import Part, Stack
from par.search import architecture, baselines, latency_check, latency_table
from par.train import run_config
from project import TESTS
from small import small_config, small_data
from tables import make_latencies

SCHEMAS = {
    "manifest.json": manifest.SCHEMA,
    "config.json": run_config.SCHEMA,
    "architecture.json": architecture.SCHEMA,
    "latency.json": latency_table.SCHEMA,
    "plan.json": plan.SCHEMA,
    "choice.json": certify_plan.SCHEMA,
}


def read(path: Path) -> object:
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_table_is_held_to_something_real_by_a_test():
    checked = set()
    for path in TESTS.rglob("test_*.py"):
        checked |= set(
            re.findall(
                r'documented\.check(?:_files|_tags)?\(\s*"([^"]+)"',
                path.read_text(encoding="utf-8"),
            )
        )
    assert checked | documented.shared() == set(documented.headings())


@pytest.mark.parametrize("name", documented.examples())
def test_an_example_has_no_field_that_is_not_told(name):
    documented.check(name, documented.examples()[name], required="none")


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_schema_that_is_told_is_the_program_s(name):
    assert re.search(
        rf"^### {re.escape(name)}\n.*?\bSchema (\d+)",
        documented.PAGE.read_text(encoding="utf-8"),
        re.M | re.S,
    )[1] == str(SCHEMAS[name])
    assert documented.examples()[name]["schema"] == SCHEMAS[name]


def test_a_field_more_or_less_or_of_another_type_is_found():
    quartiles = {"median": 1.0, "low": 0.5, "high": 2.0}
    documented.check("quartiles", quartiles)
    for odd, said in (
        (quartiles | {"mean": 1.0}, "mean is there, but not told"),
        ({"median": 1.0, "low": 0.5}, "high is told, but not there"),
        (quartiles | {"low": None}, "low is told as number, but is 'None'"),
        (quartiles | {"low": "0.5"}, "low is told as number, but is '0.5'"),
    ):
        with pytest.raises(AssertionError, match=said):
            documented.check("quartiles", odd)
    below = {"results": [{"run": "logs/a"}]}
    with pytest.raises(
        AssertionError, match=r"results\.\[\]\.architecture is told, but not there"
    ):
        documented.check("evaluate --json", below)
    with pytest.raises(AssertionError, match=r"results\. is empty"):
        documented.check("evaluate --json", {"results": []})


def test_a_file_or_tag_more_or_less_is_found(tmp_path):
    small_data(tmp_path / "data", train=300, valid=100)
    documented.check_files("Data set", tmp_path / "data")
    (tmp_path / "data" / "notes.txt").touch()
    with pytest.raises(AssertionError, match=r"not told: \['notes.txt'\]"):
        documented.check_files("Data set", tmp_path / "data")
    with pytest.raises(
        AssertionError,
        match=r"not told: \['loss/nll'\]; told, but not there: \['loss/nll_per_token', ",
    ):
        documented.check_tags("tensorboard/valid", ["loss/nll"])


def test_the_settings_of_a_run_and_its_flagfile(tmp_path):
    config = small_config(
        small_data(tmp_path / "data", train=300, valid=100), "ssd", cutoffs=(12, 20)
    )
    config.save(tmp_path, tmp_path / "data")
    documented.check("config.json", read(tmp_path / "config.json"))
    origin = run_config.Origin("other", "last", 7, "0" * 64, "iadi", "trunk")
    part = Part("below", "ad", config.model, "causal", "below", "last", 7, "0" * 64)
    base = Base("below", "last", 7, "0" * 64, unfreeze=("below",), stack=Stack(((part,),)))
    begun = dataclasses.replace(
        config, architecture=architecture.Architecture("ad"), init=origin, base=base
    )
    begun.save(tmp_path, tmp_path / "data")
    documented.check("config.json", read(tmp_path / "config.json"), required="all")
    sources = (tmp_path / "other", tmp_path / "below")
    begun.write_flags(tmp_path, tmp_path / "data", LoggingConfig(), *sources)
    written = {
        line.removeprefix("--").split("=")[0]
        for line in (tmp_path / "flags.txt").read_text().splitlines()
    }
    rows = list(flags_page.rows_of(flags_page.page()))
    settings = {
        flag
        for heading, flag in rows
        if heading.split()[0] in ("Network", "Search", "Training", "Logging")
    }
    empty = {"proj_dims", "latency_ms"}
    assert written == (settings - empty) | {
        "data",
        "architecture",
        "run",
        "base",
        "base_checkpoint",
        "freeze_base",
        "unfreeze",
        "init_from",
        "init_checkpoint",
        "init_layers",
    }


def test_an_architecture_with_and_without_latencies(tmp_path):
    times = np.array([[1.0, 2.0], [1.2, 2.2], [1.1, 2.1]])
    case = latency_check.Case("inference", 1.0, 2.0)
    predicted = latency_check.LatencyCheck("inference", (case,), 1.3, None)
    pi = ((0.7, 0.2, 0.1), (0.1, 0.8, 0.1))
    for latencies in (None, predicted, predicted.with_measured({"inference": times})):
        made = architecture.Architecture(
            "ad", "budget" if latencies else "argmax", "search", pi, (0,), latencies
        )
        made.save(tmp_path / "architecture.json")
        assert architecture.load(tmp_path / "architecture.json").to_json() == made.to_json()
        documented.check("architecture.json", read(tmp_path / "architecture.json"))


def test_a_latency_table_and_a_plan(tmp_path):
    table = make_latencies(ModelConfig())
    documented.check("latency.json", table.to_json())
    cost = baselines.Cost.linear("latency", lambda blocks: table.milliseconds(blocks, "inference"))
    documented.check("plan.json", plan.Draw("search", "ad", 2, "latency", cost, 0.05, 0).to_json())
