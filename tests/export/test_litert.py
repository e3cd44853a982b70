"""A LiteRT file computes what the library does, in built-in operators alone; the script beside it
needs ai-edge-litert and sentencepiece alone."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import documented
import par
from par.data.tokenizer import EOS
from par.export import litert, shipping
from par.export.formats import FORMATS
from shipped_run import card_python, require, script, source

RUNS = ("causal", "post", "dense", "bf16", "search")
OTHERS = ("masked", "replaced", "authors")


@pytest.fixture(autouse=True)
def package():
    require("ai_edge_litert", extra="litert")


@pytest.fixture(scope="module")
def exported(made, tmp_path_factory):
    """The causal network, exported without its card."""
    require("ai_edge_litert", extra="litert")
    directory = tmp_path_factory.mktemp("litert")
    litert.write(source(par.load(made.causal), made.data), directory)
    return directory


@pytest.mark.quick(2)
@pytest.mark.parametrize("name", [*OTHERS, *RUNS])
def test_every_network_passes_the_check(made, name, tmp_path):
    [shipped] = shipping.ship(
        source(par.load(getattr(made, name)), made.data),
        [FORMATS["litert"]],
        tmp_path,
        lambda shipped: "",
    )
    functions = {"masked": "fill", "replaced": "replaced", "authors": "encodings"}
    assert set(shipped.differences) == {functions.get(name, "step")}
    assert max(shipped.differences.values()) < 1e-5


def test_it_has_no_operators_of_tensorflow(exported):
    from ai_edge_litert.interpreter import Interpreter

    made = Interpreter(str(exported / "model.tflite"))
    operators = {each["op_name"] for each in made._get_ops_details()}
    assert "FULLY_CONNECTED" in operators or "BATCH_MATMUL" in operators
    assert not [name for name in operators if name.startswith("Flex") or name == "CUSTOM"]


def test_generate_py_writes_the_library_s_greedy_text(made, exported):
    model = par.load(made.causal)
    for prompt in ("the cat\nsees ", ""):
        found = script(exported, "generate.py", prompt, "--length=30", "--temperature=0")
        assert found == model.generate(prompt, length=30, temperature=0.0)[0] + "\n"


@pytest.mark.slow
def test_the_command_writes_the_files_and_cards_whose_python_runs(
    made, call, tmp_path, monkeypatch, capsys
):
    out = tmp_path / "out"
    done = call("export", f"--run={made.causal}", f"--output={out}", "--format=litert", "--json")
    documented.check("export --json", json.loads(done.out))
    documented.check_files("Export as LiteRT", out)
    names = card_python(out, monkeypatch)
    ids = [EOS, *names["tokenizer"].prompt("The first")]
    decoder = par.load(made.causal).decoder()
    log_prob, _ = decoder.log_prob(np.array(ids[-1:], np.int32), decoder.read(ids[:-1]))
    np.testing.assert_allclose(names["log_prob"], log_prob[0], rtol=1e-5, atol=1e-5)
    flags = (f"--run={made.masked}", f"--output={tmp_path / 'm'}", "--format=litert")
    assert "model.tflite (fill) and README.md" in call("export", *flags).out
    assert card_python(tmp_path / "m", monkeypatch)["made"]["log_prob"].shape == (1, 8, 283)
    assert len(capsys.readouterr().out) > 100


def test_float16_halves_the_file_and_is_told_in_nats(made, exported, tmp_path):
    written = litert.write(source(par.load(made.causal), made.data, "float16"), tmp_path)
    [note] = written.notes
    assert note.startswith("Weights in float16: by `step`, the mean nll of these tokens is ")
    sizes = [(each / "model.tflite").stat().st_size for each in (tmp_path, exported)]
    weights = par.load(made.causal).learner.weights
    saved = 2 * sum(weight.shape.num_elements() for weight in weights)
    assert sizes[1] - sizes[0] > 0.7 * saved


def test_without_the_package_the_command_says_how_to_install_it(made, call, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name: None if "litert" in name else name
    )
    done = call("export", f"--run={made.causal}", f"--output={tmp_path / 'x'}", "--format=litert")
    assert done.code == 1 and done.err == (
        "error: --format=litert needs ai_edge_litert, which is not installed: pip install"
        ' "par-transformer-xl[litert]"\n'
    )
