"""The weights as safetensors, and the forward pass in NumPy that reads them: it needs NumPy alone,
and gives the library's figures."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
import tensorflow as tf

import bare
import documented
import par
from naive import adaptive_softmax as naive_softmax
from naive import attention as naive_attention
from par.data.tokenizer import EOS, MASK, Tokenizer
from par.evaluate.trained_model import Model
from par.export import safetensors
from par.export.plain import arrays, plain
from par.export.shipped import forward, text
from par.nn.transformer import Memories
from shipped_run import card_python

TEXTS = (
    "the cat sees the dog .\nthe crow",
    "",
    "x",
    "the é cat\t\r\n\n",
    "\ufeffa\0\n",
    "\u05e9\u05dc\u05d5\u05dd \U0001f600",
    "the " * 400,
)
RUNS = ("causal", "post", "tied", "bf16", "search", "post_search")


@pytest.fixture(scope="module")
def exported(made, tmp_path_factory):
    """The causal network, exported by the command."""
    directory = tmp_path_factory.mktemp("safetensors")
    flags = [f"--run={made.causal}", f"--output={directory}", "--format=safetensors"]
    assert importlib.import_module("par.tools.export").main(flags) == 0
    return directory


def network_of(model: Model) -> forward.Network:
    return forward.Network(*arrays(plain(model)))


@pytest.mark.parametrize(
    ("name", "way"),
    [*((name, "soft") for name in RUNS), ("search", "argmax"), ("post_search", "argmax")],
)
def test_windows_with_memory_give_the_log_probabilities_of_the_library(made, name, way):
    model = plain(par.load(getattr(made, name), evaluate_as=way))
    network, memories = network_of(model), model.trunk.empty_memories(2)
    own = network.empty(2)
    assert own.hidden.shape == memories.hidden.shape
    tokens = np.random.default_rng(0).integers(8, 283, [3, 2, 8])
    how = {"visibility": "causal", "phase": model.phase}
    for window in tokens:
        states, own = network(window, own)
        expected, memories = model.trunk(tf.constant(window, tf.int32), memories, **how)
        np.testing.assert_allclose(states, expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(own.hidden, memories.hidden, rtol=1e-5, atol=1e-5)
        assert own.valid.tolist() == memories.valid.numpy().tolist()
    head = model.learner.objective.head
    np.testing.assert_allclose(
        network.log_prob(states).reshape(16, -1),
        head.log_prob(tf.reshape(expected, [16, -1])),
        rtol=1e-5,
        atol=1e-5,
    )


def test_a_search_used_as_its_likeliest_kinds_is_the_network_of_those(made):
    config, _ = arrays(plain(par.load(made.search, evaluate_as="argmax")))
    chosen = par.load(made.search).pi.argmax(axis=1)
    assert config["architecture"] == "".join("adi"[kind] for kind in chosen)
    mixture, _ = arrays(plain(par.load(made.search)))
    assert [block["kinds"] for block in mixture["blocks"]] == ["ad", "a", "ad"]
    for block in mixture["blocks"]:
        assert sum(block["weights"]) + block["identity"] == pytest.approx(1.0)


def test_both_sides_are_seen_but_padding_is_not(made):
    model = par.load(made.masked)
    network, tokens = network_of(model), np.random.default_rng(1).integers(8, 283, [2, 8])
    real = np.arange(8) < np.array([[8], [5]])
    memories = Memories(
        tf.constant(np.random.default_rng(2).normal(size=[2, 2, 5, 16]), tf.float32),
        tf.constant([5, 2]),
    )
    states, _ = network(tokens, forward.Memories(*(each.numpy() for each in memories)), real)
    expected, _ = model.trunk(
        tf.constant(tokens, tf.int32), memories, visibility="bidirectional", real=tf.constant(real)
    )
    np.testing.assert_allclose(states, expected, rtol=1e-5, atol=1e-5)


def test_the_attention_and_the_softmax_are_those_of_their_definitions(made):
    network = network_of(par.load(made.causal))
    rng, w = np.random.default_rng(3), network.weights
    x, memory = rng.normal(size=[2, 4, 16]), rng.normal(size=[2, 5, 16])
    own = {
        name.removeprefix("blocks.0.attention."): weight
        for name, weight in w.items()
        if name.startswith("blocks.0.attention.")
    }
    distance = 5 + np.arange(4)[:, None] - np.arange(9)
    mask = np.where(distance >= 0, 0.0, forward.MASKED)[None, None]
    found = network._attention("blocks.0.attention.", x, memory, distance, mask)
    expected = naive_attention.relative_attention(x, memory, own)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        network.log_prob(x[0]),
        naive_softmax.log_prob(
            x[0], w["head"], [(w["tails.0.down"], w["tails.0.out"])], [60], 283
        ),
        rtol=1e-5,
        atol=1e-5,
    )


def test_a_band_gives_a_window_what_tokens_one_by_one_have(made):
    network = network_of(par.load(made.causal))
    tokens = np.random.default_rng(4).integers(8, 283, [2, 9])
    together, _ = network(tokens, network.empty(2, 3), band=True)
    memories, alone = network.empty(2, 3), []
    for column in tokens.T:
        states, memories = network(column[:, None], memories, band=True)
        alone.append(states)
    np.testing.assert_allclose(together, np.concatenate(alone, axis=1), rtol=1e-4, atol=1e-5)


def test_the_file_is_safetensors_and_reads_back_what_was_written(tmp_path):
    weights = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b.c": np.zeros([0, 4], np.float32),
        "d": np.array([np.pi], np.float32),
    }
    data = safetensors.serialized(weights)
    size = int.from_bytes(data[:8], "little")
    assert json.loads(data[8 : 8 + size])["a"] == {
        "dtype": "F32",
        "shape": [2, 3],
        "data_offsets": [0, 24],
    }
    assert size % 8 == 0 and len(data) == 8 + size + 28
    (tmp_path / "model.safetensors").write_bytes(data)
    (tmp_path / "config.json").write_text("{}")
    read = forward.Network.read(tmp_path).weights
    assert read.keys() == weights.keys()
    assert all((read[name] == weight).all() for name, weight in weights.items())


def test_the_python_of_the_card_runs_as_it_stands_and_gives_the_library_s_figures(
    made, exported, monkeypatch, capsys
):
    documented.check_files("Export as safetensors", exported)
    documented.check("Settings of an export", json.loads((exported / "config.json").read_text()))
    names = card_python(exported, monkeypatch)
    model, shown = par.load(made.causal), capsys.readouterr().out
    assert names["ids"] == [EOS, *model.encode("The first text.\nIts second line.")]
    nll = model._token_nll(np.array(names["ids"][1:]), len(names["ids"]), 5)
    found = names["log_prob"][np.arange(len(nll)), names["ids"][1:]]
    np.testing.assert_allclose(-found, nll, rtol=1e-5, atol=1e-5)
    assert shown.count("\n") > len(nll)


@pytest.mark.slow
def test_the_python_of_a_masked_card_runs(made, tmp_path, call, monkeypatch, capsys):
    done = call("export", f"--run={made.masked}", f"--output={tmp_path}", "--format=safetensors")
    assert done.code == 0 and f"{tmp_path}: fill, embed and README.md" in done.out
    names = card_python(tmp_path, monkeypatch)
    assert names["ids"][2] == MASK and names["log_prob"].shape == (283,)
    assert len(capsys.readouterr().out) > 40


@pytest.mark.parametrize("written", TEXTS, ids=lambda each: repr(each[:12]))
def test_a_text_has_the_ids_and_the_text_of_the_library(made, exported, written):
    model, own = par.load(made.causal), text.Tokenizer(exported)
    assert own.encode(written) == model.encode(written).tolist()
    prompt = written.rstrip(" ")
    assert own.prompt(prompt) == model._prompt_ids(written)
    assert own.decode(own.encode(written)) == model.tokenizer.decode(model.encode(written))
    assert own.encode(written.encode()) == own.encode(written)


def test_invalid_bytes_and_half_characters_become_replacement_characters(exported):
    own = text.Tokenizer(exported)
    assert own.decode(own.encode(b"a\xff\xfeb")) == "a\ufffd\ufffdb\n"
    assert text.clean("a\ud800b").replace("\ufffd", "") == "ab"


def test_words_of_a_word_model_are_encoded_one_by_one(tmp_path):
    from par.data import tokenizer as tokenizers

    model = tokenizers.train(["a b", "c a"], vocab_size=0, model_type="word")
    (tmp_path / "tokenizer.model").write_bytes(model)
    (tmp_path / "config.json").write_text('{"model_type": "word"}')
    written = "a x y  b\n\nc"
    assert (
        text.Tokenizer(tmp_path).encode(written)
        == Tokenizer(model).encode_block(f"{written}\n").tolist()
    )


@pytest.mark.slow
def test_it_runs_where_there_are_numpy_and_sentencepiece_alone(made, exported, tmp_path):
    program = """
