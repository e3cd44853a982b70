"""ONNX graphs compute what the library does, for any number of rows, in plain operators; the
scripts beside them need onnxruntime and sentencepiece alone."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import authored
import documented
import par
from par.data.tokenizer import EOS
from par.export import onnx_graphs, shipping
from par.export.array_functions import Library
from par.export.formats import FORMATS
from par.export.self_check import Sample
from shipped_run import LARGE, ODD, card_python, require, script, source
from small import random_run

RUNS = ("causal", "post", "dense", "bf16", "search")
OTHERS = ("masked", "replaced", "authors")


@pytest.fixture(autouse=True)
def packages():
    require("tf2onnx", "onnx", "onnxruntime", extra="onnx")


@pytest.fixture(scope="module")
def exported(made, tmp_path_factory):
    """The causal network, exported without its card."""
    require("tf2onnx", "onnx", "onnxruntime", extra="onnx")
    directory = tmp_path_factory.mktemp("onnx")
    onnx_graphs.write(source(par.load(made.causal), made.data), directory)
    return directory


def test_the_graphs_have_plain_operators_of_opset_17_and_share_their_weights(exported):
    import onnx

    sizes = {}
    for path in exported.glob("*.onnx"):
        model = onnx.load(path, load_external_data=False)
        assert [(each.domain, each.version) for each in model.opset_import if not each.domain] == [
            ("", 17)
        ]
        assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
        assert not {node.op_type for node in model.graph.node} & {"If", "Loop", "Scan"}
        onnx.checker.check_model(str(path))
        for tensor in model.graph.initializer:
            for entry in tensor.external_data:
                if entry.key == "offset":
                    sizes.setdefault(tensor.dims and int(entry.value), set()).add(path.name)
    assert {"step.onnx", "score.onnx", "embed.onnx"} in sizes.values()


def test_a_call_takes_any_number_of_rows(made, exported):
    sessions = onnx_graphs.Sessions({"step": str(exported / "step.onnx")})
    library = Library(par.load(made.causal))
    rng = np.random.default_rng(0)
    for rows in (1, 3):
        inputs = {
            "tokens": rng.integers(8, 283, rows).astype(np.int32),
            "hidden": rng.normal(size=[2, rows, 12, 16]).astype(np.float32),
            "valid": np.arange(rows, dtype=np.int32) * 6,
        }
        found, expected = (each("step", inputs) for each in (sessions, library))
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-5)


@pytest.mark.quick(1)
@pytest.mark.parametrize("name", [*OTHERS, *RUNS])
def test_every_network_passes_the_check(made, name, tmp_path):
    model = par.load(getattr(made, name))
    [shipped] = shipping.ship(
        source(model, made.data), [FORMATS["onnx"]], tmp_path, lambda shipped: "the card"
    )
    assert max(shipped.differences.values()) < 1e-5
    others = {"generate", "user_encoding"}
    assert set(shipped.differences) == set(model.config.contract.exports) - others
    assert (tmp_path / "README.md").read_text() == "the card"


def test_generate_py_writes_the_library_s_greedy_text(made, exported):
    model = par.load(made.causal)
    for prompt in ("the cat\nsees ", ""):
        found = script(
            exported, "generate.py", prompt, "--length=30", "--temperature=0", "--seed=3"
        )
        assert found == model.generate(prompt, length=30, temperature=0.0)[0] + "\n"


@pytest.mark.slow
def test_generate_py_draws_by_its_settings_and_its_seed(exported):
    def texts(*flags):
        return script(exported, "generate.py", "the", "--length=20", *flags)

    greedy = texts("--temperature=0")
    assert texts("--top_k=1") == texts("--top_p=1e-9") == texts("--temperature=1e-3") == greedy
    assert texts("--seed=1") == texts("--seed=1") != texts("--seed=2")


def test_score_py_gives_the_figures_of_the_library_for_odd_texts(made, exported, tmp_path):
    model = par.load(made.causal)
    texts = ODD | {"valid": made.text.encode()}
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)
    lines = script(exported, "score.py", *(str(tmp_path / name) for name in texts)).splitlines()
    for (name, text), line in zip(texts.items(), lines, strict=True):
        found = json.loads(line)
        if not text:
            assert found == {"nll": 0.0, "tokens": 0, "words": 0, "perplexity_per_word": None}
            continue
        expected = model.score(text.decode("utf-8", "replace"))
        for figure in ("nll", "tokens", "words", "perplexity_per_word"):
            assert found[figure] == pytest.approx(expected[figure], rel=1e-5), (name, figure)
    assert json.loads(script(exported, "score.py", stdin=texts["valid"])) == json.loads(lines[-1])


@pytest.mark.slow
def test_score_py_reads_a_large_text(made, exported, tmp_path):
    (tmp_path / "large").write_bytes(LARGE)
    found = json.loads(script(exported, "score.py", str(tmp_path / "large")))
    assert found["tokens"] == len(par.load(made.causal).encode(LARGE.decode()))
    assert found["words"] == 9_000 * 7 and np.isfinite(found["nll"])


@pytest.mark.slow
def test_the_command_writes_the_files_and_a_card_whose_python_runs(
    made, call, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    done = call("export", f"--run={made.causal}", f"--output={out}", "--format=onnx", "--json")
    facts = json.loads(done.out)
    documented.check("export --json", facts)
    documented.check_files("Export as ONNX", out)
    names = card_python(out, monkeypatch)
    ids, model = [EOS, *names["tokenizer"].prompt("The first")], par.load(made.causal)
    expected = Sample(model, np.array(ids)).values("step", Library(model))
    assert names["log_prob"].shape == (1, 283) and expected.shape == (8, 125)
    decoder = model.decoder()
    log_prob, _ = decoder.log_prob(np.array(ids[-1:], np.int32), decoder.read(ids[:-1]))
    np.testing.assert_allclose(names["log_prob"], log_prob, rtol=1e-5, atol=1e-5)
    whole = model.embed("The first text.")[:8]
    np.testing.assert_allclose(names["states"][0, :8], whole, atol=1e-4)
    masked = call("export", f"--run={made.masked}", f"--output={tmp_path / 'm'}", "--format=onnx")
    assert ": fill, embed and README.md" in masked.out
    assert card_python(tmp_path / "m", monkeypatch)["log_prob"].shape == (1, 8, 283)
    assert len(capsys.readouterr().out) > 100


def test_encode_py_gives_the_encodings_of_the_library(made, tmp_path):
    """Of texts of no part, of less than one, and of several."""
    model = par.load(made.authors)
    onnx_graphs.write(source(model, made.data), tmp_path)
    texts = ["", "x", "the \U0001f600 cat\n\n", "\u05e9\u05dc\u05d5\u05dd .", made.text]
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.txt").write_text(text)
    files = [str(tmp_path / f"{number}.txt") for number in range(len(texts))]
    found = json.loads(script(tmp_path, "encode.py", *files))
    expected = model.encodings(texts)
    np.testing.assert_allclose(found["encodings"], expected, atol=2e-6)
    np.testing.assert_allclose(found["cosines"], expected @ expected.T, atol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["mean", "cls"])
def test_a_run_of_authors_is_exported_with_cards_whose_python_runs(
    pool, call, tmp_path, monkeypatch, capsys
):
    require("ai_edge_litert", extra="litert")
    data = authored.build(
        tmp_path, "data", authored.coded(), "--vocab_size=280", "--model_type=char"
    )
    run, out = tmp_path / "run", tmp_path / "out"
    random_run(run, authored.config(data, pool=pool), data)
    done = call("export", f"--run={run}", f"--output={out}", "--format", "onnx", "litert")
    assert "onnx: encodings, embed, encode.py and README.md" in done.out
    assert "litert: model.tflite (encodings), encode.py and README.md" in done.out
    model = par.load(run)
    expected = model.user_encoding(["A text of an author.", "Another one."])
    capsys.readouterr()
    for name, title in (("onnx", "Export as ONNX"), ("litert", "Export as LiteRT")):
        documented.check_files(title, out / name)
        user = card_python(out / name, monkeypatch)["user"]
        np.testing.assert_allclose(user, expected, atol=2e-6)
        assert -1 <= float(capsys.readouterr().out.splitlines()[-1]) <= 1


@pytest.mark.slow
def test_quantize_rounds_the_weights_and_prints_what_that_costs(made, call, tmp_path):
    flags = (f"--run={made.causal}", "--format=onnx")
    done = call("export", *flags, f"--output={tmp_path / 'out'}", "--quantize=int8")
    assert done.code == 0, done.err
    [score] = [line for line in done.out.splitlines() if "`score`" in line]
    assert score.startswith("onnx: Weights in int8: by `score`, the mean nll of these tokens is ")
    model = par.load(made.causal)
    sample = Sample(model, model.encode(made.text))
    sessions = onnx_graphs.Sessions({"score": str(tmp_path / "out" / "score.onnx")})
    rounded, exact = (sample.values("score", each) for each in (sessions, Library(model)))
    assert 1e-6 < abs(rounded - exact).max() < 1.0
    assert "Weights in int8" in (tmp_path / "out" / "README.md").read_text()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--format=savedmodel", "--quantize=int8"],
            "has no effect on savedmodel: add --format=onnx",
        ),
        (["--format=page", "--quantize=float16"], "add --format=litert, or leave it out"),
        (["--table=x.npz", "--quantize=int8"], "--quantize has no effect beside --table"),
    ],
)
def test_quantize_is_refused_where_nothing_can_be_rounded(made, call, tmp_path, flags, words):
    run = [] if "--table=x.npz" in flags else [f"--run={made.causal}"]
    done = call("export", *run, f"--output={tmp_path / 'out'}", *flags)
    assert done.code == 1 and words in done.err and len(done.err.splitlines()) == 1


def test_without_the_packages_the_command_says_how_to_install_them(
    made, call, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if "onnx" in name else name)
    done = call("export", f"--run={made.causal}", f"--output={tmp_path / 'x'}", "--format=onnx")
    assert done.code == 1 and done.err == (
        "error: --format=onnx needs tf2onnx and onnx and onnxruntime, which are not installed:"
        ' pip install "par-transformer-xl[onnx]"\n'
    )
    assert list(tmp_path.iterdir()) == []
