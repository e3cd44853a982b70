"""Composed models: equal to their parts bit for bit, and what can't be composed."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

import par
from composed import TEXT, are_equal, of, on_base, runs, sources, values
from par.composing import network
from par.composing.settings import composed_config
from par.core.errors import UsageError
from par.evaluate.trained_model import Model
from par.objectives.settings import AuthorsSettings
from par.train import run_config
from par.train.run_config import RunConfig
from small import random_run, small_config, trainer


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs, and what is composed of them; not to be changed."""
    found = runs(tmp_path_factory.mktemp("composing"))
    found.models = {name: par.load(found.root / name) for name in ("causal", "masked", "search")}
    found.states = {name: model.embed(TEXT) for name, model in found.models.items()}
    return found


def composed(made, *names: str) -> Model:
    """The runs of these names as a composed model, written and read again."""
    output = made.root / f"of_{'_'.join(names)}"
    if not output.exists():
        learners = [made.models[name].learner for name in names]
        learner = network.composed(sources(*(made.root / name for name in names)), learners)
        network.save(learner, output, made.data)
    return par.load(output)


@pytest.mark.parametrize("name", ["causal", "masked", "search"])
def test_composed_of_one_it_is_that_one(made, name):
    np.testing.assert_array_equal(composed(made, name).embed(TEXT), made.states[name])


def test_the_states_are_those_of_the_parts_side_by_side(made):
    model = composed(made, "masked", "search", "causal")
    states = model.embed(TEXT)
    assert (
        states.shape == (len(made.states["causal"]), 24 + 8 + 16)
        and model.config.model.d_model == 48
    )
    parts = [made.states[name] for name in ("masked", "search", "causal")]
    np.testing.assert_array_equal(states, np.concatenate(parts, axis=-1))


def test_a_composed_model_can_be_composed_again(made):
    two = composed_dir(made, "causal", "search")
    learners = [par.load(two).learner, made.models["masked"].learner]
    twice = network.composed(sources(two, made.masked), learners)
    assert [part.name for part in twice.config.base.stack.parts] == ["causal", "search", "masked"]
    once = composed(made, "causal", "search", "masked")
    assert are_equal(twice.base.arrays(), once.learner.base.arrays())


def composed_dir(made, *names: str):
    composed(made, *names)
    return made.root / f"of_{'_'.join(names)}"


def test_it_does_not_need_its_parts(made, tmp_path):
    masked = shutil.copytree(made.masked, tmp_path / "masked")
    learner = network.composed(sources(masked), [made.models["masked"].learner])
    network.save(learner, tmp_path / "alone", made.data)
    shutil.rmtree(masked)
    np.testing.assert_array_equal(par.load(tmp_path / "alone").embed(TEXT), made.states["masked"])


def test_windows_and_memory_are_the_longest_of_the_parts(made):
    longer = small_config(made.data, "a", mem_len=9)
    authors = of(small_config(made.data, "a"), "authors", doc_len=17)
    few = [
        dataclasses.replace(source, config=config)
        for source, config in zip(
            sources(made.causal, made.masked, made.search),
            (made.configs["causal"], longer, authors),
        )
    ]
    config = composed_config(few)
    assert (config.data.seq_len, config.model.mem_len) == (17, 9)
    assert isinstance(authors.objective_settings, AuthorsSettings)
    assert [part.model.mem_len for part in config.base.stack.parts] == [5, 9, 0]


def test_the_settings_come_back_from_config_json(made):
    directory = composed_dir(made, "causal", "masked")
    config, data = run_config.load(directory)
    assert data == made.data
    parts = config.base.stack.parts
    assert [(p.name, p.blocks, p.visibility, p.run) for p in parts] == [
        ("causal", "ada", "causal", "causal"),
        ("masked", "da", "bidirectional", "masked"),
    ]
    assert config.network == "causal + masked"
    assert composed(made, "causal", "masked").config == config


def test_towers_on_one_base_share_it(made):
    config = on_base(of(small_config(made.data, "d"), "masked_lm"), made.causal)
    towers = []
    for name, seed in (("one", 1), ("two", 2)):
        run = made.root / name
        own = config.with_seed(seed)
        if not run.exists():
            own.save(run, made.data)
            started = trainer(run, own, made.data, base_run=made.causal)
            started._save()
        towers.append(run)
    model = composed(made, "causal")
    learners = [par.load(run).learner for run in towers]
    both = network.composed(sources(*towers), learners)
    stack = both.config.base.stack
    assert stack.text == "one + two on causal"
    assert are_equal(values(both.base.named["causal"]), values(model.trunk.base.named["causal"]))
    states = Model(both.config, both, model.tokenizer).embed(TEXT)
    parts = [par.load(run).embed(TEXT) for run in towers]
    np.testing.assert_array_equal(states, np.concatenate(parts, axis=-1))
    for other, said in (
        (made.masked, "one stands on the base causal, but masked on none"),
        (made.causal, "one stands on the base causal, but causal on none"),
    ):
        with pytest.raises(UsageError, match=said):
            composed_config(sources(towers[0], other))


