"""A linear classifier on frozen vectors finds what is in them, and nothing where nothing is; what
it predicts, it was not fitted to."""

from __future__ import annotations

import numpy as np
import pytest

from par.core.bootstrap import ratio_interval
from par.core.stats import Interval
from par.evaluate import probe

SIZES = (7, 11, 13, 17, 23)  # documents of each label


@pytest.fixture(scope="module")
def labels() -> np.ndarray:
    found = np.repeat(np.arange(len(SIZES)), SIZES)
    return np.random.default_rng(5).permutation(found)


@pytest.fixture(scope="module")
def folds(labels) -> np.ndarray:
    return probe.stratified_folds(labels, 3, seed=1)


@pytest.fixture(scope="module")
def planted(labels) -> np.ndarray:
    """[n, 19] vectors that point into a direction of their label, on scales of their own."""
    draw = np.random.default_rng(2)
    directions = 3 * draw.standard_normal((len(SIZES), 19))
    noise = draw.standard_normal((len(labels), 19))
    return ((directions[labels] + noise) * 10.0 ** draw.integers(-4, 4, 19)).astype(np.float32)


@pytest.fixture(scope="module")
def texts(labels) -> list[str]:
    draw = np.random.default_rng(3)
    return [
        f"{''.join(draw.choice(list('abcd'), 9))} {9 * 'vwxyz'[label]} q\n" for label in labels
    ]


@pytest.mark.parametrize("number", [2, 3, 5, 10])
def test_folds_are_dealt_label_by_label_as_cards_are(labels, number):
    folds = probe.stratified_folds(labels, number, seed=4)
    # naively: the documents of each label in the order in which they were shuffled
    keys, dealt, turn = np.random.default_rng(4).random(len(labels)), {}, 0
    for label in range(len(SIZES)):
        for row in sorted(np.flatnonzero(labels == label), key=lambda row: keys[row]):
            dealt[row] = turn % number
            turn += 1
    assert folds.tolist() == [dealt[row] for row in range(len(labels))]
    assert np.ptp(np.bincount(folds, minlength=number)) <= 1
    for label, size in enumerate(SIZES):
        share = np.bincount(folds[labels == label], minlength=number)
        assert np.ptp(share) <= 1 and (size - share >= 1).all()  # it is in all that is fitted


def test_other_seeds_make_other_folds(labels):
    first, again, other = (probe.stratified_folds(labels, 5, seed) for seed in (0, 0, 1))
    assert (first == again).all() and (first != other).any()


def test_the_majority_s_accuracy_is_the_share_of_the_most_frequent_label(labels, folds):
    found = probe.by_majority(labels, folds)
    assert (found == 4).all() and (found == labels).mean() == 23 / 71


def test_the_majority_is_of_the_other_folds():
    labels, folds = np.array([0, 0, 0, 1, 1]), np.array([0, 0, 1, 1, 1])
    assert probe.by_majority(labels, folds).tolist() == [1, 1, 0, 0, 0]


def test_planted_labels_are_all_found(labels, folds, planted, texts):
    assert (probe.by_states(planted, labels, folds, 0) == labels).all()
    assert (probe.by_characters(texts, labels, folds, 0) == labels).all()


def test_labels_that_have_nothing_to_do_with_the_vectors_are_found_by_chance():
    """Of four labels of equally many documents, a quarter."""
    draw = np.random.default_rng(0)
    labels = draw.permutation(np.arange(160) % 4)
    folds = probe.stratified_folds(labels, 5, 0)
    found = probe.by_states(draw.standard_normal((160, 7)), labels, folds, 0)
    own = probe.accuracy(found == labels, np.arange(160), 0)
    assert own.low < 0.25 < own.high < 0.4


