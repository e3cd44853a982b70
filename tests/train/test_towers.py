"""Networks trained on a base: what stays, what moves, how they continue, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest

import final_state
import par
from composed import TEXT, are_equal, of, on_base, runs, sources, values
from par.composing import network
from par.core.errors import DataError, StoppedError, UsageError
from par.evaluate.compare import runner
from par.nn.base import Base
from par.search import derive
from par.search.architecture import Architecture
from par.search.latency_table import NO_BASE
from par.train import base_run, elements, run_config, weight_transfer
from small import small_config, trainer
from tables import make_latencies


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs, and a composed model of two of them on which towers are trained; not to be changed."""
    found = runs(tmp_path_factory.mktemp("towers"))
    learners = [par.load(run).learner for run in (found.causal, found.masked)]
    found.both = found.root / "both"
    both = network.composed(sources(found.causal, found.masked), learners)
    network.save(both, found.both, found.data)
    found.before = {name: values(trunk) for name, trunk in both.base.named.items()}
    return found


def tower(made, blocks: str = "ad", objective: str = "masked_lm", **settings):
    """The settings of a tower on the composed model."""
    frozen, unfreeze = settings.pop("frozen", True), settings.pop("unfreeze", ())
    share = {"share_embeddings": settings.pop("share")} if "share" in settings else {}
    own = of(small_config(made.data, blocks, epochs=1, **settings), objective, **share)
    return on_base(own, made.both, frozen, unfreeze)


def moved(learner, before) -> dict[str, bool]:
    """Whether the weights of each part are others than before."""
    named = learner.base.named
    return {name: not are_equal(values(trunk), before[name]) for name, trunk in named.items()}


@pytest.fixture(scope="module")
def trained(made):
    """A trained tower on a frozen base."""
    run = trainer(made.root / "tower", tower(made), made.data, base_run=made.both, log_every=9)
    fresh = values(run.learner.objective.trunk)
    run.config.save(run.run_dir, made.data)
    run.run()
    run.fresh = fresh
    return run


def test_a_frozen_base_stays_as_it_is_and_the_tower_learns(made, trained):
    assert moved(trained.learner, made.before) == {"causal": False, "masked": False}
    after = values(trained.learner.objective.trunk)
    assert all(not np.array_equal(a, b) for a, b in zip(after, trained.fresh, strict=True))
    frozen = {id(v) for v in trained.learner.base.weights}
    assert not frozen & set(map(id, trained.learner.weights))
    # nor has its optimizer a moment for any of them
    slots = [tuple(v.shape) for v in trained.learner.weight_optimizer.variables]
    own = [tuple(v.shape) for v in trained.learner.weights] * 2
    assert sorted(shape for shape in slots if shape) == sorted(own)


def test_the_run_carries_its_base(made, trained, tmp_path):
    alone = shutil.copytree(trained.run_dir, tmp_path / "tower")
    config, _ = run_config.load(alone)
    assert config == trained.config and config.base.text == "causal + masked (frozen)"
    model = par.load(alone, data=made.data)
    assert are_equal(model.learner.base.arrays(), trained.learner.base.arrays())
    assert model.embed(TEXT).shape == (16, 16)
    log = (alone / "training_log.log").read_text()
    said = "base: causal + masked (frozen), of both, last checkpoint, step 1, SHA-256"
    assert f"{said} {config.base.sha256}" in log


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"unfreeze": ["masked"]}, {"causal": False, "masked": True}),
        pytest.param({"frozen": False}, {"causal": True, "masked": True}, marks=pytest.mark.slow),
    ],
    ids=["one part", "all"],
)
def test_parts_that_are_not_frozen_move(made, settings, expected):
    run = trainer(made.root / "none", tower(made, **settings), made.data, base_run=made.both)
    assert moved(run.learner, made.before) == {"causal": False, "masked": False}
    run.learner.train(_windows(run, made), np.int32(3))
    assert moved(run.learner, made.before) == expected
    for name, is_moved in expected.items():
        if is_moved:  # every one of its weights
            pairs = zip(values(run.learner.base.named[name]), made.before[name], strict=True)
            assert not any(np.array_equal(a, b) for a, b in pairs)


