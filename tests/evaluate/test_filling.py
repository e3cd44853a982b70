"""Masked pieces are filled in with what the network expects, by the library and by tools/fill.py;
and texts are embedded, each as if it were alone."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import documented
import par
from par.core.errors import UsageError
from par.data import manifest, records
from par.data.tokenizer import EOS, MASK, PAD
from par.evaluate.filled_sentences import FilledSentences, masked_places, sentences
from par.evaluate.filling import Filler
from par.objectives.settings import MaskedLMSettings
from par.report import attention_plot
from par.train import loading, run_config
from small import random_run, small_config, small_data

T, M, V = 8, 5, 40
TEXT = "w9 [MASK] w11 w12 [MASK][MASK] w30"
LONG = " ".join(f"w{8 + i * i % 32}" if i % 7 else "[MASK]" for i in range(1, 60))


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> SimpleNamespace:
    """Runs of random weights, masked and causal, on a synthetic stream; not to be changed."""
    root = tmp_path_factory.mktemp("filling")
    data = small_data(root / "data", train=400, valid=300)
    masked = {"objective": "masked_lm", "objective_settings": MaskedLMSettings()}
    runs = {
        name: random_run(
            root / name, dataclasses.replace(small_config(data, blocks, **more), **of), data
        )
        for name, blocks, more, of in (
            ("masked", "adad", {"cutoffs": (20,)}, masked),
            ("search", "ss", {}, masked),
            ("causal", "ad", {}, {}),
        )
    }
    return SimpleNamespace(root=root, data=data, **runs)


@pytest.fixture(scope="module")
def model(made):
    return par.load(made.masked)


@pytest.fixture(scope="module")
def causal(made):
    return par.load(made.causal)


def ids_of(text: str) -> np.ndarray:
    """Of words, by hand."""
    words = text.replace("[MASK]", " [MASK] ").split()
    return np.array([MASK if word == "[MASK]" else int(word[1:]) for word in words] + [EOS])


def naive(model, ids: np.ndarray, seq_len: int, mem_len: int) -> np.ndarray:
    """Probabilities [K, V] at the masks of ids, window by window, the last one short."""
    stream, found = np.append(EOS, ids).astype(np.int32), []
    memories = model.trunk.empty_memories(1, mem_len)
    for start in range(0, len(stream), seq_len):
        window = stream[None, start : start + seq_len]
        hidden, memories = model.trunk(
            tf.constant(window), memories, visibility="bidirectional", phase=model.phase
        )
        log_prob = model.learner.objective.head.log_prob(hidden[0]).numpy()
        found.append(np.exp(log_prob[window[0] == MASK]))
    return np.concatenate(found)


@pytest.mark.parametrize(
    ("text", "sizes"),
    [(TEXT, {}), (LONG, {}), (LONG, {"mem_len": 0}), (LONG, {"seq_len": 200, "mem_len": 3})],
)
def test_the_candidates_are_the_most_probable_ordinary_pieces(model, text, sizes):
    filled = model.fill(text, k=4, **sizes)
    ids = ids_of(text)
    expected = naive(model, ids, sizes.get("seq_len", T), sizes.get("mem_len", M))
    assert len(filled.masks) == len(expected) == text.count("[MASK]") >= 3
    for candidates, row in zip(filled.masks, expected):
        best = np.argsort(-row[8:], kind="stable")[:4] + 8
        assert [found.id for found in candidates] == best.tolist()
        assert [found.piece for found in candidates] == [f"▁w{i}" for i in best]
        np.testing.assert_allclose(
            [found.probability for found in candidates], row[best], rtol=1e-4
        )
    ids[ids == MASK] = [candidates[0].id for candidates in filled.masks]
    assert filled.text == " ".join(f"w{i}" for i in ids[:-1])


def test_all_candidates_are_all_ordinary_pieces(model):
    (candidates,) = model.fill("w9 [MASK]", k=1000).masks
    assert sorted(found.id for found in candidates) == list(range(8, V))
    special = naive(model, ids_of("w9 [MASK]"), T, M)[0, :8].sum()
    assert sum(found.probability for found in candidates) == pytest.approx(1 - special, abs=1e-5)


def test_windows_that_no_mask_can_see_are_not_read(model, monkeypatch):
    """With one [MASK] far from the beginning, as with every window read."""
    text = "w9 " * 200 + "w30 [MASK] w11" + " w12" * 100
    read = []
    graph = Filler._graph

    def counted(self, *of):
        made = graph(self, *of)
        return lambda *given: read.append(1) or made(*given)

    monkeypatch.setattr(Filler, "_graph", counted)
    few = model.fill(text)
    assert len(read) == 1 + -(-2 * (M + T - 1) // T)  # two blocks with attention
    monkeypatch.setattr(Filler, "_needed", lambda self, asking, *of: set(range(1000)))
    assert model.fill(text) == few and len(read) > 40


def test_a_mask_sees_both_sides_of_its_window_and_memory(model):
    def first(text):
        return model.fill(text, k=1000, seq_len=16).masks[0]

    alone = dict((c.id, c.probability) for c in first("w9 w10 [MASK] w11 w12"))
    for changed in ("w8 w10 [MASK] w11 w12", "w9 w10 [MASK] w11 w13"):
        other = dict((c.id, c.probability) for c in first(changed))
        assert max(abs(alone[i] - other[i]) for i in alone) > 1e-4


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"has no \[MASK\]"),
        ("w9 w10", r"has no \[MASK\]: write \[MASK\] for each piece"),
        (7, "a text must be a str, but is int"),
        ("\ud800 [MASK]", "half of one at position 0"),
    ],
)
def test_what_can_t_be_filled_is_refused(model, text, said):
    with pytest.raises(UsageError, match=said):
        model.fill(text)


def test_odd_settings_and_other_objectives_are_refused(model, causal):
    for k in (0, -1, 1.5, "5", True, None):
        with pytest.raises(UsageError, match="k must be"):
            model.fill(TEXT, k=k)
    with pytest.raises(UsageError, match="seq_len must be at least 1"):
        model.fill(TEXT, seq_len=0)
    needs = "fill needs a run that predicts masked pieces, but this one is causal_lm: use generate"
    with pytest.raises(UsageError, match=needs):
        causal.fill(TEXT)
    with pytest.raises(UsageError, match="next token, but this one is masked_lm: use fill"):
        model.generate("w9")


def test_lines_and_their_ends_stay_as_they_are(model):
    for text in ("w9 [MASK]\nw10", "w9 [MASK]\n\nw10\n", "\ufeff[MASK]\r\nw9\r\n"):
        (candidates,) = model.fill(text, k=1).masks
        plain = text.removeprefix("\ufeff").replace("\r\n", "\n")
        assert model.fill(text).text == plain.replace("[MASK]", candidates[0].piece[1:])


each = pytest.mark.parametrize("name", ["model", "causal"])
TEXTS = ["w9 w10 w11", "", "w12", "w9 " * 50, "w10 " * 8, "w9 w10\nw11\n", "unheard w9"]


@each
def test_one_vector_a_text_is_the_mean_of_its_tokens(name, request):
    own = request.getfixturevalue(name)
    found = own.embed(TEXTS)
    assert found.shape == (len(TEXTS), 16) and found.dtype == np.float32
    for text, row in zip(TEXTS, found):
        states = own.embed(text)
        assert states.shape == (len(own.encode(text)), 16)
        mean = states.mean(axis=0) if text else np.zeros(16)
        np.testing.assert_allclose(row, mean, atol=2e-6)
    assert own.embed([]).shape == (0, 16)


@each
def test_a_text_is_embedded_as_if_it_were_alone(name, request):
    """Whatever is beside it, how long that is, and in whatever order."""
    own, texts = request.getfixturevalue(name), [f"w{8 + i % 32} " * (1 + i) for i in range(70)]
    found = own.embed(texts)
    np.testing.assert_allclose(own.embed(texts[::-1])[::-1], found, atol=2e-6)
    for i in (0, 7, 8, 69):
        np.testing.assert_allclose(own.embed([texts[i]])[0], found[i], atol=2e-6)


def test_padding_behind_a_text_changes_none_of_its_states(model):
    """In a network that sees both sides, padding that is seen would."""
    ids = model.encode("w9 w10 w11").astype(np.int32)
    hidden, _ = model.trunk(
        tf.constant(ids[None]), model.trunk.empty_memories(1), visibility="bidirectional"
    )
    np.testing.assert_allclose(model.embed("w9 w10 w11"), hidden[0], atol=2e-6)
    padded = np.append(ids, [PAD] * (T - len(ids))).astype(np.int32)
    seen, _ = model.trunk(
        tf.constant(padded[None]), model.trunk.empty_memories(1), visibility="bidirectional"
    )
    assert np.abs(seen[0, : len(ids)] - hidden[0]).max() > 1e-3


def test_what_is_not_texts_is_refused(model):
    with pytest.raises(UsageError, match="texts must be a str or several, but are int"):
        model.embed(7)
    with pytest.raises(UsageError, match="a text must be a str, but is NoneType"):
        model.embed(["w9", None])


@pytest.mark.parametrize("way", [pytest.param("soft", marks=pytest.mark.slow), "argmax"])
def test_a_search_fills_as_its_mixture_or_its_likeliest_kinds(made, call, way):
    expected = par.load(made.search, evaluate_as=way).fill(TEXT).masks
    done = call("fill", f"--run={made.search}", f"--text={TEXT}", f"--evaluate_as={way}", "--json")
    found = [mask["candidates"] for mask in json.loads(done.out)["masks"]]
    assert found == [[each._asdict() for each in candidates] for candidates in expected]
    kinds = par.load(made.search).pi.argmax(axis=1)
    blocks = "".join("adi"[kind] for kind in kinds)
    derived = call(
        "fill", f"--run={made.search}", f"--text={TEXT}", f"--architecture={blocks}", "--json"
    )
    own = [mask["candidates"] for mask in json.loads(derived.out)["masks"]]
    same = all(
        a["id"] == b["id"] and abs(a["probability"] - b["probability"]) < 1e-5
        for one, other in zip(own, found)
        for a, b in zip(one, other)
    )
    assert same == (way == "argmax")


def test_the_command_prints_the_candidates_and_the_text(made, call, model, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(f"{TEXT}\r\n".encode())))
    done = call("fill", f"--run={made.masked}", "--text_file=-", "--k=2")
    filled = model.fill(TEXT, k=2)
    heads, *rows = done.out.split("\n")
    assert heads.split() == ["mask", "piece", "probability"] and done.code == 0
    expected = [
        [str(number), found.piece, f"{found.probability:.4f}"]
        for number, candidates in enumerate(filled.masks, 1)
        for found in candidates
    ]
    assert [row.split() for row in rows[:6]] == expected
    assert rows[6:] == ["", filled.text, ""]
    found = json.loads(
        call("fill", f"--run={made.masked}", f"--text={TEXT}", "--mem_len=0", "--json").out
    )
    documented.check("fill --json", found)
    assert (found["filled"], found["mem_len"]) == (model.fill(TEXT, mem_len=0).text, 0)


def hostile(tmp_path, data: bytes) -> str:
    (tmp_path / "odd").write_bytes(data)
    return f"--text_file={tmp_path / 'odd'}"


def test_hostile_texts_get_one_line_and_their_exit_code(made, call, tmp_path):
    cases = [
        ([], 1, "has no [MASK]"),
        (["--text=w9"], 1, "has no [MASK]"),
        (["--text=[MASK]", "--text_file=x"], 1, "give --text or --text_file, not both"),
        (["--text=[MASK]", "--k=0"], 1, "--k must be at least 1, but is 0"),
        (["--text=[MASK]", "--architecture=ss"], 1, "--architecture must be a fixed network"),
        (["--text=[MASK]", "--architecture=dada"], 1, "can't take the weights"),
        (
            ["--text=[MASK]", "--architecture=adad", "--evaluate_as=soft"],
            1,
            "--evaluate_as has no effect beside --architecture",
        ),
        (["--text_file=/nowhere"], 1, "/nowhere"),
        (b"[MASK] \xff", 3, "not UTF-8: byte 7 is 0xff"),
        (b"PK\x03\x04" + b"\0" * 90, 3, "not plain text"),
        (b"[MASK] " * 200_000, 1, "at most 1,048,576 bytes"),
    ]
    for flags, code, said in cases:
        given = [hostile(tmp_path, flags)] if isinstance(flags, bytes) else flags
        done = call("fill", f"--run={made.masked}", *given)
        assert (done.code, done.out) == (code, ""), (said, done.err)
        assert said in done.err and done.err.count("\n") == 1, done.err
    for name, tool, other in (("causal", "fill", "generate"), ("masked", "generate", "fill")):
        flag = {"fill": "--text=[MASK]", "generate": "--prompt=w9"}[tool]
        done = call(tool, f"--run={getattr(made, name)}", flag)
        assert (done.code, done.out) == (1, "") and done.err.endswith(f": use {other}\n")


def test_texts_of_any_kind_are_filled(made, call, tmp_path):
    odd = "\u05e9\u05dc\u05d5\u05dd \U0001f600 [MASK] \u202e\x1b[2J w9\n\n\0" + "w9 " * 60_000
    done = call("fill", f"--run={made.masked}", hostile(tmp_path, odd.encode()), "--k=1")
    assert done.code == 0 and done.out.split("\n")[1].startswith("1     ▁w")


def test_sentences_are_the_first_lines_that_are_long_enough():
    stream = np.concatenate(
        [np.array([*range(8, 8 + n), EOS]) for n in (3, 6, 30, 7, 9)] + [np.arange(8, 20)]
    ).astype(np.int32)
    found = [line.tolist() for line in sentences(stream, 20)]
    assert found == [[*range(8, 14), EOS], [*range(8, 15), EOS]]
    assert [len(line) for line in sentences(stream[4 + 7 :], 20)] == [20]  # a long one is cut
    assert list(sentences(stream[:4], 99)) == [] and list(sentences(stream, 3)) == []
    for line in sentences(stream, 99):
        places = masked_places(line)
        assert len(places) == max(1, round(0.15 * (len(line) - 1))) == len(set(places))
        assert (line[places] >= 8).all()


def test_a_run_shows_what_it_fills_in_held_out_text(made, model):
    config, _ = run_config.load(made.masked)
    learner = loading.load_learner(made.masked, config)
    before = [weight.numpy().copy() for weight in learner.weights]
    own = FilledSentences(learner, made.data, 20)
    text = own.text()
    assert text == own.text() and FilledSentences(learner, made.data, 0).text() == ""
    stream = next(sentences(records.read_stream(made.data, manifest.load(made.data), "valid"), 20))
    masked = " ".join(
        "[MASK]" if i in masked_places(stream) else f"w{t}" for i, t in enumerate(stream[:-1])
    )
    expected = iter(model.fill(masked, k=1).masks)
    words = []
    for place, token in enumerate(stream[:-1]):
        shown = f"w{token}"
        if place in masked_places(stream):
            (best,) = next(expected)
            shown = f"[{shown}: {best.piece[1:]} {best.probability:.0%}]"
        words.append(shown)
    assert text == " ".join(words)
    for weight, value in zip(learner.weights, before):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_a_masked_run_can_be_looked_into(model, tmp_path):
    """Attention of both sides, its picture, and neighbours of a piece."""
    found = model.attention("w9 w10 w11 w12 w13", block=3)
    np.testing.assert_allclose(found.probability.sum(axis=-1), 1, rtol=1e-5)
    assert (found.probability > 0).all()  # what follows a token, too
    attention_plot.attention(tmp_path / "a.png", found.probability, found.keys, title="block 3")
    assert (tmp_path / "a.png").stat().st_size > 1000 and len(model.nearest("w9", k=3)) == 3
