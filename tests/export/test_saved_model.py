"""A network exported as a SavedModel gives the figures and texts of the library, in a process that
has TensorFlow and TensorFlow Text alone."""

from __future__ import annotations

import dataclasses
import importlib
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import bare
import documented
import par
from built import tiny_data
from par.data import manifest
from par.data.tokenizer import EOS
from par.evaluate import evaluation
from par.evaluate.trained_model import Model
from par.search import architecture
from par.search.latency_check import Case, LatencyCheck
from project import Finished
from small import random_run, small_config

PROMISE = LatencyCheck("inference", (Case("inference", 12.345, 13.0),))
TEXTS = ("the cat sees the dog .\nthe crow", "", "the é cat\t\r\n\n", "\ufeffa\0\n", "the " * 40)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> SimpleNamespace:
    """A search and the network derived from it, of random weights, on a tiny text; not to be
    changed."""
    root = tmp_path_factory.mktemp("export")
    tiny_data(root)
    for name, blocks in (("search", "ss"), ("run", "ad")):
        config = small_config(root / "data", blocks, epochs=1, cutoffs=(60,))
        if name == "run":
            chosen = architecture.Architecture(
                "ad", "argmax", "search", ((0.75, 0.125, 0.125), (0.25, 0.5, 0.25)), (0,), PROMISE
            )
            chosen.save(root / "search" / "architecture.json")
            config = dataclasses.replace(
                config, architecture=architecture.Architecture("ad", search_run="search")
            )
        random_run(root / name, config, root / "data")
    return SimpleNamespace(
        root=root, run=root / "run", search=root / "search", text=(root / "valid.txt").read_text()
    )


@pytest.fixture(scope="module")
def tool(made):
    def run(capsys, *flags: object) -> Finished:
        code = importlib.import_module("par.tools.export").main([*map(str, flags)])
        return Finished(code, *capsys.readouterr())

    return run


@pytest.fixture(scope="module")
def exported(made) -> SimpleNamespace:
    """The derived network, exported by the command, and loaded."""
    directory = made.root / "exported"
    assert (
        importlib.import_module("par.tools.export").main(
            [f"--run={made.run}", f"--output={directory}"]
        )
        == 0
    )
    return SimpleNamespace(
        directory=directory,
        loaded=tf.saved_model.load(str(directory)),
        card=(directory / "README.md").read_text(),
    )


@pytest.fixture(scope="module")
def model(made) -> Model:
    return par.load(made.run)


def test_score_gives_the_figures_of_the_library_for_each_text(made, model, exported):
    texts = [*TEXTS, made.text]
    found = exported.loaded.signatures["score"](texts=tf.constant(texts))
    for i, text in enumerate(texts):
        expected = (
            model.score(text)
            if text
            else {"nll": 0.0, "tokens": 0, "words": 0, "perplexity_per_word": np.nan}
        )
        for name in ("nll", "tokens", "words", "perplexity_per_word"):
            np.testing.assert_allclose(
                found[name][i], expected[name], rtol=5e-6, err_msg=f"{name} of {text!r}"
            )


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 0.0}, {"seed": 3, "top_k": 5}, {"top_p": 0.8, "temperature": 0.7}],
    ids=str,
)
def test_generate_gives_the_texts_of_the_library(model, exported, settings):
    prompts = ("the cat", "the cat\nthe  ", "", "the queen feeds the crow .\n")
    found = exported.loaded.generate(
        tf.constant(prompts),
        length=tf.constant(30),
        **{name: tf.constant(value) for name, value in settings.items()},
    )
    assert [text.decode() for text in found["texts"].numpy()] == [
        model.generate(prompt, length=30, **settings)[0] for prompt in prompts
    ]


