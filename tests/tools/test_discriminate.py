"""The command that tells how well networks tell unseen authors apart, and what it refuses; the
encodings of texts in Python and in an export."""

from __future__ import annotations

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

import documented
import par
from authored import build, coded, config
from par.data import documents
from par.data.documents import AUTHOR, GROUP
from par.data.tokenizer import Tokenizer
from par.evaluate import discrimination, probe
from par.evaluate.text_vectors import unit
from par.export.saved_model import FUNCTIONS, Exported
from par.nn.forward_mode import EVALUATION
from par.objectives.pools import pool
from par.objectives.settings import MaskedLMSettings
from small import random_run, small_config, small_data

TEXTS = ["ca ca ta", "", "de te ti ta to tu de de de de de de", "ca"]


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> SimpleNamespace:
    """Data sets, and runs of random weights on them; not to be changed."""
    root = tmp_path_factory.mktemp("discriminate")
    # of characters: the words of unseen authors are not in the vocabulary of train
    data = build(root, "data", coded(), "--vocab_size=280", "--model_type=char")
    by_group = build(root, "by_group", coded(), "--vocab_size=40", "--split_by=thread")
    masked = {"objective": "masked_lm", "objective_settings": MaskedLMSettings()}
    runs = {
        "authors": random_run(root / "authors", config(data), data),
        "cls": random_run(root / "cls", config(data, pool="cls"), data),
        "masked": random_run(
            root / "masked", dataclasses.replace(small_config(data, "ss"), **masked), data
        ),
        "causal": random_run(root / "causal", small_config(data, "ss"), data),
        "seen": random_run(root / "seen", config(by_group), by_group),
    }
    plain = small_data(root / "plain", train=300, valid=60)
    runs["streamed"] = random_run(root / "streamed", small_config(plain, "ad"), plain)
    return SimpleNamespace(root=root, data=data, by_group=by_group, **runs)


def test_the_json_is_what_the_library_finds_in_the_same_texts(made, call):
    runs = (f"--run={made.authors}", f"--run={made.masked}")
    done = call("discriminate", *runs, "--anchors=2", "--seed=3", "--json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    documented.check("discriminate --json", value)
    tokenizer, texts, tables = Tokenizer.load(made.data / "tokenizer.model"), [], []
    for split in ("valid", "test"):
        reader = documents.token_reader(made.data, split)
        tables.append(reader.table)
        texts += [tokenizer.decode(reader.document(row)) for row in range(len(reader.table))]
    table = np.concatenate(tables)
    assert value["documents_read"] == len(texts) and value["seen"] == 0
    anchors, negatives = pool(table, AUTHOR, GROUP), pool(table, None, AUTHOR)
    targets = np.flatnonzero((anchors.count > 0) & (negatives.count > 0))
    compared = discrimination.compare(targets, anchors, negatives, 2, 3)
    names = table[targets, AUTHOR]
    assert (value["targets"], value["names"]) == (len(targets), len(set(names)))

    def found(vectors):
        return discrimination.accuracy(discrimination.cosines(vectors), compared)

    for run, told in zip((made.authors, made.masked), value["networks"], strict=True):
        model = par.load(run)
        own, fresh = found(model.encodings(texts)), found(model.untrained().encodings(texts))
        assert told["accuracy"]["mean"] == pytest.approx(own.mean())
        assert told["untrained"]["mean"] == pytest.approx(fresh.mean())
        expected = probe.accuracy(own - fresh, names, 3).to_json()
        assert told["less_untrained"] == pytest.approx(expected)
    one, two = value["networks"]
    assert (one["objective"], two["objective"], one["less_first"]) == (
        "authors",
        "masked_lm",
        None,
    )
    assert two["less_first"]["mean"] == pytest.approx(
        two["accuracy"]["mean"] - one["accuracy"]["mean"]
    )
    assert value["tfidf"]["mean"] > 0.8  # an author's word is in the texts


def test_the_table_says_what_was_compared_and_who_is_better(made, call):
    done = call("discriminate", f"--run={made.authors}", "--negatives=same_group", "--nocross")
    assert done.code == 0, done.err
    for part in (
        "valid and test: ",
        "10 anchors at most; against texts of the same group and other authors",
        "TF-IDF of 3- to 5-grams",
        f"{made.authors} (ad, authors)",
        "the same with fresh weights",
        f"{made.authors} less TF-IDF",
        "intervals for other authors",
    ):
        assert part in done.out
    groups = ("--relation=group", "--split=train", "--documents=40", "--nocross")
    done = call("discriminate", f"--run={made.authors}", *groups)
    assert done.code == 0 and "against all texts of other groups" in done.out, done.err


def test_authors_of_train_are_left_out(made, call):
    refused = call("discriminate", f"--run={made.seen}")
    assert refused.code == 3 and refused.err.count("\n") == 1
    assert "have no two authors of two texts that train has nothing of" in refused.err
    assert "build the data with --split_by=author" in refused.err


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        ((), 1, "--run=DIR or --export=DIR is required"),
        (("--export=EXPORT",), 1, "--export knows no documents: name the data set with --data"),
        (("--run=RUN", "--export=EXPORT"), 3, "--export=EXPORT has no saved_model.pb"),
        (
            ("--run=RUN", "--relation=group", "--negatives=same_group"),
            1,
            "needs --relation=",
        ),
        (("--run=RUN", "--anchors=0"), 1, "anchors must be at least 1"),
        (("--run=RUN", "--split=valid", "--documents=3"), 1, "documents must be at least 4"),
        (("--run=RUN", "--relation=group"), 3, "build the data with --split_by=group"),
        (("--run=STREAMED",), 3, "has no documents, as it was built from plain text"),
    ],
)
def test_what_can_not_be_compared_is_refused_in_a_line(made, call, flags, code, said):
    names = {"RUN": made.authors, "STREAMED": made.streamed}
    given = [
        flag.replace(f"={name}", f"={path}")
        for flag in flags
        for name, path in [next(((n, p) for n, p in names.items() if flag.endswith(n)), ("", ""))]
    ]
    done = call("discriminate", *given)
    assert done.code == code and said in done.err and done.err.count("\n") == 1, done.err


