"""What is timed of an export writes the library's text; what can't be is left out in words."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

import documented
import par
from browser import why_no_browser
from par.core.errors import ParError
from par.data.tokenizer import EOS
from par.export import chromium, shipped_speed
from par.export.formats import FORMATS
from project import refused
from shipped_run import require, source


@pytest.mark.parametrize(
    "name",
    [
        "safetensors",
        "litert",
        pytest.param("onnx", marks=pytest.mark.slow),
        pytest.param("savedmodel", marks=pytest.mark.slow),
    ],
)
def test_what_is_timed_of_a_format_gives_the_log_probabilities_of_the_library(
    made, name, tmp_path
):
    if FORMATS[name].packages:
        require(*FORMATS[name].packages, extra=name)
    model = par.load(made.causal)
    FORMATS[name].load().write(source(model, made.data), tmp_path)
    step, library = shipped_speed.STEPS[name](tmp_path), shipped_speed._library(model)
    for token in (EOS, *np.random.default_rng(0).integers(8, 283, 20).tolist()):
        np.testing.assert_allclose(step(token), library(token), rtol=1e-5, atol=1e-5)


def test_the_most_probable_token_is_read_next():
    read = []

    def log_prob(token):
        read.append(token)
        return -abs(np.arange(9) - (token + 2) % 9)

    assert shipped_speed.greedy(log_prob)(4) > 0
    assert read == [EOS, EOS + 2, EOS + 4, (EOS + 6) % 9]


@pytest.fixture(scope="module")
def exported(made, call, tmp_path_factory):
    out = tmp_path_factory.mktemp("speed") / "out"
    flags = (f"--run={made.causal}", f"--output={out}", "--format", "safetensors", "page")
    assert call("export", *flags).code == 0
    return out


def timed(call, made, export, *flags):
    own = (f"--run={made.causal}", f"--export={export}", "--tokens=4", "--repeats=3")
    return call("benchmark", "shipping", *own, *flags)


def test_the_command_tells_size_time_and_ratio_of_each_and_what_it_left_out(
    made, exported, call, monkeypatch
):
    monkeypatch.setattr(chromium, "PROGRAMS", ())
    done = timed(call, made, exported, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    documented.check("benchmark shipping --json", found)
    assert list(found["left_out"]) == ["page"]
    library, numpy = found["shipping"]
    assert (library["format"], numpy["format"]) == ("library", "safetensors")
    assert library["ratio"] == library["least_ratio"] == library["most_ratio"] == 1.0
    files = [path for path in (exported / "safetensors").iterdir()]
    assert numpy["bytes"] == sum(path.stat().st_size for path in files)
    for row in found["shipping"]:
        assert 0 < row["fastest"] <= row["milliseconds"] <= row["slowest"]
        assert row["tokens_per_second"] == pytest.approx(1e3 / row["milliseconds"])
    lines = timed(call, made, exported).out.splitlines()
    assert lines[0].split()[:2] == ["format", "MB"] and lines[2].startswith("safetensors")
    assert lines[-2].startswith("ada: medians of 3 rounds of 4 tokens; ratio: of the times to the")
    assert lines[-1].startswith("page: left out, there is no Chromium on PATH")


@pytest.mark.slow
def test_the_page_is_timed_in_the_browser(made, exported, call):
    if chromium.found() is None:
        pytest.skip(why_no_browser())
    found = json.loads(timed(call, made, exported / "page", "--json").out)
    assert [row["format"] for row in found["shipping"]] == ["library", "page"]
    assert found["left_out"] == {}
    assert np.isfinite(found["shipping"][1]["ratio"])


@pytest.mark.slow
def test_a_page_that_fails_says_why(tmp_path):
    if chromium.found() is None:
        pytest.skip(why_no_browser())
    (tmp_path / "x.html").write_text("<!DOCTYPE html><title>\u05e9</title>", "utf-8")
    with chromium.opened(chromium.found(), tmp_path / "x.html") as page:
        assert page.value("1 + 1") == 2
        assert page.until("document.title") == "\u05e9"
        with pytest.raises(ParError, match="the page failed: ReferenceError: no_such is not"):
            page.value("no_such")


def test_a_browser_that_does_not_answer_is_waited_for_no_longer(monkeypatch):
    monkeypatch.setattr(chromium, "SECONDS", 0.1)
    (receive, to_write), (to_read, send) = os.pipe(), os.pipe()
    with pytest.raises(ParError, match="has not answered within"):
        chromium.Page(send, receive, "file:///")
    for descriptor in (receive, to_write, to_read, send):
        os.close(descriptor)


def test_what_can_t_be_timed_is_refused_in_one_line(made, call, tmp_path):
    refused(timed(call, made, tmp_path), 3, "holds no export: give a directory of tools/export.py")
    refused(call("benchmark", "shipping", f"--run={made.causal}"), 1, "--export=DIR is required")
    flags = (f"--run={made.masked}", f"--export={tmp_path}")
    refused(call("benchmark", "shipping", *flags), 1, "needs a run that predicts the next token")
    refused(timed(call, made, tmp_path, "--repeats=0"), 1, "--repeats must be at least 1")
