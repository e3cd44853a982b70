"""Every format runs where there is nothing but what its card names: the Python of the card, and
the scripts, in a fresh environment. A page, which needs a browser alone: test_page_browser.py."""

from __future__ import annotations

import json
import re
import subprocess

import numpy as np
import pytest

import bare
import par
from par.data.tokenizer import EOS
from par.export.formats import FORMATS
from shipped_run import require

pytestmark = pytest.mark.slow  # each makes an environment and installs packages into it

# of what the Python of a card leaves, what is compared
RESULT = {
    "savedmodel": 'scores["nll"].numpy().tolist()',
    "safetensors": "[-float(log_prob[i, token]) for i, token in enumerate(ids[1:])]",
    "onnx": "log_prob[0].tolist()",
    "litert": "log_prob.tolist()",
}


def expected(model, name: str) -> np.ndarray:
    """The same by the library."""
    if name == "savedmodel":
        texts = ("The first text.\nIts second line.", "Another text.")
        return np.array([model.score(text)["nll"] for text in texts])
    if name == "safetensors":
        ids = model.encode("The first text.\nIts second line.")
        return model._token_nll(ids, len(ids), model.config.model.mem_len)
    ids, decoder = [EOS, *model._prompt_ids("The first")], model.decoder()
    log_prob, _ = decoder.log_prob(np.array(ids[-1:], np.int32), decoder.read(ids[:-1]))
    return log_prob[0]


@pytest.mark.parametrize("name", RESULT)
def test_an_export_runs_where_there_is_only_what_its_card_names(made, call, name, tmp_path):
    if FORMATS[name].packages:
        require(*FORMATS[name].packages, extra=name)
    model, out = par.load(made.causal), tmp_path / "out"
    done = call("export", f"--run={made.causal}", f"--output={out}", f"--format={name}")
    assert done.code == 0, done.err
    card = (out / "README.md").read_text()
    named = re.search(r"It needs only (.*)\.\n", card)[1]
    python = bare.installed(tmp_path, re.findall("`([^`]+)`", named))

    def run(*arguments: str) -> str:
        where = tmp_path if name == "savedmodel" else out
        command = [str(python), *arguments]
        made = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=300)
        assert made.returncode == 0, made.stderr
        return made.stdout

    program = re.search(r"```python\n(.*?)```", card, re.DOTALL)[1]
    program += f"\nimport json\nprint()\nprint(json.dumps({RESULT[name]}))\n"
    found = json.loads(run("-c", program).splitlines()[-1])
    np.testing.assert_allclose(found, expected(model, name), rtol=1e-5, atol=1e-5)
    if (out / "generate.py").is_file():
        written = run("generate.py", "the cat", "--length=20", "--temperature=0")
        assert written == model.generate("the cat", length=20, temperature=0.0)[0] + "\n"
    if (out / "score.py").is_file():
        (tmp_path / "text").write_text(made.text)
        told = json.loads(run("score.py", str(tmp_path / "text")))
        assert told["nll"] == pytest.approx(model.score(made.text)["nll"], rel=1e-5)