def test_an_encoding_is_that_of_the_parts_of_a_text_by_their_tokens(made):
    for run in (made.authors, made.cls):
        model = par.load(run)
        objective, found = model.learner.objective, model.encodings(TEXTS)
        for text, encoding in zip(TEXTS, found, strict=True):
            ids = model.encode(text)
            parts = [ids[start : start + 6] for start in range(0, len(ids), 6)]
            total = np.zeros([16])
            for part in parts:
                window = objective.window(tf.constant(part[None]))
                total += len(part) * objective.encode(window, EVALUATION).numpy()[0]
            np.testing.assert_allclose(encoding, unit(total), atol=2e-6)
        assert len(parts) == 1 and not found[1].any()
        user = model.user_encoding(TEXTS)
        np.testing.assert_allclose(user, unit(found.sum(axis=0)), atol=1e-6)
        assert not model.user_encoding([]).any()
    states = par.load(made.masked).embed(TEXTS)
    np.testing.assert_allclose(par.load(made.masked).encodings(TEXTS), unit(states), atol=1e-6)


def test_an_export_gives_the_encodings_of_the_library(made):
    model = par.load(made.cls)
    exported = Exported(model)
    assert exported.names == ("user_encoding", "encodings", "embed") and set(
        exported.names
    ) <= set(FUNCTIONS)
    texts = tf.constant(TEXTS)
    np.testing.assert_allclose(
        exported.encodings(texts)["encodings"], model.encodings(TEXTS), atol=1e-5
    )
    np.testing.assert_allclose(
        exported.user_encoding(texts)["encoding"], model.user_encoding(TEXTS), atol=1e-5
    )
    np.testing.assert_allclose(exported.embed(texts)["states"], model.embed(TEXTS), atol=1e-5)
    assert exported.encodings(tf.constant([], tf.string))["encodings"].shape == (0, 16)


@pytest.mark.slow
def test_an_export_is_scored_like_its_run(made, call, tmp_path):
    for run, name in ((made.authors, "own"), (made.causal, "states")):
        done = call("export", f"--run={run}", f"--output={tmp_path / name}")
        assert done.code == 0, done.err
    card = (tmp_path / "own" / "README.md").read_text()
    assert "`user_encoding` takes texts of one author" in card
    given = [f"--run={made.authors}", f"--run={made.causal}", "--evaluate_as=argmax"]
    exports = [f"--export={tmp_path / name}" for name in ("own", "states")]
    done = call("discriminate", *given, *exports, "--json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    documented.check("discriminate --json", value, required="none")
    own, states, exported, exported_states = value["networks"]
    assert exported["accuracy"]["mean"] == pytest.approx(own["accuracy"]["mean"], abs=1e-3)
    assert exported_states["accuracy"]["mean"] == pytest.approx(
        states["accuracy"]["mean"], abs=1e-3
    )
    assert exported["untrained"] is exported["less_untrained"] is None
    alone = call("discriminate", exports[0], f"--data={made.data}")
    assert alone.code == 0 and "fresh weights" not in alone.out, alone.err
