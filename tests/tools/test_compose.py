"""The command that puts networks side by side, what uses its directory as a run, and train --base:
what they print and how they refuse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import documented
import par
from authored import build, coded, config
from composed import of, on_base
from par.train import run_config
from project import refused
from recorded_run import train_row, write_history
from small import NETWORK, random_run, small_config, small_data, trainer

TEXT = "ca ca ta te ti to ca de te"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> SimpleNamespace:
    """A data set with authors and groups, runs of random weights on it, and what is composed of
    two; not to be changed."""
    root = tmp_path_factory.mktemp("compose")
    data = build(root, "data", coded(), "--vocab_size=280", "--model_type=char")
    runs = {
        "en": random_run(root / "en", config(data), data),
        "code": random_run(root / "code", of(small_config(data, "s"), "masked_lm"), data),
        "left": random_run(root / "left", small_config(data, "ad", d_model=8), data),
    }
    plain = small_data(root / "plain", train=300, valid=60)
    runs["foreign"] = random_run(root / "foreign", small_config(plain, "ad"), plain)
    return SimpleNamespace(root=root, data=data, both=root / "both", **runs)


@pytest.fixture(scope="module")
def both(made, call):
    """The composed model, and what the command printed."""
    return call("compose", "--run", made.en, made.code, f"--output={made.both}", "--json")


def test_the_command_says_what_it_composed(made, both):
    assert both.code == 0, both.err
    value = json.loads(both.out)
    documented.check("compose --json", value)
    assert value["parts"] == [{"name": "en", "d_model": 16}, {"name": "code", "d_model": 16}]
    assert (value["d_model"], value["base"]) == (32, [])
    documented.check_files("Composed model", made.both)
    documented.check("config.json", json.loads((made.both / "config.json").read_text()))
    alone, model = par.load(made.code), par.load(made.both)
    assert model.embed(TEXT).shape == (len(alone.embed(TEXT)), 32)


def test_the_parts_have_the_names_that_are_given(made, call):
    named = ("--name", "a", "b", f"--output={made.root / 'named'}")
    done = call("compose", "--run", made.en, made.en, *named)
    assert done.code == 0, done.err
    assert "a (ad, 16) + b (ad, 16); hidden states of 32, " in done.out
    again = call("compose", "--run", made.en, made.en, *named)
    refused(again, 1)
    assert "or --overwrite to replace it" in again.err, again.err
    assert call("compose", "--run", made.en, *named[3:], "--overwrite").code == 0
    assert par.load(made.root / "named").config.network == "en"


@pytest.mark.parametrize("label", ["group"])
def test_probe_and_discriminate_read_a_composed_model(made, both, call, label):
    few = ("--min_documents=4", "--folds=2", "--json")
    done = call("probe", f"--run={made.both}", f"--label={label}", *few)
    assert done.code == 0, done.err
    (row,) = json.loads(done.out)["runs"]
    assert (row["objective"], row["blocks"]) == ("composed", "en + code")
    done = call("discriminate", f"--run={made.both}", "--anchors=2", "--json")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("tool", "flags", "said"),
    [
        ("evaluate", (), "evaluate needs a run that predicts something, but"),
        ("fill", ("--text=a [MASK]",), "fill needs a run that predicts masked pieces"),
        ("generate", (), "generate needs a run that predicts the next token"),
        ("derive", (), "no stochastic block"),
        ("plot_pi", (), "no stochastic block"),
        ("measure_latency", (), "measure_latency needs a run that predicts something"),
    ],
)
def test_what_a_composed_model_can_not_do_is_refused(made, both, call, tool, flags, said):
    done = call(tool, f"--run={made.both}", *flags)
    refused(done, 1)
    assert said in done.err, done.err


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--run={en}", "--run={foreign}"), 1, "but foreign that of"),
        (("--run={en}", "--run={en}"), 1, "two parts are called 'en'"),
        (("--run={en}", "--name", "a", "b"), 1, "--name must be given once for each --run"),
        (("--run={en}", "--name=a b"), 1, "without spaces"),
        (("--run={both}", "--name=a"), 1, "its parts have names"),
        (("--run={root}/none",), 3, "has no config.json"),
        ((), 1, "--run=DIR and --output=DIR are required"),
    ],
)
def test_what_can_not_be_composed_is_refused(made, both, call, tmp_path, flags, code, said):
    given = [flag.format(**vars(made)) for flag in flags]
    done = call("compose", *given, f"--output={tmp_path / 'out'}")
    refused(done, code)
    assert said in done.err, done.err
    assert not (tmp_path / "out").exists()


def test_a_run_is_not_replaced_by_a_composed_model(made, call, tmp_path):
    run = shutil.copytree(made.en, tmp_path / "run")
    (run / "history.jsonl").write_text("")
    done = call("compose", f"--run={made.en}", f"--output={run}", "--overwrite")
    refused(done, 1)
    assert "would be lost" in done.err, done.err


def test_a_run_without_a_checkpoint_is_refused(made, call, tmp_path):
    run = shutil.copytree(made.en, tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    done = call("compose", f"--run={run}", f"--output={tmp_path / 'out'}")
    refused(done, 3)
    assert "no checkpoint yet" in done.err, done.err


@pytest.fixture(scope="module")
def tower(made, both, call):
    """A tower that was trained by the command, and what it printed."""
    flags = (f"--data={made.data}", "--objective=masked_lm", "--architecture=d", *NETWORK)
    base = shutil.copytree(made.both, made.root / "moved" / "both")
    flags += (f"--base={base}", f"--run={made.root / 'tower'}", "--epochs=1")
    return SimpleNamespace(flags=flags, base=base, done=call("train", *flags))


def test_train_says_what_it_trains_on(made, tower):
    assert tower.done.code == 0, tower.done.err
    assert (
        "training d in" in tower.done.err and ", on en + code (frozen): step 0" in tower.done.err
    )
    value = json.loads((made.root / "tower/config.json").read_text())
    del value["objective_settings"]
    documented.check("config.json", value)
    flags = (made.root / "tower/flags.txt").read_text().splitlines()
    assert f"--base={tower.base}" in flags and "--freeze_base=true" in flags


def test_a_run_that_has_a_checkpoint_needs_its_base_no_more(made, tower, call):
    shutil.rmtree(tower.base)
    again = call("train", *tower.flags)
    assert again.code == 0 and "already done" in again.out
    other = [flag for flag in tower.flags if not flag.startswith("--run")]
    done = call("train", *other, f"--run={made.root / 'other'}")
    refused(done, 3)
    assert f"--base={tower.base} has no config.json" in done.err and "moved" in done.err
    assert not (made.root / "other").exists()


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (("--base={foreign}",), 1, "the data has the tokenizer of SHA-256"),
        (("--base={code}", "--init_from={en}"), 1, "give one of them"),
        (("--base={code}", "--objective=causal_lm"), 1, "part code of the base sees tokens after"),
        (("--base={both}", "--unfreeze=x"), 1, "--unfreeze=x is not a part of the base"),
        (("--base={both}", "--unfreeze=en", "--nofreeze_base"), 1, "--freeze_base"),
        (("--base=",), 1, "--base is empty"),
        (("--unfreeze=en",), 1, "--unfreeze has no effect without --base=RUN"),
        (("--nofreeze_base",), 1, "--freeze_base has no effect without --base=RUN"),
        (("--init_from={both}",), 1, "is composed: put the network on it with --base"),
        (("--init_from={root}/tower",), 1, "stands on a base"),
        (("--objective=distill", "--teacher={both}"), 1, "reads the states of en + code"),
    ],
)
def test_what_can_not_be_a_base_is_refused(made, tower, call, tmp_path, flags, code, said):
    given = [flag.format(**vars(made)) for flag in flags]
    if not any("objective" in flag for flag in given):
        given.append("--objective=masked_lm")
    run = (f"--data={made.data}", "--architecture=d", *NETWORK, f"--run={tmp_path / 'run'}")
    done = call("train", *run, *given)
    refused(done, code)
    assert said in done.err, done.err
    assert not (tmp_path / "run").exists()


def test_a_dry_run_counts_the_base(made, both, call):
    run = (f"--data={made.data}", "--architecture=d", *NETWORK, "--objective=masked_lm")
    flops = []
    for base in ((), (f"--base={made.both}",), (f"--base={made.both}", "--nofreeze_base")):
        done = call("train", *run, *base, "--dry_run", "--json")
        assert done.code == 0, done.err
        flops.append(json.loads(done.out)["gflop_per_step"])
    assert flops[0] < flops[1] < flops[2]


def test_two_towers_are_composed_on_their_base(made, both, call):
    for name in ("one", "two"):
        own = of(small_config(made.data, "d", seed=len(name)), "masked_lm")
        on = on_base(own, made.en)
        on.save(made.root / name, made.data)
        trainer(made.root / name, on, made.data, base_run=made.en)._save()
    output = made.root / "towers"
    done = call(
        "compose", "--run", made.root / "one", made.root / "two", f"--output={output}", "--json"
    )
    assert done.code == 0, done.err
    value = json.loads(done.out)
    documented.check("compose --json", value)
    assert (value["base"], value["d_model"]) == (["en"], 32)
    assert np.isfinite(par.load(output).embed(TEXT)).all()


def test_a_composed_model_comes_from_a_shelf(made, both, call, tmp_path, monkeypatch):
    monkeypatch.setenv("PAR_SHELF", str(tmp_path / "shelf"))
    monkeypatch.setenv("PAR_CACHE_DIR", str(tmp_path / "cache"))
    done = call("shelf", "save", made.both, "--name=both", "--tag=v1")
    assert done.code == 0, done.err
    card = (tmp_path / "shelf" / "both" / "v1.md").read_text()
    assert "- part en: `ad`, width 16, bidirectional\n" in card
    run = (f"--data={made.data}", "--architecture=d", *NETWORK, "--objective=masked_lm")
    done = call("train", *run, "--base=shelf:both@v1", "--print_run")
    assert done.code == 0, done.err
    done = call("compose", "--run", "shelf:both@v1", made.left, f"--output={tmp_path / 'c'}")
    assert done.code == 0 and "en (ad, 16) + code (s, 16) + left (ad, 8)" in done.out, done.err
    shutil.move(tmp_path / "cache", tmp_path / "emptied")
    alone = par.load(tmp_path / "c")
    assert alone.embed(TEXT).shape[1] == 40
    documented.check_files("Composed model", tmp_path / "c")
    layer = par.compose(["shelf:both@v1"])
    assert list(layer.named) == ["en", "code"]


def test_a_tower_comes_from_a_shelf_with_its_base(made, tower, call, tmp_path, monkeypatch):
    monkeypatch.setenv("PAR_SHELF", str(tmp_path / "shelf"))
    monkeypatch.setenv("PAR_CACHE_DIR", str(tmp_path / "cache"))
    own = par.load(made.root / "tower")
    done = call("shelf", "save", made.root / "tower", "--name=tower", "--tag=v1", "--json")
    assert done.code == 0, done.err
    card = (tmp_path / "shelf" / "tower" / "v1.md").read_text()
    assert "- base en: `ad`, width 16" in card and "- base code: `s`, width 16" in card
    entry = json.loads((tmp_path / "shelf" / "tower" / "v1.json").read_text())
    base = sum(array.size for array in own.learner.base.arrays())
    assert entry["about"]["parameters"] > base
    fetched = par.load("shelf:tower@v1")
    np.testing.assert_array_equal(fetched.embed(TEXT), own.embed(TEXT))


def test_a_search_that_trained_its_base_is_not_compared(made, both, call, tmp_path):
    on = on_base(of(small_config(made.data, "s", epochs=1), "masked_lm"), made.en, unfreeze=["en"])
    on.save(tmp_path, made.data)
    pi = [[0.2, 0.7, 0.1]]
    write_history(tmp_path / "history.jsonl", [train_row(on.total_steps, pi)])
    refused(call("compare", f"--run={tmp_path}"), 1, "has trained parts of its base, too (en)")


def test_a_part_tells_the_checkpoint_that_was_loaded(made, call, tmp_path):
    run = Path(shutil.copytree(made.en, tmp_path / "run"))
    for path in (run / "checkpoints").glob("ckpt-*.*"):
        newer = path.with_name(f"ckpt-9.{path.name.partition('.')[2]}")
        newer.write_bytes(path.read_bytes()[:-100])
    done = call("compose", f"--run={run}", f"--data={made.data}", f"--output={tmp_path / 'out'}")
    assert done.code == 0 and "ckpt-9" in done.err, done.err
    (part,) = run_config.load(tmp_path / "out")[0].base.stack.parts
    assert part.step != 9


def test_an_untrained_model_keeps_the_mixtures_of_its_parts(made, both):
    model = par.load(made.both)
    (alpha,) = model.learner.base.logits
    alpha.assign([[3.0, 1.0, -2.0]])
    fresh = model.untrained().learner.base
    np.testing.assert_array_equal(fresh.logits[0], alpha)
    assert not np.array_equal(fresh.arrays()[0], model.learner.base.arrays()[0])