import json, sys
for name in ("tensorflow", "keras"):
    sys.modules[name] = None
sys.path.insert(0, sys.argv[1])
from forward import Network
from text import EOS, Tokenizer
network, tokenizer = Network.read(sys.argv[1]), Tokenizer(sys.argv[1])
ids = [EOS, *tokenizer.encode(sys.argv[2])]
states, _ = network([ids[:-1]], network.empty(1))
found = network.log_prob(states)[0]
print(json.dumps([-float(found[i, token]) for i, token in enumerate(ids[1:])]))
"""
    nll = bare.printed(tmp_path, program, str(exported), TEXTS[0], absent=("par",))
    model = par.load(made.causal)
    ids = model.encode(TEXTS[0])
    np.testing.assert_allclose(nll, model._token_nll(ids, len(ids), 5), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_several_formats_are_written_together_or_not_at_all(made, call, tmp_path):
    out = tmp_path / "out"
    flags = (f"--run={made.causal}", f"--output={out}", "--format", "safetensors", "savedmodel")
    done = call("export", *flags, "--json")
    facts = json.loads(done.out)
    documented.check("export --json", facts)
    assert sorted(path.name for path in out.iterdir()) == ["safetensors", "savedmodel"]
    assert set(facts["formats"]["safetensors"]["differences"]) == {"step", "score", "embed"}
    assert facts["bytes"] == sum(each["bytes"] for each in facts["formats"].values())
    assert (out / "safetensors" / "README.md").read_text().startswith("# safetensors\n")
    again = call("export", *flags)
    assert again.code == 1 and "--overwrite" in again.err
    twice = call("export", *flags, "--format=safetensors", "--overwrite")
    assert twice.code == 1 and "--format=safetensors is given twice" in twice.err
    (out / "notes.txt").write_text("mine")
    kept = call("export", *flags, "--overwrite")
    assert kept.code == 1 and "also holds notes.txt" in kept.err
