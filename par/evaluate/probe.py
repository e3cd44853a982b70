"""What a frozen representation is worth: how often a linear classifier on it finds the label of a
document that it was not fitted to (Alain & Bengio 2016).

    hidden states [n, D]  ->  StandardScaler   ->  LogisticRegression  ->  label [n]
    texts [n]             ->  TF-IDF of their   ->  LogisticRegression  ->  label [n]
                              characters

All documents are divided into folds, each of which has its share of every label. What predicts a
fold is fitted to the others: scale, frequencies, weights, and the strength of the penalty, which
is the best by the nll of a quarter of them. So all representations are read alike, and predict the
same documents from the same ones.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from par.core.bootstrap import ratio_interval
from par.core.errors import UsageError
from par.core.stats import Interval

HELD_OUT = 4  # one part of so many chooses the strength of the penalty
FEWEST = 4  # documents of a label, so that HELD_OUT leaves some of each in all that is fitted
INVERSE_PENALTIES = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0)  # C of LogisticRegression
MAX_ITERATIONS = 500  # a fit that is not done by then is scored as it is
SHORTEST, LONGEST = 3, 5  # characters of an n-gram
SMALLEST = 1e-10  # eigenvalue, of unit vectors, below which a dimension is rounding


def require_scikit_learn(what: str = "probe") -> None:
    """Raises: UsageError, saying `what` needs it, unless scikit-learn is installed."""
    if importlib.util.find_spec("sklearn") is None:
        raise UsageError(
            f"{what} needs scikit-learn, which is not installed: pip install"
            ' "par-transformer-xl[probe]", or in a clone pip install ".[probe]"'
        )


def stratified_folds(labels: np.ndarray, number: int, seed: int) -> np.ndarray:
    """The fold [n], 0 to number - 1, of each document of a label [n]: at random, but so that the
    sizes of the folds, and the documents of each label in them, differ by at most one."""
    order = np.lexsort((np.random.default_rng(seed).random(len(labels)), labels))
    folds = np.empty([len(labels)], np.int64)
    folds[order] = np.arange(len(labels)) % number
    return folds


def by_majority(labels: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """[n] the most frequent label of the other folds, of equally frequent ones the first."""
    found = np.empty_like(labels)
    for fold in range(folds.max() + 1):
        found[folds == fold] = np.bincount(labels[folds != fold]).argmax()
    return found


def by_states(
    states: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    seed: int,
    done: Callable[[int], None] = lambda folds: None,
    read_as: np.ndarray | None = None,
) -> np.ndarray:
    """[n] labels as predicted from vectors [n, D]. labels: [n] from 0 on, each of at least FEWEST
    documents. done: is called with 1 after each fold. read_as: [n, D] what is predicted from, of
    the same documents; None: the vectors, too."""
    from sklearn.preprocessing import StandardScaler

    fitted = states.astype(np.float64)
    read = fitted if read_as is None else read_as.astype(np.float64)
    return _predicted(StandardScaler, fitted, read, labels, folds, seed, done)


def by_characters(
    texts: list[str],
    labels: np.ndarray,
    folds: np.ndarray,
    seed: int,
    done: Callable[[int], None] = lambda folds: None,
    read_as: list[str] | None = None,
) -> np.ndarray:
    """[n] labels as predicted from the characters of n texts: TF-IDF of 3- to 5-grams, with the
    logarithm of their counts. labels, done, read_as: as for `by_states`."""
    fitted, read = (np.array(each, object) for each in (texts, read_as or texts))
    return _predicted(NgramSpace, fitted, read, labels, folds, seed, done)


class NgramSpace:
    """TF-IDF vectors of the n-grams of texts, in coordinates of the space that n texts span:
    [n, R] with R at most n, instead of a column for each n-gram.

    The weights of a linear classifier with a quadratic penalty lie in that space (Kimeldorf &
    Wahba 1971), so that it is the same classifier, many times faster.
    """

    def fit_transform(self, texts: np.ndarray) -> np.ndarray:
        """The coordinates [n, R] of the texts that span the space."""
        self._tfidf = character_tfidf()
        self._vectors = self._tfidf.fit_transform(texts)
        # X X^T = U diag(values) U^T, so U sqrt(values) has the products of X
        values, axes = np.linalg.eigh((self._vectors @ self._vectors.T).toarray())
        kept = values > SMALLEST
        self._axes = axes[:, kept] / np.sqrt(values[kept])
        return axes[:, kept] * np.sqrt(values[kept])

    def transform(self, texts: np.ndarray) -> np.ndarray:
        """The coordinates [m, R] of other texts, projected into the space."""
        return (self._tfidf.transform(texts) @ self._vectors.T).toarray() @ self._axes


def character_tfidf() -> Any:
    """scikit-learn's TF-IDF of character 3- to 5-grams, with the logarithm of their counts; its
    vectors have length 1."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(analyzer=character_ngrams, sublinear_tf=True)


def character_ngrams(text: str) -> list[str]:
    """All 3- to 5-grams of a text between empty lines, so that the shortest text has some."""
    text = f"\n\n{text}\n\n"
    return [
        text[start : start + length]
        for length in range(SHORTEST, LONGEST + 1)
        for start in range(len(text) - length + 1)
    ]


def accuracy(correct: np.ndarray, clusters: np.ndarray, seed: int) -> Interval:
    """The mean of [n] values, such as whether a label was found or by how much two networks differ
    in that, with a bootstrap interval. clusters: [n] numbers; documents of one are drawn as a
    whole."""
    _, of = np.unique(clusters, return_inverse=True)
    return ratio_interval(np.bincount(of, correct.astype(np.float64)), np.bincount(of), seed)


def _predicted(
    make_features: Callable[[], Any],
    inputs: np.ndarray,
    read: np.ndarray,
    labels: np.ndarray,
    folds: np.ndarray,
    seed: int,
    done: Callable[[int], None],
) -> np.ndarray:
    from threadpoolctl import threadpool_limits

    found = np.empty_like(labels)
    # products so small are many times slower where threads wait for each other
    with threadpool_limits(1):
        for fold in range(folds.max() + 1):
            held, features = folds == fold, make_features()
            fitted = _fitted(features.fit_transform(inputs[~held]), labels[~held], seed)
            found[held] = fitted.predict(features.transform(read[held]))
            done(1)
    return found


def _fitted(features: Any, labels: np.ndarray, seed: int) -> Any:
    """The classifier of features [n, F], with the penalty that is best for documents that it was
    not fitted to: from strong to weak, until the next one is worse."""
    held = stratified_folds(labels, HELD_OUT, seed) == 0
    best, least = INVERSE_PENALTIES[0], np.inf
    for inverse in INVERSE_PENALTIES:
        nll = _nll(_fit(features[~held], labels[~held], inverse), features[held], labels[held])
        if nll > least:
            break
        best, least = inverse, nll
    return _fit(features, labels, best)


def _fit(features: Any, labels: np.ndarray, inverse_penalty: float) -> Any:
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier = LogisticRegression(C=inverse_penalty, max_iter=MAX_ITERATIONS)
        return classifier.fit(features, labels)


def _nll(classifier: Any, features: Any, labels: np.ndarray) -> float:
    """Mean nll in nats of labels [n], which are all among those fitted."""
    log_probability = classifier.predict_log_proba(features)
    column = np.searchsorted(classifier.classes_, labels)
    return -float(log_probability[np.arange(len(labels)), column].mean())