def test_towers_whose_bases_have_other_weights_are_refused_with_both_hashes(made):
    config = on_base(of(small_config(made.data, "d"), "masked_lm"), made.causal)
    learners = []
    for number in range(2):
        run = trainer(made.root / "none", config, made.data, base_run=made.causal)
        if number:
            weight = run.learner.base.weights[3]
            weight.assign(np.nextafter(weight.numpy(), np.float32(9)))
        learners.append(run.learner)
    named = [dataclasses.replace(source, run=run) for source, run in zip(_of(config, 2), "pq")]
    with pytest.raises(UsageError, match=r"p and q do not stand on the same base.*[0-9a-f]{64}"):
        network.composed(named, learners)


def _of(config: RunConfig, count: int) -> list:
    from par.composing.settings import Source

    return [Source(f"run{i}", config, "last", 1, f"tower{i}") for i in range(count)]


def test_bases_of_other_networks_are_refused(made):
    small = small_config(made.data, "d")
    one, other = (on_base(of(small, "masked_lm"), run) for run in (made.causal, made.masked))
    named = [*_of(one, 1), dataclasses.replace(_of(other, 1)[0], run="run1", name="t1")]
    with pytest.raises(UsageError, match="run0 stands on the base causal, but run1 on another, m"):
        composed_config(named)


@pytest.mark.parametrize("change", [{"tokenizer_sha256": "a" * 64}, {"vocab_size": 41}])
def test_other_tokenizers_are_refused_with_both_hashes(made, change):
    both = sources(made.causal, made.masked)
    config = both[1].config
    other = dataclasses.replace(config, data=dataclasses.replace(config.data, **change))
    both[1] = dataclasses.replace(both[1], config=other)
    own = config.data.tokenizer_sha256
    with pytest.raises(UsageError, match=f"causal has the tokenizer of SHA-256 {own} .*masked"):
        composed_config(both)


def test_one_name_for_two_parts_is_refused(made):
    with pytest.raises(UsageError, match="two parts are called 'causal'"):
        composed_config(sources(made.causal, made.causal))


def test_nothing_is_not_composed():
    with pytest.raises(UsageError, match="nothing to compose"):
        composed_config([])


def test_fresh_weights_are_other_ones_for_every_part(made):
    model = composed(made, "causal", "masked").untrained()
    a, b = (trunk.embedding.numpy() for trunk in model.trunk.base.named.values())
    assert not np.array_equal(a, b[:, :16])
    assert not np.array_equal(a, made.models["causal"].trunk.embedding.numpy())


def test_the_layer_of_keras_has_the_states_of_windows_without_memory(made):
    layer = par.compose([made.models["causal"], made.root / "masked"], unfreeze=["masked"])
    tokens = made.models["causal"].encode(TEXT)[None, :8]
    parts = [
        model.trunk(tokens, model.trunk.empty_memories(1, 0), **model._seen)[0]
        for model in (made.models["causal"], made.models["masked"])
    ]
    np.testing.assert_array_equal(layer(tokens), np.concatenate(parts, axis=-1))
    assert len(layer.trainable_variables) == len(layer.named["masked"].weights)
    layer.weights[0].assign_add(layer.weights[0])  # a copy
    assert not np.array_equal(layer.weights[0], made.models["causal"].trunk.weights[0])


def test_one_model_in_the_place_of_a_list_is_refused(made):
    with pytest.raises(UsageError, match="must be a list"):
        par.compose(made.models["causal"])


def test_a_network_with_a_table_that_it_shares_is_copied_as_it_is_used(made):
    shared = of(
        small_config(made.data, "ad"),
        "span_electra",
        share_embeddings="gdes",
        generator_blocks="d",
    )
    run = random_run(made.root / "electra", shared, made.data)
    model = par.load(run)
    alone = network.composed(sources(run), [model.learner])
    states = Model(alone.config, alone, model.tokenizer).embed(TEXT)
    np.testing.assert_array_equal(states, model.embed(TEXT))