def _windows(run, made):
    return iter(elements.of_epoch(run.learner, made.data, run.manifest, 0))


@pytest.mark.parametrize(
    ("objective", "settings"),
    [
        ("causal_lm", {}),
        pytest.param("span_electra", {}, marks=pytest.mark.slow),
        ("masked_lm", {}),
    ],
)
def test_any_objective_trains_on_a_base(made, objective, settings):
    config = of(small_config(made.data, "s", epochs=1), objective, **settings)
    config = on_base(config, made.causal)
    run = trainer(made.root / "none", config, made.data, base_run=made.causal)
    before, alpha = values(run.learner.base), run.learner.logits[0].numpy()
    rows = run.learner.train(_windows(run, made), np.int32(2)).numpy()
    assert np.isfinite(rows).all()
    assert are_equal(values(run.learner.base), before)
    assert not np.array_equal(run.learner.logits[0].numpy(), alpha)  # a search inside the tower


@pytest.mark.slow
def test_a_tower_that_was_stopped_equals_one_that_was_not(made, trained, tmp_path):
    config, how = trained.config, {"base_run": made.both, "log_every": 9}
    with pytest.raises(StoppedError):
        first = trainer(tmp_path / "tower", config, made.data, **how)
        first.run(should_stop=lambda step: step >= 10)
    # the base's run is not read again
    last = trainer(tmp_path / "tower", config, made.data, **how | {"base_run": None})
    last.run()
    assert final_state.differences(tmp_path / "tower", trained.run_dir) == []


@pytest.mark.slow
def test_a_part_that_is_trained_continues_bit_for_bit(made, tmp_path):
    config, how = tower(made, unfreeze=["causal"]), {"base_run": made.both}
    trainer(tmp_path / "whole", config, made.data, **how).run(until=12)
    trainer(tmp_path / "parted", config, made.data, **how).run(until=7)
    trainer(tmp_path / "parted", config, made.data).run(until=12)
    whole, parted = (final_state.tensors(tmp_path / name, "last") for name in ("whole", "parted"))
    # TensorFlow names weights that are trained by their place in the optimizer
    frozen = sum(name.startswith("base/") for name in whole)
    assert whole.keys() == parted.keys() and frozen >= len(made.before["masked"])
    for name, value in whole.items():
        if "note" not in name and "save_counter" not in name:
            np.testing.assert_array_equal(value, parted[name], err_msg=name)


def test_a_derived_network_has_the_base_of_its_search(made):
    config = tower(made, "ss")
    run = trainer(made.root / "none", config, made.data, base_run=made.both)
    derived = weight_transfer.derive_network(run.learner, derive.argmax(run.learner.pi.tolist()))
    assert are_equal(values(derived.base), values(run.learner.base))


def test_a_latency_table_is_for_one_base(made):
    config = tower(made)
    shape, plain = config.latency_shape, dataclasses.replace(config, base=None).latency_shape
    assert plain.base == NO_BASE and shape.base.startswith("ada + da (")
    table = make_latencies(shape.model, **shape._asdict())
    assert table.misfits("inference", tower(made, seed=5).latency_shape) == []
    for other in (plain, tower(made, unfreeze=["causal"]).latency_shape):
        with pytest.raises(DataError, match=r"is for another shape \(base ada \+ da \("):
            table.check_fits("training_step", other, "table")


def test_a_network_is_compared_with_a_search_on_the_base_that_the_search_carries(
    made, trained, tmp_path
):
    config = dataclasses.replace(trained.config, architecture=Architecture("a"))
    run = tmp_path / "run"
    runner.train(run, config, made.data, print, base_run=trained.run_dir, until=2, quiet=True)
    assert moved(par.load(run).learner, made.before) == {"causal": False, "masked": False}
    assert "--base=both" in (run / "flags.txt").read_text().splitlines()


