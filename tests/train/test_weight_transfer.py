"""A network with another's weights: it computes what the other's argmax does, all of its own are
replaced, and what does not fit is refused."""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

import final_state
from par.core.config import LoggingConfig
from par.core.errors import DataError, StoppedError, UsageError
from par.data import manifest
from par.evaluate import evaluation
from par.objectives.settings import MaskedLMSettings
from par.train import loading, run_config, warm_start, weight_transfer
from par.train.learner import Learner
from small import RATES, SHAPE, small_config, small_data, trainer

CUTOFFS = {"cutoffs": (20, 30), "proj_factor": 2.0}
ASKED = run_config.Origin("search", "last", 1, "0" * 64)


@pytest.fixture(scope="module", autouse=True)
def deterministic_ops():
    tf.config.experimental.enable_op_determinism()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies", train=1_000, valid=200)


def shaken(config: run_config.RunConfig) -> Learner:
    """A network whose weights are all random, gains and biases too, and whose logits prefer i, a,
    d and so on in turn."""
    learner = Learner(config)
    draw = np.random.default_rng(3)
    for variable in learner.weights:
        variable.assign(
            draw.normal(0.0, 0.3, variable.shape) + (1.0 if variable.name == "gain" else 0.0)
        )
    for alpha in learner.logits:
        alpha.assign(np.eye(3)[np.arange(alpha.shape[0]) % 3][:, [1, 2, 0]])
    return learner


def score(learner: Learner, data_dir, way: str) -> float:
    return evaluation.score(learner, data_dir, manifest.load(data_dir), "valid", way)[
        "nll_per_token"
    ]


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "settings",
    [{"norm": "pre"}, {"norm": "post", "tie_embeddings": True, **CUTOFFS}],
    ids=lambda values: values["norm"],
)
def test_the_derived_network_with_inherited_weights_is_the_supernet_s_argmax(data_dir, settings):
    supernet = shaken(small_config(data_dir, "ssads", **settings))  # mem_len 5: with memory
    derived = weight_transfer.derive_network(supernet, "iaadd")
    assert score(derived, data_dir, "fixed") == pytest.approx(
        score(supernet, data_dir, "argmax"), rel=1e-6
    )
    other = weight_transfer.derive_network(supernet, "aaadd")
    # the blocks matter at these weights
    assert abs(score(other, data_dir, "fixed") - score(supernet, data_dir, "argmax")) > 1e-3


@pytest.mark.parametrize("norm", ["pre", "post"])
@pytest.mark.parametrize("blocks", ["adi", "sds"])
def test_every_weight_of_a_network_is_at_a_place_and_takes_the_source_s(data_dir, norm, blocks):
    source = shaken(small_config(data_dir, "sss", norm=norm, **CUTOFFS))
    learner = Learner(small_config(data_dir, blocks, norm=norm, **CUTOFFS))
    placed = [
        v
        for variables in weight_transfer.weights_by_place(learner.objective.layers).values()
        for v in variables
    ]
    assert {id(v) for v in placed} == {id(v) for v in learner.weights}
    weight_transfer.copy_weights(learner, source, blocks)
    given = [np.asarray(v) for v in source.weights]
    for variable in learner.weights:
        assert any(
            value.shape == variable.shape and (value == np.asarray(variable)).all()
            for value in given
        ), variable.name
    assert (
        all((np.asarray(alpha) == 0).all() for alpha in learner.logits)
        and int(learner.step.numpy()) == 0
    )


FITS = [
    ("aid", "sss"),
    ("sds", "sss"),
    ("aii", "asd"),
    ("ddd", "sds"),
    ("iii", "aid"),
    ("addi", "add"),
]
REFUSED = [
    ("aadd", "sss", "there are 4 blocks and 3"),
    ("add", "sad", "block 2 is d, and a does not hold that"),
    ("sdd", "add", "block 1 is s, and a does not hold that"),
    ("aia", "aii", "block 3 is a, and i does not hold that"),
]


@pytest.mark.parametrize(("blocks", "source"), FITS)
def test_a_block_takes_what_its_place_holds(blocks, source):
    warm_start.check_blocks(blocks, source, "search")


@pytest.mark.parametrize(("blocks", "source", "why"), REFUSED)
def test_a_block_that_its_place_does_not_hold_is_refused_with_both_strings(blocks, source, why):
    with pytest.raises(
        UsageError,
        match=(
            rf"blocks {blocks} can't take the weights of run search, whose blocks are {source}:"
            rf" {why}"
        ),
    ):
        warm_start.check_blocks(blocks, source, "search")