def test_two_labels_of_the_fewest_documents_are_told_apart():
    labels = np.repeat([0, 1], probe.FEWEST)
    folds = probe.stratified_folds(labels, 2, 0)
    states = np.where(labels, 1.0, -1.0)[:, None] + np.linspace(-0.1, 0.1, len(labels))[:, None]
    assert (probe.by_states(states, labels, folds, 0) == labels).all()


def test_a_fold_is_predicted_without_its_own_labels(labels, folds, planted, texts):
    mine = folds == 1
    wrong = labels.copy()
    wrong[mine] = np.roll(labels[mine], 1)
    for predict, inputs in ((probe.by_states, planted), (probe.by_characters, texts)):
        found, other = (predict(inputs, given, folds, 0) for given in (labels, wrong))
        assert (found[mine] == other[mine]).all() and (found[~mine] != other[~mine]).any()


def test_a_document_is_predicted_without_the_others_of_its_fold(labels, folds, planted):
    """Not even the scale is theirs."""
    mine = np.flatnonzero(folds == 1)
    changed = planted.copy()
    changed[mine[1:]] *= 1e3
    found, other = (probe.by_states(each, labels, folds, 0) for each in (planted, changed))
    assert found[mine[0]] == other[mine[0]]


def test_the_scale_of_a_dimension_has_no_effect(labels, folds, planted):
    noisy = planted + planted.std(axis=0) * np.random.default_rng(1).standard_normal(planted.shape)
    found, scaled = (probe.by_states(each, labels, folds, 0) for each in (noisy, noisy * 1024))
    assert (found == scaled).all() and 0.3 < (found == labels).mean() < 1


def test_every_fold_is_told_when_it_is_done(labels, folds, planted):
    told: list[int] = []
    probe.by_states(planted, labels, folds, 0, told.append)
    assert told == [1, 1, 1]


def test_the_ngrams_of_a_text_are_those_between_empty_lines():
    assert probe.character_ngrams("a") == [
        *("\n\na", "\na\n", "a\n\n"),
        *("\n\na\n", "\na\n\n"),
        "\n\na\n\n",
    ]
    assert probe.character_ngrams("") == ["\n\n\n", "\n\n\n", "\n\n\n\n"]


def test_the_coordinates_of_texts_make_the_classifier_of_all_their_ngrams(labels, texts):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    fitted, other, space = np.array(texts[:40], object), texts[40:], probe.NgramSpace()
    few, many = (
        space.fit_transform(fitted),
        TfidfVectorizer(analyzer=probe.character_ngrams, sublinear_tf=True),
    )
    every = many.fit_transform(fitted)
    assert few.shape[1] <= 40 < 100 < every.shape[1]
    np.testing.assert_allclose(few @ few.T, (every @ every.T).toarray(), atol=1e-12)
    for inverse in (0.1, 10.0):
        one, two = (LogisticRegression(C=inverse, tol=1e-9) for _ in range(2))
        one, two = one.fit(few, labels[:40]), two.fit(every, labels[:40])
        np.testing.assert_allclose(
            one.predict_log_proba(space.transform(other)),
            two.predict_log_proba(many.transform(other)),
            atol=1e-3,
        )


def test_documents_of_a_cluster_count_as_one_if_they_are_alike():
    correct, clusters = np.random.default_rng(0).random(37) < 0.6, np.arange(37)
    single = probe.accuracy(correct, clusters, 0)
    twice = probe.accuracy(np.repeat(correct, 2), np.repeat(-7 * clusters, 2)[::-1], 0)
    assert single == ratio_interval(correct.astype(float), np.ones(37), 0)
    assert single.mean == twice.mean and twice.high - twice.low == pytest.approx(
        single.high - single.low, rel=0.05
    )
    apart = probe.accuracy(np.repeat(correct, 2), np.arange(74), 0)
    assert apart.high - apart.low < 0.8 * (twice.high - twice.low)


def test_a_single_cluster_has_no_interval():
    assert probe.accuracy(np.array([True, False]), np.array([3, 3]), 0) == Interval(
        0.5, None, None
    )
