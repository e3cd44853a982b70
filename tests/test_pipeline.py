"""The whole chain by its commands, on a tiny text: build, search, plot, derive, train,
evaluate."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from built import tiny_text
from par.objectives import OBJECTIVES
from par.search import architecture
from par.train import history

NETWORK = (
    "--d_model=16",
    "--num_heads=2",
    "--d_ffn=16",
    "--mem_len=4",
    "--cutoffs=60",
    "--epochs=2",
    "--warmup_steps=10",
    "--max_lr=3e-3",
    "--record_every=5",
    "--sample_length=0",
)


def test_the_chain_from_text_to_a_scored_derived_network(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)

    def run(name, *flags):
        done = call(name, *flags)
        assert done.code == 0, done.err
        return done.out

    (tmp_path / "own.txt").write_text(tiny_text(400), encoding="utf-8")
    built = run(
        "build_data", "--input_text=own.txt", "--vocab_size=283", "--batch_size=4", "--seq_len=8"
    )
    assert "next: python tools/train.py --data=data/own" in built

    search = (
        run("train", "--data=data/own", "--num_blocks=2", *NETWORK, "--epochs=1")
        .strip()
        .splitlines()[-1]
        .split("run: ")[1]
    )
    rows = history.read_rows(tmp_path / search / "history.jsonl", OBJECTIVES["causal_lm"])["train"]
    run("plot_pi", f"--run={search}")
    with Image.open(tmp_path / search / "plots" / "pi.gif") as gif:
        assert gif.n_frames == len(rows) > 10

    printed = run("derive", f"--run={search}")
    chosen = architecture.load(tmp_path / search / "architecture.json")
    assert chosen.pi == tuple(map(tuple, rows[-1]["pi"])) and not chosen.is_search
    assert printed.startswith(f"architecture: {chosen.blocks} ")

    following = next(line for line in printed.splitlines() if line.startswith("next:"))
    derived = (
        run("train", *following.split("tools/train.py ")[1].split())
        .strip()
        .splitlines()[-1]
        .split("run: ")[1]
    )
    of_search, of_derived = (
        json.loads((tmp_path / name / "config.json").read_text()) for name in (search, derived)
    )
    assert of_derived["search_run"] == search.removeprefix("logs/")
    assert all(
        of_derived[group] == of_search[group] for group in ("model", "training", "total_steps")
    )
    table = run("evaluate", f"--run={search}", f"--run={derived}").split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in table] == [
        "network",
        *["ss"] * 4,
        *[chosen.blocks] * 2,
        *["Kneser-Ney"] * 2,
    ]
    scores = json.loads(run("evaluate", f"--run={derived}", "--split=test", "--json"))["results"][
        0
    ]
    assert 1 < scores["perplexity_per_token"] < 100 and scores["perplexity_per_word"] > 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["word", "char"])
def test_words_and_characters_go_through_the_whole_chain(tmp_path, call, kind):
    def run(name, *flags):
        done = call(name, *flags, cwd=tmp_path)
        assert done.code == 0, done.err
        return done.out

    (tmp_path / "own.txt").write_text(tiny_text(400), encoding="utf-8")
    run(
        "build_data",
        "--input_text=own.txt",
        f"--model_type={kind}",
        "--batch_size=4",
        "--seq_len=8",
    )
    small = (
        "--data=data/own",
        "--cutoffs=none",
        *(flag for flag in NETWORK if "cutoffs" not in flag),
    )
    search = run("train", "--num_blocks=2", *small).strip().splitlines()[-1].split("run: ")[1]
    run("derive", f"--run={search}")
    derived = (
        run("train", f"--architecture={search}/architecture.json", *small)
        .strip()
        .splitlines()[-1]
        .split("run: ")[1]
    )
    scores = json.loads(run("evaluate", f"--run={derived}", "--split=valid", "--json"))["results"][
        0
    ]
    if kind == "word":
        assert scores["tokens"] == pytest.approx(scores["words"]) and scores[
            "perplexity_per_token"
        ] == pytest.approx(scores["perplexity_per_word"])
        # of 11 words and line ends in a fixed order, the nouns and verbs are drawn from 4 and 3
        assert scores["perplexity_per_token"] < 4
    else:
        assert (
            scores["bits_per_character"] == pytest.approx(scores["nll_per_token"] / np.log(2))
            and scores["bits_per_character"] < 2
        )
