"""evaluate as a command: longer memory, sweeps with effective context and a picture, sliding
windows, and what it refuses."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import documented
from par.data import manifest
from par.evaluate import eval_config, evaluation
from par.evaluate.eval_config import EvalConfig
from par.evaluate.yardsticks import store
from par.objectives import OBJECTIVES
from par.tools import evaluate as tool
from par.tools.evaluations import shown
from par.tools.evaluations.compared import contexts_of
from par.tools.evaluations.lines import Line
from par.train import loading, run_config
from small import random_run, small_config, small_data, trainer


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies", train=200, valid=60)


@pytest.fixture(scope="module")
def search(tmp_path_factory, data_dir):
    run_dir, config = (
        tmp_path_factory.mktemp("runs") / "search",
        small_config(data_dir, "sa", epochs=1),
    )
    return random_run(run_dir, config, data_dir)


@pytest.fixture
def evaluate(search, monkeypatch, capsys):
    """Runs the command in this process on valid: exit code, stdout, stderr."""
    monkeypatch.setattr(tool, "start_tensorflow", lambda: None)

    def run(*given, run_dirs=(search,)):
        code = tool.main([*(f"--run={path}" for path in run_dirs), "--split=valid", *given])
        return code, *capsys.readouterr()

    return run


def score(search, **reading):
    config, data_dir = run_config.load(search)
    learner = loading.load_learner(search, config)
    return evaluation.score(
        learner, data_dir, manifest.load(data_dir), "valid", "soft", EvalConfig(**reading)
    )["nll_per_token"]


@pytest.mark.slow
def test_the_flags_say_how_the_text_is_read(evaluate, search):
    printed = json.loads(evaluate("--evaluate_as=soft", "--json")[1])
    documented.check("evaluate --json", printed)
    plain = printed["results"][0]
    assert (
        plain["batch_size"],
        plain["seq_len"],
        plain["mem_len"],
        plain["same_length"],
        plain["clamp_len"],
        plain["stride"],
    ) == (
        *(4, 8, 5),
        *(False, None, None),
    )
    reading = {"batch_size": 1, "seq_len": 4, "mem_len": 9, "same_length": True, "clamp_len": 6}
    flags = ("--batch_size=1", "--seq_len=4", "--mem_len=9", "--same_length", "--clamp_len=6")
    code, out, _ = evaluate(*flags, "--evaluate_as=soft", "--json")
    (row,) = json.loads(out)["results"]
    assert code == 0 and {name: row[name] for name in reading} == reading and row["tokens"] == 59
    assert (
        row["nll_per_token"]
        == pytest.approx(score(search, **reading), rel=1e-6)
        != plain["nll_per_token"]
    )
    (sliding,) = json.loads(evaluate("--stride=3", "--evaluate_as=soft", "--json")[1])["results"]
    assert sliding["nll_per_token"] == pytest.approx(score(search, stride=3), rel=1e-6) and (
        sliding["stride"],
        sliding["mem_len"],
    ) == (3, None)


@pytest.mark.slow
def test_a_sweep_scores_every_length_and_tells_the_context_that_is_used(
    evaluate, search, tmp_path
):
    lengths, path = (
        (
            "--sweep_mem_len=9",
            "--sweep_mem_len=0",
            "--sweep_mem_len=3",
            "--sweep_mem_len=3",
        ),
        tmp_path / "memory.png",
    )
    found = json.loads(evaluate("--batch_size=1", *lengths, "--json", f"--plot={path}")[1])
    others = ("pseudo", "accuracy", "mask_draws", "objective", "draws", "ahead", "paired")
    documented.check("evaluate --json", found, required="all", absent=others)
    assert [(row["evaluate_as"], row["mem_len"]) for row in found["results"]] == [
        (way, m) for way in ("soft", "argmax") for m in (0, 3, 9)
    ]
    (soft, argmax), perplexities = (
        found["contexts"],
        [row["perplexity_per_token"] for row in found["results"][:3]],
    )
    assert (soft["evaluate_as"], argmax["evaluate_as"]) == ("soft", "argmax")
    assert (
        found["results"][2]["nll_per_token"]
        == pytest.approx(score(search, batch_size=1, mem_len=9), rel=1e-6)
        and len(set(perplexities)) == 3
    )
    assert soft["gains"] == pytest.approx(
        [1 - long / short for short, long in itertools.pairwise(perplexities)], abs=1e-6
    )
    assert [length["share"] for length in soft["relative_effective_context"]] == [1.0, 0.5, 0.1]
    with Image.open(path) as image:
        assert image.format == "PNG"


def test_a_sweep_prints_a_line_for_each_length_and_one_for_each_networks_context(
    evaluate, tmp_path
):
    code, out, _ = evaluate(
        "--evaluate_as=soft",
        "--batch_size=1",
        "--sweep_mem_len=0",
        "--sweep_mem_len=4",
        f"--plot={tmp_path / 'm.png'}",
    )
    scores, contexts, picture, *_ = out.strip().split("\n\n")
    assert code == 0 and scores.splitlines()[0].split()[:4] == [
        "network",
        "split",
        "memory",
        "perplexity",
    ]
    *networks, _ = scores.splitlines()[1:]
    assert [line.split()[:4] for line in networks] == [
        ["sa", "soft", "valid", m] for m in ("0", "4")
    ]
    heading, alone, unit = contexts.splitlines()
    assert heading.split() == ["network", "split", "effective", "context"] and alone.startswith(
        "sa soft  valid"
    )
    assert unit.startswith("tokens of memory up to which") and picture.startswith(
        str(tmp_path / "m.png")
    )


def test_runs_of_equal_blocks_are_told_apart_and_one_given_twice_counts_once(
    evaluate, search, tmp_path
):
    other = tmp_path / "other"
    shutil.copytree(search, other)
    settings = json.loads((search / "config.json").read_text())
    settings["data"]["path"] = os.path.relpath(
        (search / settings["data"]["path"]).resolve(), other
    )
    (other / "config.json").write_text(json.dumps(settings))
    _, out, _ = evaluate("--evaluate_as=soft", "--baseline=none", run_dirs=(search, other, search))
    assert [line.split("  ")[0] for line in out.splitlines()[1:]] == [
        "sa soft (search)",
        "sa soft (other)",
    ]


def test_networks_are_compared_with_those_that_score_the_same_tokens():
    def line(run, text, *nll):
        return Line(
            {"run": run, "architecture": run, "split": "valid", "evaluate_as": "fixed"},
            (text,),
            [],
            [],
            [np.array(n) for n in nll],
            run,
            Path("data"),
            {},
            OBJECTIVES["causal_lm"],
        )

    lines = [
        line("a", "one text", [3.0, 3.0], [2.0, 3.0]),
        line("b", "another", [1.0], [0.5]),
        line("c", "one text", [1.0, 3.0], [1.0, 2.0]),
    ]
    contexts = contexts_of(lines, (0, 16))
    assert [found.effective for found in contexts] == [(16, True)] * 3
    # c knows without memory what a learns from it
    assert [found.relative.get(1.0) for found in contexts] == [(0, False), None, (16, True)]
    heading, *rows, _ = shown._context_table(lines, contexts)
    assert "effective context  relative, r = 1  relative, r = 0.5  relative, r = 0.1" in heading
    assert [" ".join(row.split()) for row in rows] == [
        "a valid 16 or more 0 0 0",
        "b valid 16 or more",
        "c valid" + " 16 or more" * 4,
    ]


@pytest.mark.slow
def test_rows_and_memory_beyond_the_split_are_reduced_and_the_scores_are_equal(evaluate):
    code, out, err = evaluate("--batch_size=1048576", "--mem_len=0")
    assert code == 0 and "--batch_size=1,048,576 is reduced to" in err
    assert evaluate("--batch_size=1", "--mem_len=0")[1] == out
    assert "is reduced to" not in evaluate("--batch_size=1", "--mem_len=0")[2]


def test_what_does_not_fit_into_memory_is_refused_before_any_work(evaluate, monkeypatch):
    monkeypatch.setattr(tool, "start_tensorflow", lambda: pytest.fail("TensorFlow was started"))
    monkeypatch.setattr(eval_config, "memory_bytes", lambda: 10_000)
    code, out, err = evaluate("--sweep_mem_len=0", "--sweep_mem_len=400", "--batch_size=1")
    assert (code, out, len(err.splitlines())) == (6, "", 1) and "or --mem_len" in err


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        (
            ("--stride=9",),
            1,
            "--stride must be at most --seq_len, 8, ",
        ),
        (
            ("--stride=3", "--mem_len=4"),
            1,
            "--stride evaluates without a memory, but --mem_len is 4",
        ),
        (
            ("--stride=3", "--sweep_mem_len=0", "--sweep_mem_len=4"),
            1,
            "--stride evaluates without a memory, but --mem_len is 4",
        ),
        (
            ("--sweep_mem_len=3",),
            1,
            (
                "sweep_mem_len must be given at least twice, with different lengths, but is only"
                " 3; for one there is --mem_len"
            ),
        ),
        (("--sweep_mem_len=3", "--sweep_mem_len=-1"), 1, "mem_len must be at least 0, but is -1"),
        (
            ("--mem_len=2", "--sweep_mem_len=3"),
            1,
            (
                "--mem_len=2 is one memory length, --sweep_mem_len several: give only one of both"
                " flags"
            ),
        ),
        (
            ("--plot=m.png",),
            1,
            "--plot draws perplexity by memory length: give --sweep_mem_len=M at least twice",
        ),
        (
            ("--plot=/", "--sweep_mem_len=0", "--sweep_mem_len=4"),
            1,
            "--plot must end with .png, but is '/'",
        ),
        (
            ("--plot=m.jpg", "--sweep_mem_len=0", "--sweep_mem_len=4"),
            1,
            "--plot must end with .png, but is 'm.jpg'",
        ),
        (
            ("--architecture=aa", "--evaluate_as=soft"),
            1,
            "--evaluate_as has no effect beside --architecture: leave one of both out",
        ),
        (
            ("--show_history", "--json"),
            1,
            "--show_history has no effect beside --json: leave one of both out",
        ),
        (("--clamp_len=-1",), 1, "clamp_len must be at least 0, but is -1"),
        (
            ("--pseudo",),
            1,
            "--pseudo needs a run that predicts masked pieces, but",
        ),
        (
            ("--pseudo_tokens=9",),
            1,
            "--pseudo_tokens has no effect without --pseudo: add --pseudo, or leave it out",
        ),
        (
            ("--mask_draws=2", "--stride=3"),
            1,
            "--stride reads tokens in several windows, in which others are masked",
        ),
        (("--mask_draws=0",), 1, "--mask_draws"),
        (
            ("--mask_draws=2", "--baseline=kneser_ney"),
            1,
            "--baseline=kneser_ney predicts something else than masked_lm: give one of unigram,",
        ),
        (
            ("--baseline=bigrams",),
            1,
            "--baseline=bigrams predicts something else than causal_lm: give one of kneser_ney,",
        ),
    ],
)
def test_nonsense_is_refused_in_one_line_before_any_work(evaluate, monkeypatch, given, code, said):
    monkeypatch.setattr(tool, "start_tensorflow", lambda: pytest.fail("TensorFlow was started"))
    found, out, err = evaluate(*given)
    assert (found, out) == (code, "") and said in err and err.count("\n") == 1


def test_the_n_gram_model_has_a_row_beside_the_networks_and_who_does_not_beat_it_is_warned(
    evaluate, data_dir
):
    code, out, _ = evaluate("--evaluate_as=soft")
    (row,) = [line for line in out.splitlines() if line.startswith("Kneser-Ney 5-gram")]
    own = store.load(data_dir, "kneser_ney").figures(manifest.load(data_dir), "valid")
    assert code == 0 and f"{own['perplexity_per_word']:,.2f}" in row.split()
    found = json.loads(evaluate("--json")[1])
    ways = {row["evaluate_as"]: row["perplexity_per_word"] for row in found["results"]}
    warned = {line.split(" does not beat")[0] for line in found["warnings"]}
    assert warned == {f"sa {way}" for way in ways if ways[way] >= own["perplexity_per_word"]}
    assert [(row["split"], row["order"]) for row in found["baselines"]] == [("valid", 5)]
    assert json.loads(evaluate("--baseline=none", "--json")[1])["baselines"] == []


@pytest.mark.slow
def test_a_causal_run_is_scored_on_masked_tokens_beside_a_masked_one(
    evaluate, search, data_dir, tmp_path
):
    own = small_config(data_dir, "ad", epochs=1)
    own = dataclasses.replace(own, objective="masked_lm")
    run = tmp_path / "masked"
    trainer(run, own, data_dir).run()
    own.save(run, data_dir)
    both = {"run_dirs": (search, run)}
    code, out, err = evaluate("--evaluate_as=soft", **both)
    heads, causal, masked, unigram, bigrams = out.split("\n\n")[0].splitlines()
    assert code == 0 and heads.split()[2:5] == ["nll", "per", "masked"], err
    assert causal.startswith("sa soft causal_lm ") and masked.startswith("ad masked_lm ")
    assert unigram.startswith("unigram ") and bigrams.startswith("two-sided bigrams ")
    printed = json.loads(evaluate("--evaluate_as=soft", "--mask_draws=2", "--json", **both)[1])
    documented.check("evaluate --json", printed, required="none")
    rows = printed["results"]
    assert [row["objective"] for row in rows] == ["causal_lm", "masked_lm"]
    assert {row["mask_draws"] for row in rows} == {2}
    assert {row["tokens"] for row in [*rows, *printed["baselines"]]} == {rows[0]["tokens"]}
    alone = json.loads(evaluate("--evaluate_as=soft", "--mask_draws=2", "--json")[1])
    assert alone["results"] == rows[:1] and alone["baselines"] == printed["baselines"]
    # its own figures are what they were
    assert "perplexity_per_word" in json.loads(evaluate("--json")[1])["results"][0]
    masked_alone = {"run_dirs": (run,)}
    code, out, err = evaluate("--pseudo", "--pseudo_tokens=20", **masked_alone)
    table = out.split("\n\n")[1].splitlines()
    assert code == 0 and "pseudo-perplexity per token" in table[0] and " 20 " in table[1], err
    printed = json.loads(evaluate("--pseudo", "--pseudo_tokens=20", "--json", **masked_alone)[1])
    documented.check("evaluate --json", printed, required="none")
    (pseudo,) = printed["pseudo"]
    assert pseudo["tokens"] == 20 and pseudo["perplexity_per_token"] == pytest.approx(
        np.exp(pseudo["nll_per_token"])
    )
    refused = evaluate("--pseudo", "--sweep_mem_len=0", "--sweep_mem_len=4", **masked_alone)
    assert refused[0] == 1 and "has no effect beside --pseudo" in refused[2]
