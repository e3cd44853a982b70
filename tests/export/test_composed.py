"""Exports of towers and of composed models compute what the library does."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import documented
import par
from built import tiny_data
from composed import of, on_base, sources
from par.composing import network
from par.export import formats, self_check
from par.export.array_functions import Library
from par.export.plain import plain
from project import refused
from shipped_run import require, source
from small import random_run, small_config, trainer

TEXTS = ("the cat sees the dog .\nthe crow", "", "the cat " * 20)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> SimpleNamespace:
    """A composed model of a causal network and of a search in bfloat16, and a tower on it."""
    root = tmp_path_factory.mktemp("composed")
    data = tiny_data(root)
    causal = random_run(root / "causal", small_config(data, "ad"), data)
    masked = of(small_config(data, "sa", d_model=24, precision="bf16"), "masked_lm")
    masked = random_run(root / "masked", masked, data)
    both = root / "both"
    learners = [par.load(run).learner for run in (causal, masked)]
    network.save(network.composed(sources(causal, masked), learners), both, data)
    config = on_base(of(small_config(data, "a"), "masked_lm"), both)
    config.save(root / "tower", data)
    begun = trainer(root / "tower", config, data, base_run=both)
    for number, weight in enumerate(begun.learner.weights):
        weight.assign(np.random.default_rng(number).normal(0, 0.4, weight.shape))
    begun._save()
    return SimpleNamespace(both=both, tower=root / "tower", root=root)


@pytest.mark.parametrize("name", ["both", pytest.param("tower", marks=pytest.mark.slow)])
def test_the_savedmodel_embeds_as_the_library(made, call, name):
    run, output = getattr(made, name), made.root / f"{name}-exported"
    done = call("export", f"--run={run}", f"--output={output}", "--evaluate_as=soft")
    assert done.code == 0, done.err
    documented.check_files("Export", output)
    model, loaded = par.load(run), tf.saved_model.load(str(output))
    states = loaded.embed(tf.constant(TEXTS))["states"]
    np.testing.assert_allclose(states, model.embed(TEXTS), atol=2e-2)  # products in bfloat16
    assert hasattr(loaded, "fill") == (name == "tower")
    card = (output / "README.md").read_text()
    kind = "part" if name == "both" else "base"
    assert (
        f"- {kind} causal: `ad`, width 16" in card and f"- {kind} masked: `sa`, width 24" in card
    )
    assert ("## Scores" in card) == ("valid" in done.out) == (name == "tower")


def test_float32_is_that_of_all_parts(made):
    model = par.load(made.both)
    exact = plain(model)
    assert {part.model.precision for part in exact.config.base.stack.parts} == {"f32"}
    both = (each.learner.base.arrays() for each in (exact, model))
    assert all(map(np.array_equal, *both))


@pytest.mark.parametrize("name", ["both", pytest.param("tower", marks=pytest.mark.slow)])
def test_litert_computes_it(made, name):
    require("ai_edge_litert", extra="litert")
    compute(made, name, "litert")


@pytest.mark.parametrize("name", [pytest.param("both", marks=pytest.mark.slow), "tower"])
def test_onnx_computes_it(made, name):
    require("tf2onnx", "onnx", "onnxruntime", extra="onnx")
    compute(made, name, "onnx")


def compute(made, name: str, format: str) -> None:
    """Fails unless a format computes what the library does."""
    model = par.load(getattr(made, name))
    directory = made.root / f"{name}-{format}"
    directory.mkdir()
    of_format = source(model, made.root / "data")
    written = formats.FORMATS[format].load().write(of_format, directory)
    sample = self_check.Sample(of_format.plain, of_format.streams["valid"])
    differences = self_check.check(
        sample, Library(of_format.plain), written.backend, format, self_check.TOLERANCE
    )
    assert max(differences.values()) < 1e-5


def test_formats_of_one_trunk_are_refused(made, call, tmp_path):
    done = call(
        "export", f"--run={made.tower}", f"--output={tmp_path}/out", "--format=safetensors"
    )
    refused(done, 1, "has no networks that read a base", "use savedmodel, onnx, litert")
    assert not (tmp_path / "out").exists()
