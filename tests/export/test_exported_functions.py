"""What an export does is what its objective says, with the figures of the library: masked texts
are filled, any network's texts are embedded."""

from __future__ import annotations

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
from par.export.saved_model import FUNCTIONS, Exported
from par.objectives import OBJECTIVES
from toy_objective import TOY

TEXTS = (
    "the [MASK] sees the dog .\nthe cro[MASK]",
    "",
    "the é cat [MASK][MASK]\t\r\n\n",
    "\ufeffa\0\n",
    "[MASK]he " * 30,
    "\u05e9\u05dc [MASK] \U0001f600",
)


@pytest.fixture(scope="module")
def model(made):
    return par.load(made.masked)


@pytest.fixture(scope="module")
def exported(made, tmp_path_factory):
    """The masked network, exported by the command, and loaded."""
    directory = tmp_path_factory.mktemp("functions")
    tool = importlib.import_module("par.tools.export")
    assert tool.main([f"--run={made.masked}", f"--output={directory}"]) == 0
    return SimpleNamespace(
        directory=directory,
        loaded=tf.saved_model.load(str(directory)),
        card=(directory / "README.md").read_text(),
    )


def check_fill(model, fill) -> None:
    found = fill(tf.constant(TEXTS), k=tf.constant(3))
    counts = [text.count("[MASK]") for text in TEXTS]
    assert found["masks"].numpy().tolist() == counts
    assert found["pieces"].shape == (len(TEXTS), max(counts), 3)
    for i, (text, count) in enumerate(zip(TEXTS, counts)):
        shown = found["texts"][i].numpy().decode()
        pieces = np.vectorize(bytes.decode)(found["pieces"][i].numpy())
        assert (pieces[count:] == "").all() and not found["probabilities"][i, count:].numpy().any()
        assert not found["ids"][i, count:].numpy().any()
        if not count:
            assert shown == model.tokenizer.decode(model.encode(text)) if text else shown == ""
            continue
        expected = model.fill(text, k=3)
        assert shown == expected.text
        for place, candidates in enumerate(expected.masks):
            assert pieces[place].tolist() == [each.piece for each in candidates]
            assert found["ids"][i, place].numpy().tolist() == [each.id for each in candidates]
            np.testing.assert_allclose(
                found["probabilities"][i, place],
                [each.probability for each in candidates],
                rtol=1e-4,
            )


@pytest.fixture(scope="module")
def traced(model) -> Exported:
    """The masked network as it is before it is saved."""
    return Exported(model)


def test_fill_gives_the_pieces_of_the_library(model, traced):
    exported = traced
    check_fill(model, exported.fill)
    assert exported.names == ("fill", "embed") and exported.memory_shape == []
    (one,) = exported.fill(tf.constant(["[MASK]"]))["pieces"].numpy()  # five by default
    assert [piece.decode() for piece in one[0]] == [c.piece for c in model.fill("[MASK]").masks[0]]
    most = exported.fill(tf.constant(["[MASK]"]), k=tf.constant(100_000))["ids"].numpy()
    assert sorted(most[0, 0]) == list(range(8, 283))


@pytest.mark.parametrize("name", ["masked", pytest.param("causal", marks=pytest.mark.slow)])
def test_embed_gives_the_vectors_of_the_library(made, model, traced, name):
    own, exported = model, traced
    if name == "causal":
        own = par.load(made.causal)
        exported = Exported(own)
    found = exported.embed(tf.constant(TEXTS))["states"]
    assert found.shape == (len(TEXTS), 16)
    np.testing.assert_allclose(found, own.embed(TEXTS), rtol=1e-4, atol=2e-6)
    assert exported.names == own.config.contract.exports
    assert exported.embed(tf.constant([], tf.string))["states"].shape == (0, 16)


def test_every_objective_exports_functions_that_there_are():
    for contract in (*OBJECTIVES.values(), TOY):
        assert contract.exports and set(contract.exports) <= set(FUNCTIONS)
        assert ("generate" in contract.exports) == contract.generates
        assert ("fill" in contract.exports) == contract.fills
        assert "embed" in contract.exports


@pytest.mark.slow
def test_a_masked_run_is_exported_by_the_command_with_a_card_of_its_objective(
    made, call, tmp_path
):
    done = call("export", f"--run={made.masked}", f"--output={tmp_path / 'out'}", "--json")
    facts = json.loads(done.out)
    documented.check("export --json", facts | {"scores": {}})  # the page tells a causal run's
    documented.check_files("Export", tmp_path / "out")
    assert set(facts["scores"]["valid"]) == {"nll_per_token", "accuracy", "tokens", "words"}
    shown = call("export", f"--run={made.masked}", f"--output={tmp_path / 'two'}").out
    assert "valid: nll per masked token " in shown and ": fill, embed and README.md" in shown


@pytest.mark.slow
def test_the_loaded_export_fills_and_embeds_as_the_library(model, exported):
    check_fill(model, exported.loaded.fill)
    found = exported.loaded.signatures["embed"](texts=tf.constant(TEXTS))["states"]
    np.testing.assert_allclose(found, model.embed(TEXTS), rtol=1e-4, atol=2e-6)
    assert set(exported.loaded.signatures) == {"fill", "embed"}


@pytest.mark.slow
def test_the_python_of_the_card_runs_and_the_card_speaks_of_no_next_token(
    exported, monkeypatch, capsys
):
    monkeypatch.chdir(exported.directory.parent)
    names: dict = {}
    exec(re.search(r"```python\n(.*?)```", exported.card, re.DOTALL)[1], names)
    assert names["states"].shape == (2, 16) and "[MASK]" not in capsys.readouterr().out
    assert names["filled"]["masks"].numpy().tolist() == [1, 2]
    assert "objective masked_lm: a token of a window sees both sides" in exported.card
    assert "| split | nll per masked token | accuracy of masked tokens |" in exported.card
    for word in ("perplexity", "Perplexit", "`score`", "`generate`", "continues", "{%", "\n\n\n"):
        assert word not in exported.card, word


@pytest.mark.slow
def test_it_loads_where_there_are_tensorflow_and_its_text_operations_alone(
    model, exported, tmp_path
):
    program = """
import json, sys
import tensorflow as tf
import tensorflow_text
model = tf.saved_model.load(sys.argv[1])
text = tf.constant([sys.argv[2]])
filled, states = model.fill(text), model.signatures["embed"](texts=text)["states"]
print(json.dumps({"text": filled["texts"][0].numpy().decode(), "states": states.numpy().tolist()}))
"""
    facts = bare.printed(tmp_path, program, str(exported.directory), TEXTS[0])
    assert facts["text"] == model.fill(TEXTS[0]).text
    np.testing.assert_allclose(facts["states"], model.embed([TEXTS[0]]), rtol=1e-4, atol=2e-6)