def test_whatever_gives_a_shape_or_a_meaning_must_be_the_source_s(data_dir):
    source = small_config(data_dir, "sss", **CUTOFFS)
    fits = small_config(
        data_dir,
        "aid",
        mem_len=9,
        dropout_rate=0.3,
        precision="bf16",
        init_std=0.5,
        epochs=7,
        seed=5,
        max_lr=1e-4,
        **CUTOFFS,
    )
    warm_start.check_settings(fits, source, ASKED)
    others = {
        "d_model": 32,
        "num_heads": 4,
        "d_ffn": 25,
        "norm": "post",
        "cutoffs": (20, 31),
        "proj_factor": 3.0,
        "proj_dims": (8, 2),
    }
    others |= {"tie_embeddings": True}
    names = {field.name for field in dataclasses.fields(source.model)}
    names.remove("downsample")  # which a causal run can't have: tests/nn/test_resampling.py
    assert set(others) | set(warm_start.FREE) == names, (
        "a new setting of the network: does it change what weights mean?"
    )
    for name, value in others.items():
        config = small_config(data_dir, "aid", **CUTOFFS | {name: value})
        was, now = source.model.to_json()[name], config.model.to_json()[name]
        with pytest.raises(UsageError) as caught:
            warm_start.check_settings(config, source, ASKED)
        assert f"the weights of run search do not fit (model.{name}: {was} -> {now})" in str(
            caught.value
        )
    for name, value in (("vocab_size", 41), ("tokenizer_sha256", "0" * 64)):
        config = dataclasses.replace(fits, data=dataclasses.replace(fits.data, **{name: value}))
        with pytest.raises(
            UsageError, match=rf"\(data.{name}: {getattr(source.data, name)} -> {value}\)"
        ):
            warm_start.check_settings(config, source, ASKED)


@pytest.fixture(scope="module")
def source(tmp_path_factory, data_dir):
    """The directory of a finished search of one epoch."""
    run_dir = tmp_path_factory.mktemp("runs") / "search"
    config = small_config(data_dir, "sss", epochs=1)
    config.save(run_dir, data_dir)
    trainer(run_dir, config, data_dir).run()
    return run_dir


def weights_of(learner: Learner) -> list[np.ndarray]:
    return [np.asarray(variable) for variable in learner.weights]


def test_a_network_takes_the_weights_of_the_places_at_which_it_is_spelled(data_dir):
    source = shaken(small_config(data_dir, "sss"))
    spelled = {
        blocks: dataclasses.replace(
            small_config(data_dir, blocks), init=run_config.Origin("search", "last", 1, "0" * 64)
        )
        for blocks in ("adi", "aid", "ad")
    }
    spelled["ad"] = dataclasses.replace(
        spelled["ad"], init=dataclasses.replace(spelled["ad"].init, blocks="aid")
    )
    made = {}
    for blocks, config in spelled.items():
        learner = Learner(config.canonical)
        assert config.canonical.architecture.blocks == "ad"
        weight_transfer.copy_weights(learner, source, config.canonical.places)
        made[blocks] = weights_of(learner)
        inherited = weight_transfer.derive_network(source, config.places)
        assert all(map(np.array_equal, made[blocks], weights_of(inherited)))
    assert all(map(np.array_equal, made["aid"], made["ad"]))
    assert not all(map(np.array_equal, made["aid"], made["adi"]))
    names = {blocks: config.canonical.default_name() for blocks, config in spelled.items()}
    assert names["aid"] == names["ad"] != names["adi"]


def test_two_spellings_of_one_fixed_network_exchange_their_weights(data_dir):
    source = shaken(small_config(data_dir, "iad"))  # as an earlier version built it
    learner = Learner(small_config(data_dir, "ad"))
    weight_transfer.copy_weights(learner, source, "adi")
    assert all(map(np.array_equal, weights_of(learner), weights_of(source)))


def begun(source, data_dir, made=None, blocks: str = "aid") -> run_config.RunConfig:
    config = dataclasses.replace(
        small_config(data_dir, blocks, epochs=1, seed=3),
        init=warm_start.requested_origin(source, "last"),
    )
    return warm_start.with_origin(config, source, made)


