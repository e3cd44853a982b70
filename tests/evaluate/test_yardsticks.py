"""The n-gram model's scores beside a data set: made once, of this data set alone, read strictly;
and who is warned."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil

import numpy as np
import pytest

import documented
from faults import change_json
from naive import kneser_ney as naive
from naive import two_sided as twins
from par.baselines import kneser_ney, mixture
from par.core import schema
from par.core.errors import DataError
from par.core.metrics import NLL_PER_MASKED_TOKEN, PERPLEXITY_PER_WORD
from par.data import manifest, records
from par.evaluate import evaluation, masked_positions
from par.evaluate.counted_texts import Reading
from par.evaluate.eval_config import EvalConfig
from par.evaluate.yardsticks import store
from par.objectives import OBJECTIVES
from par.train.learner import Learner
from small import small_config, small_data

BASELINE = "kneser_ney.json"
READING = Reading(8, 4)


def load(data_dir):
    return store.load(data_dir, "kneser_ney")


def load_or_make(data_dir, of_data, **how):
    (found,) = store.load_or_make(data_dir, of_data, ["kneser_ney"], **how) or [None]
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    data_dir = small_data(tmp_path_factory.mktemp("data") / "copies", train=403, valid=60)
    return data_dir, load_or_make(data_dir, manifest.load(data_dir))


@pytest.fixture
def data_dir(made, tmp_path):
    return shutil.copytree(made[0], tmp_path / "copies")


def test_it_is_the_model_of_the_tokens_that_networks_train_on_and_scores_all_but_the_first(made):
    data_dir, found = made
    of_data = manifest.load(data_dir)
    train, valid = (
        records.read_stream(data_dir, of_data, split).tolist() for split in ("train", "valid")
    )
    predict, discounts = naive.predictor(train, of_data.vocab_size, 5)
    nll = -sum(math.log(predict(valid[:i], valid[i])) for i in range(1, len(valid)))
    assert (
        len(train) == 403 - of_data.splits["train"].dropped and list(found.discounts) == discounts
    )
    assert found.nll["valid"] == pytest.approx(nll, rel=1e-12)
    figures = found.figures(of_data, "valid")
    assert figures["nll_per_token"] == pytest.approx(nll / 59) and figures["tokens"] == 59


def test_it_is_made_once_and_kept_beside_the_records(made, monkeypatch):
    data_dir, found = made
    monkeypatch.setattr(kneser_ney, "score", None)
    assert load_or_make(data_dir, manifest.load(data_dir)) == found
    documented.check("kneser_ney.json", schema.read_json(data_dir / BASELINE, ""))


def test_the_scores_of_another_data_set_are_made_anew(data_dir):
    change_json(data_dir / "manifest.json", "corpus.note", "another")
    assert load(data_dir) is None
    other = load_or_make(data_dir, manifest.load(data_dir))
    assert other == load(data_dir)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("schema", 2),
        ("order", 4),
        ("order", "5"),
        ("discounts", [0.5, 0.5, 0.5, 0.5, 1.5]),
        ("discounts", []),
        ("nll.valid", -1.0),
        ("nll", {"valid": 3.0}),
        ("nll.valid", "much"),
        ("nll.valid", 100.0),  # no longer the one that was written
        ("sha256", "0"),
        ("colour", 1),
        ("manifest_sha256", None),
    ],
)
def test_a_damaged_file_is_refused_in_one_line_that_says_what_to_do(data_dir, place, value):
    change_json(data_dir / BASELINE, place, value)
    with pytest.raises(
        DataError, match=rf"{BASELINE}.*; remove it, and .* makes it again$"
    ) as said:
        load(data_dir)
    assert "\n" not in str(said.value)


def test_a_data_set_that_cannot_be_written_is_scored_all_the_same(data_dir, capsys):
    (data_dir / BASELINE).unlink()
    (data_dir / BASELINE).mkdir()  # no file can take its place, whoever writes
    found = load_or_make(data_dir, manifest.load(data_dir))
    assert found.nll["valid"] > 0 and "the scores of the n-gram model are not kept" in (
        capsys.readouterr().err
    )


def test_a_long_train_split_is_scored_only_if_it_is_asked_for(data_dir, monkeypatch, capsys):
    (data_dir / BASELINE).unlink()
    monkeypatch.setattr(store, "UNASKED", 402)
    of_data = manifest.load(data_dir)
    assert load_or_make(data_dir, of_data) is None
    assert "train has 403 tokens: --baseline=kneser_ney" in capsys.readouterr().err
    assert load_or_make(data_dir, of_data, is_asked=True) == load(data_dir)


def test_a_warning_names_the_splits_on_which_a_network_is_not_better(made):
    scores = [("valid", 1200.0, 927.4), ("test", 600.0, 606.7)]
    said = made[1].warning("adadad", PERPLEXITY_PER_WORD, scores)
    assert said.startswith("adadad does not beat the Kneser-Ney 5-gram of the same pieces, ")
    assert "1,200.0 against 927.4 on valid: more text" in said and "test" not in said
    assert made[1].warning("adadad", PERPLEXITY_PER_WORD, scores[1:]) == ""
    for bad in (927.4, math.inf, np.nan):  # equal, diverged
        assert made[1].warning("adadad", PERPLEXITY_PER_WORD, [("valid", bad, 927.4)])


@pytest.fixture(scope="module")
def masked(tmp_path_factory):
    """The models of masked tokens, kept beside the data."""
    data_dir = small_data(tmp_path_factory.mktemp("data") / "copies", train=4_003, valid=90)
    found = store.load_or_make(
        data_dir, manifest.load(data_dir), ["unigram", "bigrams"], reading=READING
    )
    return data_dir, found


@pytest.fixture(scope="module")
def masked_learner(made):
    return Learner(dataclasses.replace(small_config(made[0], "ad"), objective="masked_lm"))


@pytest.mark.parametrize("reading", ({}, {"batch_size": 1}, {"batch_size": 3, "seq_len": 13}))
@pytest.mark.parametrize("split", ("valid", "test"))
def test_its_masked_tokens_are_those_that_an_evaluation_scores(
    made, masked_learner, split, reading
):
    data_dir, of_data = made[0], manifest.load(made[0])
    found = evaluation.token_scores(
        masked_learner, data_dir, of_data, split, "fixed", EvalConfig(**reading)
    )
    stream = records.read_stream(data_dir, of_data, split)
    own = masked_positions.scored(stream, reading.get("seq_len", 8), 4)
    np.testing.assert_array_equal(own.reshape(-1), found["nll"][1] > 0)
    assert own.any() and (own[0] != own[1]).any()


def test_the_models_of_masked_tokens_are_those_of_train_on_these_tokens(masked):
    data_dir, (unigram, bigrams) = masked
    of_data = manifest.load(data_dir)
    train, valid = (records.read_stream(data_dir, of_data, name) for name in ("train", "valid"))
    positions = masked_positions.scored(valid, 8, 4)
    twin = twins.Model(train.tolist(), of_data.vocab_size, 8)
    weights = {name: getattr(bigrams, f"weights_{name}") for name in ("both", "before", "after")}
    nll, expected = {"unigram": 0.0, "bigrams": 0.0}, 0
    for draw in positions:
        for token, before, after in twins.places(valid.tolist(), draw.tolist(), 8):
            nll["unigram"] -= math.log(twin.unigram(token))
            nll["bigrams"] -= math.log(twin.predict(weights, before, after)[token])
            expected += 1
    assert expected == bigrams.tokens["valid"] == unigram.tokens["valid"]
    assert unigram.nll["valid"] == pytest.approx(nll["unigram"])
    assert bigrams.nll["valid"] == pytest.approx(nll["bigrams"])
    # the weights are fitted to the last tenth of train, by the counts of the rest
    held = train[-(len(train) // 10) :]
    twin = twins.Model(train[: -len(held)].tolist(), of_data.vocab_size, 8)
    draws = masked_positions.scored(held, 8, 4).tolist()
    seen = [place for draw in draws for place in twins.places(held.tolist(), draw, 8)]
    models = [twin.models(*place) for place in seen if twin.pattern(*place[1:]) == "both"]
    fitted = mixture.em_weights(np.array(models))
    expected = (len(models) * fitted + 1) / (len(models) + 3)
    np.testing.assert_allclose(weights["both"], expected)
    figures = bigrams.figures(of_data, "valid")
    assert figures["nll_per_token"] == pytest.approx(nll["bigrams"] / bigrams.tokens["valid"])
    assert figures["accuracy"] == bigrams.hits["valid"] / bigrams.tokens["valid"]
    assert list(figures)[:2] == list(OBJECTIVES["masked_lm"].names)


def test_they_are_made_once_for_the_reading_of_training_and_anew_for_others(masked, monkeypatch):
    data_dir, found = masked
    of_data, names = manifest.load(data_dir), ["unigram", "bigrams"]
    files = {name: (data_dir / f"{name}.json").read_bytes() for name in names}
    documented.check("unigram.json", json.loads(files["unigram"]))
    documented.check("bigrams.json", json.loads(files["bigrams"]))
    others = [
        store.load_or_make(data_dir, of_data, names, reading=reading, is_kept=False)
        for reading in (Reading(8, 2), Reading(16, 4), Reading(8, 4, True))
    ]
    for other in others:
        assert [each.key for each in other] == names
    assert len({each[0].nll["valid"] for each in [found, *others[:2]]}) == 3
    first = records.read_stream(data_dir, of_data, "valid")
    lacking = int(masked_positions.scored(first, 8, 4)[:, 0].sum())
    assert others[2][0].tokens["valid"] == found[0].tokens["valid"] - lacking
    monkeypatch.setattr(store, "Texts", lambda *_: None)
    assert store.load_or_make(data_dir, of_data, names, reading=READING) == found
    assert {name: (data_dir / f"{name}.json").read_bytes() for name in names} == files
    assert store.load_all(data_dir, names) == found


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("unigram", "draws", 0),
        ("unigram", "hits.valid", 1 << 40),
        ("unigram", "tokens", {"valid": 3}),
        ("bigrams", "weights_both", [0.5, 0.5]),
        ("bigrams", "weights_before", [0.9, 0.9]),
        ("bigrams", "nll.test", 7.0),
        ("bigrams", "seq_len", "8"),
    ],
)
def test_damaged_scores_of_masked_tokens_are_refused_in_one_line(
    masked, tmp_path, name, place, value
):
    data_dir = shutil.copytree(masked[0], tmp_path / "copies")
    change_json(data_dir / f"{name}.json", place, value)
    with pytest.raises(DataError, match=rf"{name}.json.*; remove it, and .* makes it again$"):
        store.load(data_dir, name)


def test_a_warning_is_in_the_figure_of_the_objective(masked):
    bigrams = masked[1][1]
    said = bigrams.warning("ad", NLL_PER_MASKED_TOKEN, [("valid", 4.9, 4.8612)])
    assert said.startswith("ad does not beat the two-sided bigrams of the same pieces, nll per")
    assert "masked token 4.9000 against 4.8612 on valid" in said
    assert bigrams.warning("ad", NLL_PER_MASKED_TOKEN, [("valid", 4.8, 4.8612)]) == ""
