"""Odd texts have the library's nll in every format; in ONNX, see test_onnx_graphs.py."""

from __future__ import annotations

import base64
import itertools

import numpy as np
import pytest
import tensorflow as tf

import node
import par
from par.data.tokenizer import EOS
from par.export import litert, safetensors
from par.export.page import html, parts
from par.export.plain import arrays
from par.export.saved_model import Exported
from par.export.shipped import forward, litert_step, text
from shipped_run import LARGE, LINE, ODD, require, source

T = 8  # the window of training


@pytest.fixture(scope="module")
def causal(made):
    return par.load(made.causal)


def check(found, model, written: bytes, *shape: int) -> None:
    """found: nll [N] of the ids of a text; shape: T and M, if not those of training."""
    ids = model.encode(written.decode("utf-8", "replace"))
    expected = model._token_nll(ids, *(shape or (None, None)))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def check_large(found, period: int) -> None:
    """In a text that repeats a line, the nll repeats, too."""
    found = np.asarray(found)
    assert len(found) % 9_000 == 0 and np.isfinite(found).all()
    last, before = found[-period:], found[-2 * period : -period]
    np.testing.assert_allclose(last, before, rtol=1e-4, atol=1e-5)


# ---- SavedModel ----


def test_a_saved_model_scores_odd_texts(causal):
    score = Exported(causal).score
    found = score(tf.constant(list(ODD.values())))
    for nll, tokens, written in zip(found["nll"], found["tokens"], ODD.values(), strict=True):
        ids = causal.encode(written.decode("utf-8", "replace"))
        assert tokens == len(ids)
        np.testing.assert_allclose(nll, causal._token_nll(ids, None, None).sum(), rtol=1e-5)


@pytest.mark.slow
def test_a_saved_model_scores_a_large_text(causal):
    score = Exported(causal).score
    one, all_of_it = score(tf.constant([LARGE[: len(LARGE) // 2], LARGE]))["nll"].numpy()
    assert all_of_it == pytest.approx(2 * one, rel=1e-3) and np.isfinite(all_of_it)


# ---- safetensors ----


@pytest.fixture(scope="module")
def numpy_export(causal, made, tmp_path_factory):
    directory = tmp_path_factory.mktemp("numpy")
    safetensors.write(source(causal, made.data), directory)
    return forward.Network.read(directory), text.Tokenizer(directory)


def numpy_nll(network, tokenizer, written: bytes) -> np.ndarray:
    ids, memories, found = [EOS, *tokenizer.encode(written)], network.empty(1), []
    for start in range(0, len(ids) - 1, T):
        window = ids[start : start + T + 1]
        states, memories = network([window[:-1]], memories)
        found += [-network.log_prob(states)[0][i, token] for i, token in enumerate(window[1:])]
    return np.array(found)


@pytest.mark.parametrize("name", ODD)
def test_the_forward_pass_in_numpy_scores_odd_texts(numpy_export, causal, name):
    check(numpy_nll(*numpy_export, ODD[name]), causal, ODD[name])


@pytest.mark.slow
def test_the_forward_pass_in_numpy_scores_a_large_text(numpy_export):
    network, tokenizer = numpy_export
    check_large(numpy_nll(network, tokenizer, LARGE), T * len(tokenizer.encode(LINE)))


# ---- LiteRT ----


@pytest.fixture(scope="module")
def lite_export(causal, made, tmp_path_factory):
    require("ai_edge_litert", extra="litert")
    directory = tmp_path_factory.mktemp("lite")
    litert.write(source(causal, made.data), directory)
    return directory


def lite_nll(directory, written: bytes) -> list[float]:
    step, ids = litert_step.Step(directory), [EOS, *text.Tokenizer(directory).encode(written)]
    return [-step(token)[after] for token, after in itertools.pairwise(ids)]


@pytest.mark.parametrize("name", ODD)
def test_litert_scores_odd_texts(lite_export, causal, name):
    found = lite_nll(lite_export, ODD[name])
    check(found, causal, ODD[name], 1, causal.config.trained_context)


@pytest.mark.slow
def test_litert_scores_a_large_text(lite_export):
    period = len(text.Tokenizer(lite_export).encode(LINE))
    check_large(lite_nll(lite_export, LARGE), period)


# ---- the page ----


def page_nll(own, *prompts: str) -> list[tuple[list[int], list[float]]]:
    """The ids of prompts, and their nll, as a page computes them, in node."""
    settings, weights = arrays(own)
    entries, halves = parts.packed(weights)
    tokenizer, charsmap = parts.tokenizer(own.tokenizer.model)
    context = own.config.trained_context
    greedy = {"length": 1, "temperature": 0, "topK": 0, "topP": 1, "seed": 0}
    page = {"settings": settings, "context": context, "entries": entries, "tokenizer": tokenizer}
    found = node.answer(
        {
            "write": [{"prompt": prompt, "settings": greedy} for prompt in prompts],
            "page": page,
            "weights": base64.b64encode(halves).decode(),
            "charsmap": base64.b64encode(charsmap).decode(),
        }
    )
    return [([t["id"] for t in each[:-1]], [t["nll"] for t in each[:-1]]) for each in found]


def test_a_page_reads_odd_texts(causal, made):
    """A user types characters: the oddest is half of one, which counts as U+FFFD."""
    own = html.with_rounded_weights(source(causal, made.data).plain)
    prompts = [*(each.decode("utf-8", "replace") for each in ODD.values()), "a\ud800b"]
    for prompt, (ids, nll) in zip(prompts, page_nll(own, *prompts), strict=True):
        assert ids == own._prompt_ids(prompt.replace("\ud800", "\ufffd"))
        expected = own._token_nll(np.array(ids, np.int32), 1, own.config.trained_context)
        np.testing.assert_allclose(nll, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_page_reads_a_large_text(made):
    own = source(par.load(made.dense), made.data).plain
    [(ids, nll)] = page_nll(own, LARGE.decode())
    assert ids == own.encode(LARGE.decode()).tolist()
    check_large(nll, len(ids) // 9_000)