def test_a_run_begins_with_the_source_s_weights_and_fresh_optimizers(tmp_path, source, data_dir):
    config = begun(source, data_dir)
    made = trainer(tmp_path / "run", config, data_dir, source=source)
    other = loading.load_learner(source, run_config.load(source)[0])
    assert score(made.learner, data_dir, "fixed") == pytest.approx(
        score(weight_transfer.derive_network(other, "aid"), data_dir, "fixed"), rel=1e-6
    )
    assert made.step == 0 and all(
        (np.asarray(v) == 0).all()
        for v in made.learner.weight_optimizer.variables
        if v.name.endswith(("momentum", "velocity"))
    )


@pytest.mark.slow
def test_a_warm_start_continued_without_its_source_equals_an_uninterrupted_one(
    tmp_path, source, data_dir
):
    config, away = begun(source, data_dir).canonical, tmp_path / "logs" / source.name
    whole = trainer(tmp_path / "whole", config, data_dir, source=source)
    whole.run()
    shutil.copytree(source, away)
    run_dir = tmp_path / "run"
    config.save(run_dir, data_dir)
    with pytest.raises(StoppedError):
        trainer(run_dir, config, data_dir, source=away).run(should_stop=lambda step: step >= 10)
    shutil.rmtree(away)
    again = begun(away, data_dir, made=run_dir).canonical
    assert again == config == run_config.load(run_dir)[0] and not run_config.differences(
        again, config
    )
    last = trainer(run_dir, again, data_dir, source=away)
    assert last.step == 10
    last.run()
    assert (
        final_state.differences(run_dir, tmp_path / "whole") == []
        and len(final_state.tensors(run_dir)) > 20
    )


def test_the_name_of_a_run_hangs_on_the_source_s_name_and_not_on_its_weights(source, data_dir):
    config = begun(source, data_dir)
    assert config.init.step == 31 and len(config.init.sha256) == 64
    asked = dataclasses.replace(config, init=warm_start.requested_origin(source, "last"))
    plain = dataclasses.replace(config, init=None)
    best = dataclasses.replace(config, init=warm_start.newest_origin(source, "best"))
    assert (
        asked.default_name() == config.default_name()
        and len({run.default_name() for run in (plain, config, best)}) == 3
    )
    assert not [name for name in plain.identity() if name.startswith("init")]


def test_a_source_that_has_changed_is_refused_with_the_differences(tmp_path, source, data_dir):
    config, other = begun(source, data_dir), tmp_path / source.name
    shutil.copytree(source, other)
    for path in (other / "checkpoints").glob("ckpt-31.*"):
        path.rename(path.with_name(path.name.replace("31", "30")))
    changed = run_config.differences(config, begun(other, data_dir))
    assert changed == ["init.step: 31 -> 30"]
    (other / "checkpoints" / "ckpt-30.index").write_bytes(b"")
    with pytest.raises(DataError, match=r"none of the 1 checkpoints"):
        trainer(tmp_path / "run", config, data_dir, source=other)
    shutil.rmtree(other / "checkpoints")
    with pytest.raises(DataError, match=r"has no last checkpoint yet: train it first"):
        begun(other, data_dir)


def test_weights_that_are_another_s_by_the_time_they_are_taken_are_refused(
    tmp_path, source, data_dir
):
    config = begun(source, data_dir)
    config = dataclasses.replace(config, init=dataclasses.replace(config.init, sha256="0" * 64))
    with pytest.raises(
        DataError,
        match=rf"are not those that were asked for \(sha256: {'0' * 64} -> [0-9a-f]{{64}}\)",
    ):
        trainer(tmp_path / "run", config, data_dir, source=source)


def masked(data_dir, blocks="aid", **settings):
    """A run of masked tokens, with another head, that begins with the trunk of a causal search."""
    return dataclasses.replace(
        small_config(data_dir, blocks, **{"cutoffs": (20, 30)} | settings),
        objective="masked_lm",
        objective_settings=MaskedLMSettings(),
        init=dataclasses.replace(ASKED, layers="trunk"),
    )


def test_a_masked_network_takes_a_causal_search_s_trunk_and_keeps_its_own_head(data_dir):
    source, config = shaken(small_config(data_dir, "sss")), masked(data_dir)
    warm_start.check_settings(config, source.config, config.init)
    learner, fresh = Learner(config.canonical), Learner(config.canonical)
    weight_transfer.copy_weights(learner, source, config.places, config.init.layers)
    derived = weight_transfer.derive_network(source, "aid")
    for own, theirs in zip(
        learner.objective.trunk.variables, derived.objective.trunk.variables, strict=True
    ):
        np.testing.assert_array_equal(own, theirs)
    for own, made in zip(
        learner.objective.head.variables, fresh.objective.head.variables, strict=True
    ):
        np.testing.assert_array_equal(own, made)


