"""Two stages: what a SpanELECTRA run takes from a masked one, or from another of its kind, and
what can't be trained from there."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from par.core.errors import SettingError, UsageError
from par.objectives.electra_settings import SpanElectraSettings
from par.train import run_config, warm_start, weight_transfer
from par.train.learner import Learner
from small import bigrams, small_config, small_data

ASKED = run_config.Origin("masked", "last", 1, "0" * 64)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "chain", bigrams, train=700, valid=200)


def config(data_dir, blocks="ad", init=None, model=None, **settings):
    own = small_config(data_dir, blocks, **model or {})
    electra = SpanElectraSettings(**{"generator_blocks": "ad"} | settings)
    return dataclasses.replace(
        own, objective="span_electra", objective_settings=electra, init=init
    )


def shaken(own):
    """A network whose weights are all random."""
    learner = Learner(own)
    for number, layer in enumerate(learner.objective.layers.values()):
        draw = np.random.default_rng(number)
        for weight in layer.weights:
            weight.assign(draw.normal(0, 0.3, weight.shape))
    return learner


@pytest.fixture(scope="module")
def masked(data_dir):
    return shaken(dataclasses.replace(small_config(data_dir, "ss"), objective="masked_lm"))


def taken(source, own):
    """The layers of a run that begins with the weights of another."""
    warm_start.check_settings(own, source.config, own.init)
    learner = Learner(own)
    weight_transfer.copy_weights(learner, source, own.places, own.init.layers)
    return learner.objective.layers


def equal(one, other):
    for mine, theirs in zip(one.variables, other.variables, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def differ(one, other):
    assert any(
        mine.shape != theirs.shape or (mine.numpy() != theirs.numpy()).any()
        for mine, theirs in zip(one.variables, other.variables)
    )


def test_the_discriminator_takes_the_trunk_of_a_masked_run_and_so_does_a_generator_of_its_width(
    data_dir, masked
):
    derived = weight_transfer.derive_network(masked, "ad").objective
    small = taken(masked, config(data_dir, init=ASKED))
    equal(small["trunk"], derived.trunk)
    differ(small["generator"], derived.trunk)
    wide = taken(masked, config(data_dir, init=ASKED, generator="frozen", generator_share=1.0))
    for name, of in (("trunk", derived.trunk), ("generator", derived.trunk)):
        equal(wide[name], of)
    equal(wide["generator_head"], derived.head)
    # its blocks are its own
    other = {"generator": "joint", "generator_share": 1.0, "generator_blocks": "da"}
    turned = taken(masked, config(data_dir, init=ASKED, **other))
    equal(turned["generator"], weight_transfer.derive_network(masked, "da").objective.trunk)
    equal(turned["trunk"], derived.trunk)


def test_a_search_takes_all_branches(data_dir, masked):
    searched = taken(masked, config(data_dir, "ss", init=ASKED))["trunk"]
    for mine, theirs in zip(searched.blocks, masked.objective.trunk.blocks, strict=True):
        equal(mine, theirs)


@pytest.mark.parametrize("share", ["tied", "gdes"])
@pytest.mark.parametrize("layers", ["all", "trunk"])
def test_a_shared_table_begins_as_that_of_the_source(data_dir, masked, share, layers):
    init = dataclasses.replace(ASKED, layers=layers)
    found = taken(masked, config(data_dir, init=init, share_embeddings=share))
    table = masked.objective.trunk.embedding.numpy()
    np.testing.assert_allclose(found["trunk"].table(), table, atol=1e-6)
    if share == "gdes" and layers == "all":
        np.testing.assert_array_equal(found["generator"].embedding, table)
        assert not np.asarray(found["trunk"].embedding).any()


@pytest.mark.parametrize("share", ["none", "tied", "gdes"])
def test_a_run_of_the_same_objective_gives_all_and_a_derived_network_has_the_searchs(
    data_dir, share
):
    source = shaken(config(data_dir, "ss", share_embeddings=share))
    again = config(data_dir, init=ASKED, share_embeddings=share)
    found, derived = taken(source, again), weight_transfer.derive_network(source, "ad").objective
    assert set(found) == set(source.objective.layers)
    for name, layer in found.items():
        equal(layer, derived.layers[name])
        if name != "trunk":
            equal(layer, source.objective.layers[name])
    if share == "gdes":  # to a plain table goes the sum
        plain = taken(
            source,
            dataclasses.replace(config(data_dir, init=dataclasses.replace(ASKED, layers="trunk"))),
        )
        np.testing.assert_allclose(
            plain["trunk"].embedding, source.objective.trunk.table(), rtol=1e-6
        )


def test_what_does_not_fit_is_refused_in_a_line(data_dir, masked):
    def refused(own, source=masked.config):
        with pytest.raises(UsageError) as error:
            warm_start.check_settings(own, source, own.init)
        return str(error.value)

    frozen = {"init": ASKED, "generator": "frozen"}
    needs = "generator=frozen needs trained weights: give --init_from=RUN of span_electra, or"
    assert needs in refused(config(data_dir, **frozen))
    trunk = dataclasses.replace(ASKED, layers="trunk")
    assert needs in refused(config(data_dir, **frozen | {"init": trunk, "generator_share": 1.0}))
    contract = masked.config.contract
    assert contract.check_source(masked.config, None, "") is None
    with pytest.raises(SettingError, match="a comparison, which trains from random weights"):
        own = config(data_dir, generator="frozen")
        own.contract.check_source(own, None, "")
    assert "generator_blocks aaa can't take" in refused(
        config(data_dir, **frozen | {"generator_share": 1.0, "generator_blocks": "aaa"})
    )
    # the softmax is taken by a generator of the same width alone
    cut = {"model": {"cutoffs": (20,)}, "init": ASKED}
    assert "model.cutoffs" in refused(config(data_dir, generator_share=1.0, **cut))
    warm_start.check_settings(config(data_dir, **cut), masked.config, ASKED)
    causal = small_config(data_dir, "ss")
    assert "objective: causal_lm -> span_electra" in refused(config(data_dir, init=ASKED), causal)
    own = config(data_dir, init=ASKED, sbpo=False)
    assert "objective.sbpo: True -> False" in refused(own, config(data_dir))


@pytest.mark.slow
def test_a_frozen_generator_stays_as_it_was_and_a_comparison_is_refused(data_dir, tmp_path, call):
    """By the commands: a masked run, the two-stage run, and what it keeps."""
    from small import NETWORK

    common = (f"--data={data_dir}", "--cutoffs=none", *NETWORK, "--epochs=1")
    masked, run = tmp_path / "masked", tmp_path / "electra"
    first = call("train", "--objective=masked_lm", "--architecture=ss", f"--run={masked}", *common)
    assert first.code == 0, first.err
    flags = ("--objective=span_electra", "--generator=frozen", "--generator_blocks=ad")
    alone = call("train", *flags, "--architecture=ss", f"--run={run}", *common)
    assert alone.code == 1 and "needs trained weights" in alone.err and not run.exists()
    flags += ("--generator_share=1", f"--init_from={masked}")
    done = call("train", *flags, "--architecture=ss", f"--run={run}", *common)
    assert done.code == 0, done.err
    assert "does not beat the bigram detector" in done.err
    from par.train import loading

    learners = [loading.load_learner(path, run_config.load(path)[0]) for path in (masked, run)]
    derived = weight_transfer.derive_network(learners[0], "ad").objective
    equal(learners[1].objective.layers["generator"], derived.trunk)
    differ(learners[1].objective.trunk, learners[0].objective.trunk)
    found = call("evaluate", f"--run={run}", "--split=test")
    assert found.code == 0 and "AUC of the bigram detector" in found.out, found.err
    assert "warning: ss soft does not beat the bigram detector on test" in found.out
    assert "ss argmax, test: AUC -" in found.out and " to the bigram detector" in found.out
    value = json.loads(call("evaluate", f"--run={run}", "--split=test", "--json").out)
    assert set(value["results"][0]["ahead"]["auc"]) == {"mean", "low", "high"}
    assert call("derive", f"--run={run}").code == 0
    compared = call("compare", f"--run={run}")
    assert compared.code == 1 and "a comparison, which trains from random" in compared.err
    page = call("report", f"--run={run}")
    assert page.code == 0 and "AUC of replaced tokens" in (run / "report.html").read_text()
