"""The n-gram model's scores beside a data set: made once, of this data set alone, read strictly;
and who is warned."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest

import documented
from faults import change_json
from naive import kneser_ney as naive
from par.core import schema
from par.core.errors import DataError
from par.data import manifest, records
from par.data.build import BASELINE
from par.evaluate import yardstick
from small import small_data


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    data_dir = small_data(tmp_path_factory.mktemp("data") / "copies", train=403, valid=60)
    return data_dir, yardstick.load_or_make(data_dir, manifest.load(data_dir))


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
    monkeypatch.setattr(yardstick.kneser_ney, "score", None)
    assert yardstick.load_or_make(data_dir, manifest.load(data_dir)) == found
    documented.check("kneser_ney.json", schema.read_json(data_dir / BASELINE, ""))


def test_the_scores_of_another_data_set_are_made_anew(data_dir):
    change_json(data_dir / "manifest.json", "corpus.note", "another")
    assert yardstick.load(data_dir) is None
    other = yardstick.load_or_make(data_dir, manifest.load(data_dir))
    assert other == yardstick.load(data_dir)


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
        yardstick.load(data_dir)
    assert "\n" not in str(said.value)


def test_a_data_set_that_cannot_be_written_is_scored_all_the_same(data_dir, capsys):
    (data_dir / BASELINE).unlink()
    (data_dir / BASELINE).mkdir()  # no file can take its place, whoever writes
    found = yardstick.load_or_make(data_dir, manifest.load(data_dir))
    assert found.nll["valid"] > 0 and "the scores of the n-gram model are not kept" in (
        capsys.readouterr().err
    )


def test_a_long_train_split_is_scored_only_if_it_is_asked_for(data_dir, monkeypatch, capsys):
    (data_dir / BASELINE).unlink()
    monkeypatch.setattr(yardstick, "UNASKED", 402)
    of_data = manifest.load(data_dir)
    assert yardstick.load_or_make(data_dir, of_data) is None
    assert "train has 403 tokens: --baseline=kneser_ney" in capsys.readouterr().err
    assert yardstick.load_or_make(data_dir, of_data, is_asked=True) == yardstick.load(data_dir)


def test_a_warning_names_the_splits_on_which_a_network_is_not_better(made):
    scores = [("valid", 1200.0, 927.4), ("test", 600.0, 606.7)]
    said = made[1].warning("adadad", scores)
    assert said.startswith("adadad does not beat the Kneser-Ney 5-gram of the same pieces, ")
    assert "1,200.0 against 927.4 on valid: more text" in said and "test" not in said
    assert made[1].warning("adadad", scores[1:]) == ""
    for bad in (927.4, math.inf, np.nan):  # equal, diverged
        assert made[1].warning("adadad", [("valid", bad, 927.4)])