def test_what_only_the_trunk_of_fits_is_refused_with_the_flag_that_takes_it(data_dir):
    source, config = small_config(data_dir, "sss"), masked(data_dir)
    with pytest.raises(
        UsageError,
        match=r"\(objective: causal_lm -> masked_lm; model\.cutoffs: \[\] -> \[20, 30\]\).*;"
        r" the trunk's weights alone fit: --init_layers=trunk$",
    ):
        warm_start.check_settings(config, source, ASKED)
    wider = masked(data_dir, d_ffn=25)
    for init in (ASKED, wider.init):
        with pytest.raises(UsageError, match=r"model\.d_ffn: 24 -> 25[;)].*may differ$"):
            warm_start.check_settings(wider, source, init)


def test_what_a_warm_start_copied_is_kept_and_belongs_to_the_run(tmp_path, data_dir):
    config = masked(data_dir).canonical
    config.save(tmp_path, data_dir)
    assert run_config.load(tmp_path)[0] == config
    assert json.loads((tmp_path / "config.json").read_text())["init"]["layers"] == "trunk"
    every = dataclasses.replace(config, init=dataclasses.replace(config.init, layers="all"))
    assert run_config.differences(every, config) == ["init.layers: None -> trunk"]
    assert every.default_name() != config.default_name()
    config.write_flags(tmp_path, data_dir, LoggingConfig(), tmp_path)
    assert "--init_layers=trunk" in (tmp_path / "flags.txt").read_text().splitlines()
    value = json.loads((tmp_path / "config.json").read_text())
    value["init"]["layers"] = "head"
    (tmp_path / "config.json").write_text(json.dumps(value))
    with pytest.raises(DataError, match="init must copy the layers all or trunk, but has 'head'"):
        run_config.load(tmp_path)


# ---- the commands ----

FLAGS = (*SHAPE, *RATES, "--arch_lr=0.03", "--epochs=1")


