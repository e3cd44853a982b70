"""Which label a document has: its loss and figures in closed form, what counting finds beside it,
and what data must have."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from authored import hidden_code
from made_documents import write_lines
from par.baselines import labels, naive_bayes
from par.core.errors import DataError, UsageError
from par.data import documents, manifest
from par.data.tokenizer import BOS, PAD
from par.evaluate import evaluation
from par.nn.forward_mode import EVALUATION
from par.objectives import OBJECTIVES
from par.objectives.tower_settings import ClassifySettings
from par.tools import build_data
from par.train.learner import Learner
from par.train.run_config import DataIdentity
from small import NETWORK, small_config, trainer

SHAPE = ("--batch_size=4", "--seq_len=8", "--baseline=none")
SHARES = tuple(f"--split_fractions={share}" for share in (0.6, 0.2, 0.2))


def build(root, name, *flags, authors=6):
    """Authors write words of their own; each text is a thread, so that all splits have each."""
    path = write_lines(root / f"{name}.jsonl", hidden_code(authors, 144 // authors))
    given = (f"--input_documents={path}", f"--output_dir={root / name}", *SHAPE, *SHARES)
    assert build_data.main([*given, *flags]) == 0
    return root / name


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    root = tmp_path_factory.mktemp("classify")
    return build(root, "data", "--split_by=thread", "--model_type=word")


def config(data_dir, blocks="d", epochs=1, **settings):
    names = {field.name for field in dataclasses.fields(ClassifySettings)}
    own = {name: settings.pop(name) for name in tuple(settings) if name in names}
    made = dataclasses.replace(
        small_config(data_dir, blocks, epochs=epochs, **settings),
        objective="classify",
        objective_settings=ClassifySettings(
            **{"label": "author", "doc_len": 12, "min_documents": 5} | own
        ),
        data=DataIdentity.from_manifest(manifest.load(data_dir), OBJECTIVES["classify"]),
    )
    return made.settled(data_dir, manifest.load(data_dir))


def test_labels_are_the_most_frequent_ones_of_train():
    names = np.array([3, 3, 3, 9, 9, 9, 5, 5, -1, -1, -1, 7])
    assert labels.frequent(names, 2).tolist() == [3, 5, 9]
    assert labels.frequent(names, 1).tolist() == [3, 5, 7, 9]
    assert labels.frequent(names, 1, most=2).tolist() == [3, 9]
    assert labels.frequent(names, 1, most=3).tolist() == [3, 5, 9]
    assert labels.frequent(names, 4).tolist() == []
    found = labels.numbers(np.array([9, 4, 3, -1, 12]), np.array([3, 5, 9]))
    assert found.tolist() == [2, -1, 0, -1, -1]
    digests = [labels.digest(names, np.array(each)) for each in ([3, 5], [3, 9], [3, 5])]
    assert digests[0] == digests[2] != digests[1] != labels.digest(names[1:], np.array([3, 5]))


def test_naive_bayes_is_that_of_a_count_by_hand():
    tokens = np.array([[8, 9, 8, PAD], [9, 10, PAD, PAD], [10, 10, 10, 10]])
    classes = np.array([0, 1, 1])
    model = naive_bayes.NaiveBayes(tokens, classes, 3, 1, PAD)
    a, size = naive_bayes.ADDED, naive_bayes.BUCKETS
    counts = [{8: 2, 9: 1}, {9: 1, 10: 5}, {}]

    def by_hand(document):
        found = []
        for own, prior in zip(counts, (1, 2, 0)):
            total = sum(own.values()) + a * size
            score = np.log((prior + a) / (3 + 3 * a))
            for token in document:
                score += np.log((own.get(token, 0) + a) / total)
            found.append(score)
        return int(np.argmax(found))

    asked = np.array([[8, 8, PAD], [10, PAD, PAD], [9, 8, 10], [PAD] * 3, [11, 11, 11]])
    expected = [by_hand(row[row != PAD]) for row in asked]
    assert model.predict(asked).tolist() == expected and len(set(expected)) > 1


def test_n_grams_differ_by_order_and_end_at_padding():
    found = naive_bayes.buckets(np.array([[8, 9, 8, 9, PAD]]), 2, PAD)[0].reshape(2, 5)
    assert found[0, 0] == found[0, 2] != found[0, 1] == found[0, 3]
    assert found[1, 0] == found[1, 2] != found[1, 1] and found[1, 0] not in found[0]
    assert found[0, 4] == -1 and found[1, 3:].tolist() == [-1, -1]
    assert (found < naive_bayes.BUCKETS).all()


def test_the_loss_is_the_cross_entropy_and_that_of_equal_chances_at_the_start(data_dir):
    own = config(data_dir)
    assert own.objective_settings.labels == 6 and len(own.objective_settings.labels_sha256) == 64
    learner = Learner(own)
    reader = learner.objective.documents(data_dir, manifest.load(data_dir), "valid")
    element = next(iter(reader.evaluation(5)))
    batch = learner.objective.prepare(element, tf.zeros([5, 2], tf.int64), training=False)
    empty = learner.objective.trunk.empty_memories(5, 0)
    total, count, parts, _ = learner.objective.loss(batch, empty, EVALUATION)
    assert float(total / count) == pytest.approx(np.log(6), rel=0.02) and parts == {}
    learner.objective.head.kernel.assign(np.random.default_rng(1).normal(size=[16, 6]))
    logits = learner.objective._logits(batch, EVALUATION).numpy().astype(np.float64)
    own_logits = logits[np.arange(5), batch["label"].numpy()]
    expected = np.log(np.exp(logits).sum(axis=1)) - own_logits
    scores, _ = learner.objective.token_scores(batch, empty, EVALUATION)
    np.testing.assert_allclose(scores["nll"][0][:, 0], expected, rtol=1e-5)
    hits = logits.argmax(axis=1) == batch["label"].numpy()
    assert scores["accuracy"][0][:, 0].numpy().tolist() == hits.tolist()
    table = documents.load(data_dir, "valid")
    names = np.unique(documents.load(data_dir, "train")[:, documents.AUTHOR])
    rows = reader.draws.targets[:5]
    assert names[batch["label"]].tolist() == table[rows, documents.AUTHOR].tolist()


def test_padding_and_the_rows_of_the_batch_change_no_score(data_dir):
    learner = Learner(config(data_dir, "ad"))
    for weight in learner.weights:
        weight.assign(np.random.default_rng(3).normal(0, 0.4, weight.shape))
    found = [
        evaluation.token_scores(
            learner,
            data_dir,
            manifest.load(data_dir),
            "valid",
            "fixed",
            evaluation.AS_TRAINED
            if rows is None
            else dataclasses.replace(evaluation.AS_TRAINED, batch_size=rows),
        )
        for rows in (None, 3)
    ]
    assert set(found[0]) == {"nll", "accuracy", "bayes", "majority"}
    for name, (values, weights) in found[0].items():
        np.testing.assert_allclose(values, found[1][name][0], rtol=1e-4, atol=1e-5)
        assert weights.sum() == len(weights) == len(documents.load(data_dir, "valid"))


def test_figures_beside_are_those_of_counting(data_dir):
    own = config(data_dir)
    found = evaluation.token_scores(
        Learner(own), data_dir, manifest.load(data_dir), "test", "fixed"
    )
    figures = evaluation.figures(own.contract, manifest.load(data_dir), "test", found)
    assert list(figures)[:4] == ["accuracy", "nll_per_token", "bayes", "majority"]
    authors = [documents.load(data_dir, each)[:, documents.AUTHOR] for each in ("train", "test")]
    most = np.bincount(authors[0]).argmax()
    assert figures["majority"] == pytest.approx((authors[1] == most).mean())
    assert figures["bayes"] > 0.8  # a word of three tells the author
    of_train = evaluation.token_scores(
        Learner(own), data_dir, manifest.load(data_dir), "train", "fixed"
    )
    # it would find what it was counted from
    found = evaluation.figures(own.contract, manifest.load(data_dir), "train", of_train)
    assert np.isnan(found["bayes"]) and found["majority"] > 0


@pytest.mark.slow
def test_what_authors_write_is_learned(data_dir, tmp_path):
    own = config(data_dir, "d", epochs=20, max_lr=2e-2, dropout_rate=0)
    made = trainer(tmp_path / "run", own, data_dir)
    made.run()
    scores = evaluation.score(made.learner, data_dir, manifest.load(data_dir), "test", "fixed")
    assert scores["accuracy"] > 0.8 > 0.4 > scores["majority"]


def test_bos_and_typing_errors_are_put_in_where_they_belong(tmp_path, data_dir):
    learner = Learner(config(data_dir, pool="cls"))
    reader = learner.objective.documents(data_dir, manifest.load(data_dir), "valid")
    element = next(iter(reader.evaluation(4)))
    batch = learner.objective.prepare(element, tf.zeros([4, 2], tf.int64))
    np.testing.assert_array_equal(batch["tokens"][:, 1:], element["text"])
    assert (batch["tokens"].numpy()[:, 0] == BOS).all()
    characters = build(tmp_path, "characters", "--split_by=thread", "--model_type=char")
    own = config(characters, "ad", typos=0.5)
    own = dataclasses.replace(own, model=dataclasses.replace(own.model, downsample=4))
    made = Learner(own)
    made.objective.read_data(characters)
    reader = made.objective.documents(characters, manifest.load(characters), "valid")
    element = next(iter(reader.evaluation(4)))
    typed, clean = (
        made.objective.prepare(element, tf.ones([4, 2], tf.int64), training)["tokens"]
        for training in (True, False)
    )
    np.testing.assert_array_equal(clean, element["text"])
    assert (typed.numpy() != clean.numpy()).any()


def test_data_without_labels_in_common_are_refused_in_words(tmp_path, data_dir, call):
    flags = ("--split_by=author", "--model_type=word")
    by_author = build(tmp_path, "by_author", *flags, authors=24)
    run = f"--run={tmp_path / 'run'}"
    common = ("train", "--objective=classify", "--cutoffs=none", run, "--num_blocks=1")
    flags = ("--label=author", "--min_documents=5")

    def refused(*given):
        done = call(*common, *given)
        assert done.code in (1, 3) and done.err.count("\n") == 1, done.err
        assert not (tmp_path / "run").exists()
        return done.err

    said = refused(f"--data={by_author}", *flags)
    assert "no document of valid of" in said and "--split_by=thread" in said
    said = refused(f"--data={data_dir}", "--label=author", "--min_documents=90")
    assert "has 0 authors of at least 90 documents, but 2 are needed" in said
    said = refused(f"--data={data_dir}", *flags, "--labels=40")
    assert "has 6 authors" in said and "but 40 are needed: lower" in said and "--labels" in said
    said = refused(f"--data={data_dir}", *flags, "--typos=0.1")
    assert "--typos=0.1 is for characters" in said
    (tmp_path / "plain.txt").write_text("one line .\n" * 99)
    plain = tmp_path / "plain"
    given = (f"--input_text={tmp_path}/plain.txt", f"--output_dir={plain}", "--model_type=word")
    assert build_data.main([*given, *SHAPE]) == 0
    assert "has no documents" in refused(f"--data={plain}", *flags)
    other = manifest.load(by_author)
    with pytest.raises(DataError, match="are numbered otherwise than those that the run"):
        Learner(config(data_dir)).objective.documents(by_author, other, "train")
    with pytest.raises(UsageError, match="2 are needed"):
        config(data_dir, label="group", min_documents=1000)
    with pytest.raises(UsageError, match="labels must be 0, for all, or at least 2"):
        config(data_dir, labels=1)


@pytest.mark.slow
def test_a_search_its_network_and_its_scores_go_through_the_commands(data_dir, call, tmp_path):
    run, network = tmp_path / "search", tmp_path / "network"
    flags = ("--objective=classify", "--label=author", "--min_documents=5", "--doc_len=12")
    flags = (*flags, f"--data={data_dir}", "--cutoffs=none", *NETWORK)
    searched = call("train", *flags, "--num_blocks=2", f"--run={run}", "--json")
    assert searched.code == 0, searched.err
    found = json.loads(searched.out)["valid"]["soft"]
    assert set(found) >= {"accuracy", "nll_per_token", "bayes", "majority"}
    again = call("train", *flags, "--num_blocks=2", f"--run={run}", "--json")
    assert json.loads(again.out)["state"] == "already done", again.err
    assert call("derive", f"--run={run}").code == 0
    blocks = f"--architecture={run}/architecture.json"
    trained = call("train", *flags, blocks, f"--init_from={run}", f"--run={network}")
    assert trained.code == 0, trained.err
    scores = call("evaluate", f"--run={run}", f"--run={network}", "--split=test")
    assert scores.code == 0 and "accuracy of naive Bayes" in scores.out, scores.err
    for command in (("report",), ("measure_latency", "--repeats=1", "--steps=1")):
        done = call(command[0], f"--run={run}", *command[1:])
        assert done.code == 0, done.err
    out = f"--output={tmp_path / 'out'}"
    exported = call("export", f"--run={network}", out, "--format=safetensors")
    assert exported.code == 0, exported.err
    refused = call("generate", f"--run={network}", "--prompt=a")
    assert refused.code == 1 and "is classify: use embed, or probe" in refused.err