def test_a_tower_is_a_base(made, trained):
    config = on_base(of(small_config(made.data, "a"), "masked_lm"), trained.run_dir)
    assert config.base.stack.text == "tower on causal + masked"
    run = trainer(made.root / "none", config, made.data, base_run=trained.run_dir)
    named = run.learner.base.named
    assert are_equal(values(named["tower"]), values(trained.learner.objective.trunk))
    assert all(are_equal(values(named[name]), was) for name, was in made.before.items())


def test_a_base_that_was_trained_further_meanwhile_is_refused(made, tmp_path):
    base = shutil.copytree(made.causal, tmp_path / "causal")
    config = on_base(of(small_config(made.data, "a"), "masked_lm"), base)
    later = par.load(made.causal).learner
    run = trainer(base, later.config, made.data)
    run.step = 5
    run.learner.step.assign(5)
    run._save()
    with pytest.raises(DataError, match=r"not those that were asked for \(step: 0 -> 5, SHA-256"):
        trainer(tmp_path / "tower", config, made.data, base_run=base)


REFUSED = [
    ({"objective": "causal_lm"}, {}, "part masked of the base sees tokens after it"),
    ({}, {"tie_embeddings": True}, "tie_embeddings needs embeddings of the network's own"),
    ({"objective": "span_electra", "share": "tied"}, {}, "share_embeddings=.* needs embeddings"),
    ({"unfreeze": ["other"]}, {}, "--unfreeze=other is not a part of the base, which has causal"),
    ({"unfreeze": ["causal"], "frozen": False}, {}, "all of it is trained"),
]


@pytest.mark.parametrize(("about", "settings", "said"), REFUSED)
def test_what_can_not_stand_on_a_base_is_refused(made, about, settings, said):
    with pytest.raises(UsageError, match=said):
        tower(made, **about, **settings)


def test_the_base_is_a_part_of_what_must_not_change(made, trained):
    other = tower(made, unfreeze=["masked"])
    found = run_config.differences(trained.config, other)
    assert found == ["base.unfreeze: [] -> ['masked']"]
    assert other.default_name() != trained.config.default_name()


def test_the_name_of_a_run_does_not_depend_on_the_state_of_its_base(made, trained):
    asked = base_run.requested_base(made.both, "last", True, ())
    unread = dataclasses.replace(trained.config, base=asked)
    assert unread.default_name() == trained.config.default_name()
    again = base_run.with_base(unread, made.root / "gone" / "both", trained.run_dir)
    assert again == trained.config
    with pytest.raises(DataError, match=r"gone/both has no config\.json"):
        base_run.with_base(unread, made.root / "gone" / "both", None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parts": []}, "at least one part"),
        ({"parts": 3}, "list of lists"),
        ({"frozen": 1}, "frozen"),
        ({"unfreeze": ["x"]}, "not a part of the base"),
        ({"sha256": "x"}, "not a SHA-256"),
        ({"more": 1}, "exactly the keys"),
    ],
)
def test_a_damaged_base_is_refused_before_a_network_is_made(made, trained, tmp_path, change, said):
    path = shutil.copytree(trained.run_dir, tmp_path / "tower") / "config.json"
    value = json.loads(path.read_text())
    assert Base.from_json(value["base"]) == trained.config.base
    value["base"] |= change
    path.write_text(json.dumps(value))
    with pytest.raises(DataError, match=said):
        run_config.load(path.parent)


def test_the_cost_of_a_step_has_that_of_the_base(made, trained):
    assert [(of.blocks, of.predicted, of.is_trained) for of in trained.config.helpers] == [
        ("ada", 0, False),
        ("da", 0, False),
    ]


def test_a_base_that_two_networks_read_costs_twice(made):
    def below(**settings):
        found = tower(made, objective="span_electra", share="none", **settings).helpers[1:]
        return [(of.blocks, of.is_trained) for of in found]

    assert below() == [("ada", False), ("da", False)] * 2  # generator and discriminator
    assert below(unfreeze=["masked"]) == [("ada", False), ("da", True)] * 2
