"""An export is refused, and leaves nothing, unless it computes what the library does."""

from __future__ import annotations

import numpy as np
import pytest

import par
from par.core.errors import ParError
from par.data.tokenizer import EOS, MASK
from par.evaluate.trained_model import Model
from par.export import self_check
from par.export.array_functions import Library
from par.export.formats import Format, Written
from par.export.self_check import Sample


@pytest.fixture(scope="module")
def model(made) -> Model:
    return par.load(made.causal)


@pytest.fixture(scope="module")
def sample(model) -> Sample:
    return Sample(model, model.encode("the cat sees the dog .\n" * 30))


@pytest.fixture(scope="module")
def library(model) -> Library:
    return Library(model)


class Changed:
    """The library with its outputs changed."""

    def __init__(self, library, change):
        self._library, self._change, self.names = library, change, library.names

    def __call__(self, name, inputs):
        return self._change(self._library(name, inputs))


def test_a_text_of_fewer_tokens_is_repeated_and_the_first_tokens_follow_a_line_end(model, sample):
    ids = model.encode("the cat sees the dog .\n" * 30)
    assert len(ids) < 1000 and sample.targets.size == 1000
    assert sample.targets.ravel().tolist() == np.resize(ids, 1000).tolist()
    assert (sample.tokens[:, 0] == EOS).all()
    assert (sample.tokens[:, 1:] == sample.targets[:, :-1]).all()


def test_steps_and_windows_give_the_log_probabilities_of_the_library(model, sample, library):
    steps, windows = (sample.values(name, library) for name in ("step", "score"))
    assert steps.shape == windows.shape == (8, 125) and (steps < 0).all()
    text = model.tokenizer.decode(sample.targets[0])
    expected = model._token_nll(sample.targets[0], None, None)
    np.testing.assert_allclose(-windows[0], expected, atol=1e-5)
    # a step sees as far back as the last token of a window
    further = model._token_nll(sample.targets[0][:30], 1, model.config.trained_context)
    np.testing.assert_allclose(-steps[0][:30], further, atol=1e-5)
    assert not np.allclose(steps, windows, atol=1e-3)
    states, whole = sample.values("embed", library), model.embed(text.removesuffix("\n"))
    np.testing.assert_allclose(states[0][: len(whole) - 1], whole[:-1], atol=1e-4)
    assert sample.values("embed_texts", library).shape == (8, 16)


def test_masked_pieces_are_predicted_at_every_place_of_a_window(made):
    model = par.load(made.masked)
    sample, library = Sample(model, model.encode("the cat . " * 99)), Library(model)
    assert library.names == ("fill", "embed")
    found = sample.values("fill", library)
    assert found.shape == (8, 125) and (found < 0).all()
    seen = []

    class Spy(Changed):
        def __call__(self, name, inputs):
            seen.append((inputs["tokens"], inputs["real"]))
            return super().__call__(name, inputs)

    sample.values("fill", Spy(library, dict))
    tokens, real = (np.concatenate(each, axis=1) for each in zip(*seen))
    assert real[:, :125].all() and not real[:, 125:].any()
    assert ((tokens == MASK).sum(axis=1) == 18).all()


def test_what_equals_the_library_passes(sample, library):
    found = self_check.check(sample, library, Changed(library, dict), "a copy")
    assert found == {"step": 0.0, "score": 0.0, "embed": 0.0}


def nan(outputs):
    return outputs | {
        name: value * np.float32("nan")
        for name, value in outputs.items()
        if not name.startswith("next")
    }


def without_memory(outputs):
    return outputs | {"next_hidden": outputs["next_hidden"] * 0}


def a_little_off(outputs):
    return {
        name: value if name.startswith("next") else value * np.float32(1 + 3e-5)
        for name, value in outputs.items()
    }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (nan, "gives for 1,000 tokens are not finite; nothing was written"),
        (without_memory, "differ from the library's by"),
        (a_little_off, "by 3e-05, more than 1e-05"),
    ],
)
def test_what_differs_is_refused(sample, library, change, words):
    with pytest.raises(ParError) as refused:
        self_check.check(sample, library, Changed(library, change), "odd")
    assert words in str(refused.value)
    assert "the export as odd is refused: the numbers that `score` gives" in str(refused.value)


def test_rounding_is_told_in_nats_and_refused_where_a_number_is_not_finite(sample, library):
    def worse(outputs):
        return outputs | {
            name: value - np.float32(0.25) for name, value in outputs.items() if name == "log_prob"
        }

    costs = self_check.costs_of_rounding("odd", sample, Changed(library, worse), library)
    assert list(costs) == ["score", "step"]
    assert list(costs.values()) == pytest.approx([0.25, 0.25])
    with pytest.raises(ParError, match=r"`score` gives .* once they are rounded"):
        self_check.costs_of_rounding("odd", sample, Changed(library, nan), library)


def test_beyond_one_a_difference_is_a_share():
    ones, hundreds = np.ones(3), np.full(3, 100.0)
    assert self_check.largest_difference(ones + 0.1, ones) == pytest.approx(0.1)
    assert self_check.largest_difference(hundreds + 0.1, hundreds) == pytest.approx(0.001)
    assert self_check.largest_difference(ones, ones * np.inf) == np.inf


def test_a_refused_export_leaves_nothing(made, library, tmp_path, call, monkeypatch):
    class Module:
        @staticmethod
        def write(source, directory):
            (directory / "model.safetensors").write_bytes(b"x")
            return Written(Changed(library, nan), library.names)

    monkeypatch.setattr(Format, "load", lambda self: Module)
    done = call(
        "export",
        f"--run={made.causal}",
        f"--output={tmp_path / 'new' / 'out'}",
        "--format=safetensors",
    )
    assert done.code == 1 and "the export as safetensors is refused" in done.err
    assert len(done.err.splitlines()) == 1 and list(tmp_path.iterdir()) == []
