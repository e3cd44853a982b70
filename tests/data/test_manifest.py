"""The manifest is read strictly: what is missing, unknown, of another type or can't be true is
refused with the reason."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from par.core.errors import DataError
from par.data import manifest
from synthetic import make_data


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A data set of 503, 101 and 43 tokens, B 3, T 7, V 53, with three files a split; not to be
    changed."""
    tokens = [np.arange(length) % 45 + 8 for length in (503, 101, 43)]
    return make_data(
        tmp_path_factory.mktemp("built") / "data",
        *tokens,
        vocab_size=53,
        batch_size=3,
        seq_len=7,
        shards=3,
    )


@pytest.fixture
def copy(built, tmp_path) -> Path:
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(built, tmp_path / "data"))


def changed(data: Path, place: str, value: object) -> None:
    """Rewrites manifest.json; "a.b.0.c" names a place in it, and ... takes it away."""
    whole = json.loads((data / "manifest.json").read_text())
    *parents, last = place.split(".")
    inner = whole
    for key in parents:
        inner = inner[int(key) if isinstance(inner, list) else key]
    if value is ...:
        del inner[last]
    else:
        inner[int(last) if isinstance(inner, list) else last] = value
    (data / "manifest.json").write_text(json.dumps(whole))


def test_a_manifest_as_it_was_written_is_taken(built):
    assert manifest.load(built).splits["train"].steps == 23


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("schema", 1, "has schema 1, but this program reads 2 and 3"),
        ("schema", ..., "has schema None"),
        ("extra", 1, r"unknown or missing: \['extra'\]"),
        ("vocab_size", ..., r"unknown or missing: \['vocab_size'\]"),
        ("vocab_size", "53", "vocab_size must be of type int, but is '53'"),
        ("vocab_size", True, "vocab_size must be of type int, but is True"),
        ("vocab_size", -1, "vocab_size must be of type int, but is -1"),
        ("vocab_size", 1 << 60, "vocab_size must be of type int"),
        ("vocab_size", 0, "vocab_size is 0, so no token has an id"),
        ("lowercase", 0, "lowercase must be of type bool, but is 0"),
        ("splits", [], "splits must be of type dict"),
        ("splits.train.files", {}, "files must be of type tuple"),
        ("splits.train.files.0", [], "must have exactly the keys name, size, sha256, steps"),
        (
            "splits.train.files.0.name",
            "../../etc/passwd",
            "train has other files than 23 steps in 3 shards make",
        ),
        ("splits.train.files.0.sha256", "x" * 64, "is not a SHA-256"),
        (
            "splits.train.files.0.size",
            10,
            "has 10 bytes, too few for its 8 steps of 96 bytes each",
        ),
        ("splits.train.files.0.steps", 9, "train has other files"),
        (
            "splits.train.steps",
            24,
            "train has 503 tokens, which make 23 steps and drop 19, not 24 and 19",
        ),
        ("splits.train.tokens", 900, "train has 900 tokens"),
        ("splits.train.dropped", 0, "not 23 and 0"),
        ("splits.test", ..., "splits are train, valid, not train, valid, test"),
        ("batch_size", 4, "batch_size is 4, but 3 in settings"),
        ("settings.seq_len", 8, "seq_len is 7, but 8 in settings"),
        ("settings.seq_len", "8", "settings: seq_len must be of type int"),
        ("settings.colour", "red", "settings: DataConfig must have exactly the keys"),
        ("corpus", None, "corpus must have exactly the keys name, sha256, note"),
    ],
)
def test_a_manifest_that_can_not_be_is_refused_with_the_reason(copy, place, value, message):
    changed(copy, place, value)
    with pytest.raises(DataError, match=message):
        manifest.load(copy)


def test_a_manifest_that_is_missing_or_no_json_is_refused(copy):
    (copy / "manifest.json").write_text("{")
    with pytest.raises(DataError, match=r"data manifest .* is not valid JSON"):
        manifest.load(copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(DataError, match=r"data manifest .* does not exist"):
        manifest.load(copy)