@pytest.fixture
def call(capsys):
    """Runs a command in this process: exit code, stdout, stderr."""

    def run(tool: str, *flags: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = importlib.import_module(f"par.tools.{tool}").main([str(flag) for flag in flags])
        return code, *capsys.readouterr()

    return run


def refused(done: tuple[int, str, str], code: int, *words: str) -> None:
    """One line on stderr, the last, with these words."""
    lines = [line for line in done[2].splitlines() if line.startswith("error: ")]
    assert done[:2] == (code, "") and len(lines) == 1, done
    for word in words:
        assert word in lines[0], lines[0]


@pytest.mark.slow
def test_train_begins_with_a_run_s_weights_remembers_that_and_goes_on_without_it(
    tmp_path, source, data_dir, call
):
    away, run_dir = tmp_path / source.name, tmp_path / "run"
    shutil.copytree(source, away)
    flags = ("train", f"--data={data_dir}", f"--run={run_dir}", "--architecture=aid", *FLAGS)
    code, _, err = call(*flags, f"--init_from={away}")
    assert (
        code == 0
        and f"training ad in {run_dir}, begun with the weights of search at step 31: step 0 of 31"
        in err
    )
    kept = run_config.load(run_dir)[0].init
    assert kept == dataclasses.replace(warm_start.newest_origin(source, "last"), blocks="aid")
    assert (
        f"weights: the weights of search, last checkpoint, step 31, SHA-256 {kept.sha256}"
        in (run_dir / "training_log.log").read_text()
    )
    assert {f"--init_from={away}", "--init_checkpoint=last", "--architecture=aid"} <= set(
        (run_dir / "flags.txt").read_text().splitlines()
    )
    refused(
        call(*flags),
        1,
        "was made with other settings",
        "init.run: search -> None",
        f"init.sha256: {kept.sha256} -> None",
    )
    refused(
        call(*flags, f"--init_from={away}", "--init_checkpoint=best"),
        1,
        "init.checkpoint: last -> best",
    )
    index = away / "checkpoints" / "ckpt-31.index"
    index.write_bytes(index.read_bytes() + b"\0")
    refused(
        call(*flags, f"--init_from={away}"),
        1,
        f"(init.sha256: {kept.sha256} -> {warm_start.newest_origin(away, 'last').sha256})",
    )
    shutil.rmtree(away)
    code, out, _ = call(*flags, f"--init_from={away}")
    assert code == 0 and "already done: 31 steps" in out


def test_train_refuses_a_source_that_does_not_fit_before_it_makes_anything(
    tmp_path, source, data_dir, call
):
    new = tmp_path / "new"
    flags = ("train", f"--data={data_dir}", f"--run={new}", *FLAGS, f"--init_from={source}")
    refused(
        call(*flags, "--architecture=aidd"),
        1,
        "blocks aidd can't take the weights of run search, whose blocks are sss: there are 4"
        " blocks and 3",
    )
    refused(
        call(*flags, "--architecture=aid", "--d_ffn=25"),
        1,
        "the weights of run search do not fit (model.d_ffn: 24 -> 25)",
    )
    refused(
        call(*flags, "--architecture=aid", "--cutoffs=auto"), 1, "cutoffs=auto may find others"
    )
    refused(
        call(*flags[:-1], "--architecture=aid", "--init_checkpoint=best"),
        1,
        "init_checkpoint=best needs --init_from=RUN",
    )
    refused(
        call(*flags[:-1], "--architecture=aid", "--init_layers=trunk"),
        1,
        "init_layers=trunk needs --init_from=RUN",
    )
    refused(call(*flags, "--architecture=aid", "--init_from="), 1, "init_from is empty")
    refused(
        call(*flags, "--architecture=aid", f"--init_from={tmp_path}"),
        3,
        f"--init_from={tmp_path} has no config.json",
    )
    other = small_data(tmp_path / "other", train=1_000, valid=200, vocab_size=41)
    was, now = (manifest.load(path).tokenizer_sha256 for path in (data_dir, other))
    refused(
        call(*flags, f"--data={other}", "--architecture=aid"),
        1,
        f"data.vocab_size: 40 -> 41; data.tokenizer_sha256: {was} -> {now}",
    )
    assert not new.exists()


DAMAGED = {
    "no object": "search",
    "a key too many": {
        "run": "search",
        "checkpoint": "last",
        "step": 31,
        "sha256": "0",
        "more": 1,
    },
    "a key too few": {"run": "search", "checkpoint": "last", "step": 31},
    "no number": {"run": "search", "checkpoint": "last", "step": "31", "sha256": "0"},
    "a step before the first": {"run": "search", "checkpoint": "last", "step": 0, "sha256": "0"},
    "null": None,
    "blocks of another network": {
        "run": "search",
        "checkpoint": "last",
        "step": 31,
        "sha256": "0" * 64,
        "blocks": "aii",
    },
}


@pytest.mark.parametrize("fault", DAMAGED)
def test_a_config_whose_origin_is_damaged_is_refused(tmp_path, source, fault):
    value = json.loads((source / "config.json").read_text()) | {"init": DAMAGED[fault]}
    (tmp_path / "config.json").write_text(json.dumps(value))
    with pytest.raises(
        DataError,
        match=(
            r"config.json is not valid: init(: step| must be a last| has the blocks 'aii'| must"
            r" have exactly the keys"
            r" run, checkpoint, step, sha256)"
        ),
    ):
        run_config.load(tmp_path)


@pytest.mark.slow
def test_evaluate_scores_any_blocks_with_a_supernet_s_weights(source, call):
    likeliest = json.loads((source / "summary.json").read_text())["blocks"]
    code, out, _ = call(
        "evaluate", f"--run={source}", "--split=test", "--evaluate_as=argmax", "--json"
    )
    (argmax,) = json.loads(out)["results"]
    code, out, _ = call(
        "evaluate", f"--run={source}", "--split=test", f"--architecture={likeliest}", "--json"
    )
    (inherited,) = json.loads(out)["results"]
    assert code == 0 and inherited["nll_per_token"] == pytest.approx(
        argmax["nll_per_token"], rel=1e-6
    )
    assert (inherited["architecture"], inherited["evaluate_as"], inherited["step"]) == (
        likeliest,
        "inherited",
        31,
    )
    assert call("evaluate", f"--run={source}", "--split=test", "--architecture=3i")[
        1
    ].splitlines()[1].split()[:3] == ["iii", "inherited", "test"]
    refused(
        call("evaluate", f"--run={source}", "--architecture=4a"),
        1,
        f"blocks aaaa can't take the weights of run {source}, whose blocks are sss",
    )
    refused(
        call("evaluate", f"--run={source}", "--architecture=asa"),
        1,
        "architecture must be a fixed network, of a, d and i, but is 'asa'",
    )