def test_steps_with_memory_give_the_log_probabilities_of_the_library_row_by_row(model, exported):
    ids, step = [EOS, *model.encode("the cat sees the dog .")], exported.loaded.signatures["step"]
    shape = exported.loaded.signatures["step"].structured_input_signature[1]["hidden"].shape
    memories = {"hidden": tf.zeros([shape[0], 2, *shape[2:]]), "valid": tf.zeros([2], tf.int32)}
    expected = model.decoder().empty_memories()
    for token in ids:
        after = step(tokens=tf.constant([token, ids[0]]), **memories)
        memories = {name: after[name] for name in memories}
        log_prob, expected = model.decoder().log_prob(tf.constant([token]), expected)
        np.testing.assert_allclose(after["log_prob"][0], log_prob[0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            after["hidden"][:, 0], expected.hidden[:, 0], rtol=1e-4, atol=1e-5
        )
    np.testing.assert_allclose(
        tf.reduce_sum(tf.exp(after["log_prob"]), axis=-1), [1, 1], rtol=1e-5
    )
    assert after["valid"].numpy().tolist() == [min(len(ids), shape[2])] * 2 and not np.allclose(
        after["log_prob"][0], after["log_prob"][1]
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", ["argmax", pytest.param("soft", marks=pytest.mark.slow)])
def test_a_supernet_is_exported_as_its_likeliest_kinds_or_as_its_mixture(
    made, tool, capsys, tmp_path, way
):
    done = tool(
        capsys,
        f"--run={made.search}",
        f"--output={tmp_path / 'out'}",
        f"--evaluate_as={way}",
        "--json",
    )
    facts = json.loads(done.out)
    documented.check("export --json", facts)
    documented.check_files("Export", tmp_path / "out")
    expected = par.load(made.search, evaluate_as=way)
    found = tf.saved_model.load(str(tmp_path / "out")).signatures["score"](
        texts=tf.constant([made.text])
    )
    np.testing.assert_allclose(found["nll"][0], expected.score(made.text)["nll"], rtol=1e-6)
    assert facts["evaluate_as"] == way and facts["lines_with_other_ids"] == {"test": 0, "valid": 0}
    card = (tmp_path / "out" / "README.md").read_text()
    assert (
        f"used as their {'mixture' if way == 'soft' else 'likeliest kinds'}" in card
        and "The pi of this search:" in card
    )


def test_the_card_tells_where_the_network_comes_from_and_its_scores(made, exported):
    scores = evaluation.score(
        par.load(made.run).learner,
        made.root / "data",
        manifest.load(made.root / "data"),
        "test",
        "fixed",
    )
    assert (
        f"| test | {scores['perplexity_per_token']:,.2f} | {scores['perplexity_per_word']:,.2f} |"
        in exported.card
    )
    for words in (
        "# exported",
        "`ad` (1 Attention, 1 Dense)",
        "| 1 | 0.750 | 0.125 | 0.125 |",
        "`search`",
        "rule\nargmax",
        "licence: own text",
        "not lower-cased",
    ):
        assert words in exported.card, words
    assert "\n0 of 40 lines of valid have other ids,\n0 of 40 lines of test have" in exported.card
    assert (
        "{" not in re.sub(r"```.*?```", "", exported.card, flags=re.DOTALL)
        and str(made.root) not in exported.card
    )


def test_the_python_of_the_card_runs_as_it_stands(exported, monkeypatch, capsys):
    monkeypatch.chdir(exported.directory.parent)
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", exported.card, re.DOTALL)[1], names)
    assert names["scores"]["words"].numpy().tolist() == [8, 3] and names["after"][
        "log_prob"
    ].shape == (1, 283)
    assert len(capsys.readouterr().out) > 40


@pytest.mark.slow
def test_it_loads_where_there_are_tensorflow_and_its_text_operations_alone(
    made, model, exported, tmp_path
):
    program = """
import json, sys
import tensorflow as tf
import tensorflow_text
model = tf.saved_model.load(sys.argv[1])
scores = model.signatures["score"](texts=tf.constant([sys.argv[2]]))
settings = {"length": tf.constant(20), "seed": tf.constant(4)}
text = model.generate(tf.constant(["the cat"]), **settings)["texts"][0].numpy().decode()
found = {name: scores[name].numpy().tolist()[0] for name in ("nll", "words")}
print(json.dumps(found | {"text": text}))
"""
    facts = bare.printed(tmp_path, program, str(exported.directory), made.text)
    np.testing.assert_allclose(facts["nll"], model.score(made.text)["nll"], rtol=1e-6)
    assert (
        facts["words"] == 280 and facts["text"] == model.generate("the cat", length=20, seed=4)[0]
    )


def test_what_is_there_is_kept_unless_it_is_an_export_and_may_be_overwritten(
    made, tool, capsys, exported, tmp_path
):
    again = tool(capsys, f"--run={made.run}", f"--output={exported.directory}")
    assert again.code == 1 and "--overwrite" in again.err and len(again.err.splitlines()) == 1
    (tmp_path / "notes.txt").write_text("mine")
    other = tool(capsys, f"--run={made.run}", f"--output={tmp_path}", "--overwrite")
    assert (
        other.code == 1
        and "not overwritten" in other.err
        and [path.name for path in tmp_path.iterdir()] == ["notes.txt"]
    )


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--output=x"], 1, ["--run"]),
        (["--run=missing", "--output=x"], 3, ["missing"]),
        (["--output="], 1, ["--output"]),
    ],
    ids=str,
)
def test_export_refuses_in_one_line(made, tool, capsys, flags, code, words):
    flags = [*flags, f"--run={made.run}"] if flags == ["--output="] else flags
    done = tool(capsys, *flags)
    assert (
        (done.code, done.out) == (code, "")
        and len(done.err.splitlines()) == 1
        and all(word in done.err for word in words)
    )
