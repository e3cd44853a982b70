"""Which tokens of a text a network holds for replaced: by the library, in an export, in the texts
of a run, and on its page."""

from __future__ import annotations

import dataclasses
import importlib
import re
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import documented
import par
from built import tiny_data
from par.core.errors import UsageError
from par.data import manifest
from par.data.tokenizer import EOS
from par.evaluate import evaluation
from par.evaluate.replaced_passages import ReplacedPassages, shown
from par.export.saved_model import Exported
from par.objectives.electra_settings import SpanElectraSettings
from par.report import heat_map, setup_section, token_heatmap
from par.train import loading, run_config
from small import random_run, small_config

TEXTS = ("the cat sees the dog .\nthe crow\n", "", "the é cat " * 12, "\ufeffa\0\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs of random weights on a tiny text: with ATO, and without."""
    root = tmp_path_factory.mktemp("detection")
    data = tiny_data(root)
    runs = {}
    for name, settings in (("electra", {}), ("spans", {"ato": False})):
        own = SpanElectraSettings(generator_blocks="d", **settings)
        of = {"objective": "span_electra", "objective_settings": own}
        config = dataclasses.replace(small_config(data, "ada"), **of)
        runs[name] = random_run(root / name, config, data)
    return SimpleNamespace(root=root, data=data, **runs)


@pytest.fixture(scope="module")
def model(made):
    return par.load(made.electra)


def test_each_token_of_a_text_has_its_probability_in_windows_with_memory(model):
    """Against the layers, window by window."""
    objective, seq_len = model.learner.objective, model.config.data.seq_len
    for text in TEXTS:
        found, ids = model.replaced(text), model.encode(text)
        assert found.pieces == model.tokenizer.pieces(ids) and len(found.texts) == len(ids)
        memories, expected = objective.trunk.empty_memories(1), []
        for start in range(0, len(ids), seq_len):
            part = tf.constant(ids[None, start : start + seq_len])
            real = tf.ones(part.shape, tf.bool)
            hidden, memories = objective.trunk(
                part, memories, visibility="bidirectional", real=real
            )
            logits = objective.layers["ato"](hidden, real)[0].numpy()
            expected += (1 / (1 + np.exp(-logits))).tolist()
        np.testing.assert_allclose(found.probability, expected, rtol=1e-4, atol=1e-6)
    assert found.probability.dtype == np.float32


def test_what_can_t_tell_it_is_refused(made, model):
    with pytest.raises(UsageError, match="networks with --ato, but this one was trained with"):
        par.load(made.spans).replaced("a")
    with pytest.raises(UsageError, match="predicts masked pieces, but this one is span_electra: "):
        model.fill("a [MASK]")


def test_the_export_has_it_and_embeds_without_the_generator(made, model):
    exported = Exported(model)
    assert exported.names == ("replaced", "embed")
    found = {name: x.numpy() for name, x in exported.replaced(tf.constant(TEXTS)).items()}
    for row, text in enumerate(TEXTS):
        own = model.replaced(text)
        count = found["tokens"][row]
        assert count == len(own.pieces)
        assert [p.decode() for p in found["pieces"][row, :count]] == own.pieces
        np.testing.assert_array_equal(found["ids"][row, :count], model.encode(text))
        np.testing.assert_allclose(
            found["probabilities"][row, :count], own.probability, rtol=1e-4, atol=1e-6
        )
        assert not found["probabilities"][row, count:].any()
        assert (found["pieces"][row, count:] == b"").all()
    generator = {id(v.value) for v in model.learner.objective.generator.weights}
    assert not any(id(v) in generator for v in exported._weights)


@pytest.mark.slow
def test_the_command_exports_it_with_a_card(made, model, tmp_path, monkeypatch, capsys):
    tool = importlib.import_module("par.tools.export")
    out = tmp_path / "out"
    assert tool.main([f"--run={made.electra}", f"--output={out}"]) == 0
    assert ": replaced, embed and README.md" in capsys.readouterr().out
    documented.check_files("Export", out)
    card = (out / "README.md").read_text()
    names: dict = {}
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"```python\n(.*?)```", card, re.DOTALL)[1], names)
    loaded = names["found"]["probabilities"].numpy()
    own = model.replaced("The first text.").probability
    np.testing.assert_allclose(loaded[0, : len(own)], own, rtol=1e-4, atol=1e-6)
    assert "| split | AUC of replaced tokens | loss per token |" in card
    for word in ("perplexity", "`fill`", "fills in", "{%", "\n\n\n"):
        assert word not in card, word


def test_a_run_shows_what_was_replaced_and_what_it_made_of_it(made, model):
    config, _ = run_config.load(made.electra)
    learner = loading.load_learner(made.electra, config)
    own = ReplacedPassages(learner, made.data, 60)
    text = own.text()
    assert text == own.text() and ReplacedPassages(learner, made.data, 0).text() == ""
    about = manifest.load(made.data)
    scores = evaluation.token_scores(learner, made.data, about, "valid", "fixed")
    seen, logit = scores["seen"][0], scores["logit"][0]
    length = about.seq_len
    first = seen[:length]
    stream = next(iter(evaluation.split_windows(made.data, about, "valid"))).numpy()[0, :-1]
    shares = 1 / (1 + np.exp(-logit[:length]))
    assert text.split("\n")[0] == shown(model.tokenizer, stream, first, shares)
    assert len(text.split("\n")) == about.batch_size == 4
    assert ": " in text and "%]" in text


def test_a_passage_has_the_original_the_replacement_and_the_probability(model):
    ids = model.encode("the cat sees the dog .\n")
    put = ids.copy()
    place = int(np.flatnonzero(ids != EOS)[3])
    put[place] = 8 if ids[place] != 8 else 9
    probability = np.zeros(len(ids), np.float32)
    probability[place] = 0.834
    pieces = model.tokenizer.pieces(np.array([ids[place], put[place]]))
    mark = f"[{pieces[0].lstrip('▁') or '▁'}: {pieces[1].lstrip('▁') or '▁'} 83%]"
    text = shown(model.tokenizer, ids, put, probability)
    assert mark in text and text.count("[") == 1
    probability[place - 1] = 0.5  # an original token that it holds for replaced
    assert shown(model.tokenizer, ids, put, probability).count("[") == 2


def test_the_page_colours_what_is_in_brackets():
    text = "step 3, end of epoch 1:\nthe [sees: hears 83%] dog [a 50%] <b>\n[x]"
    parts = token_heatmap.marked(text)
    assert "".join(part.text for part in parts) == text
    levels = [(p.text, p.level) for p in parts if p.level is not None]
    assert levels == [
        ("[sees: hears 83%]", round(0.83 * heat_map.LEVELS)),
        ("[a 50%]", round(0.5 * heat_map.LEVELS)),
    ]
    contract = run_contract("span_electra")
    run = SimpleNamespace(config=SimpleNamespace(contract=contract), samples=text, first="x")
    section = setup_section.samples_section(run, lambda name, **flags: name)
    assert section.title == "What it detects" and section.parts == parts and not section.missing
    run.samples = ""
    assert setup_section.samples_section(run, lambda name, **flags: name).missing


def run_contract(name):
    from par.objectives import OBJECTIVES

    return OBJECTIVES[name]


def test_a_text_is_coloured_by_the_probability_of_each_token():
    html = token_heatmap.suspected(["▁a", "<0xF0>", "<0x9F>"], ["a", "", "?"], [0.0, 0.2, 0.9])
    titles = re.findall(r'title="([^"]*)"', html)
    assert titles[0] == "▁a: replaced with probability 0.0%"
    assert titles[1].endswith("replaced with probability 90.0%")  # of bytes the largest
    assert "probability that a token was replaced:" in html and " and more" not in html
