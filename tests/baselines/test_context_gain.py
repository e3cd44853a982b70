"""The gain of contexts: found where it was planted, null where there is none, and measured on what
was not fitted."""

from __future__ import annotations

import numpy as np
import pytest

from par.baselines import context_gain
from par.baselines.bigrams import ORDINARY, PairCounts
from par.baselines.context_gain import Split
from par.baselines.mixture import em_weights
from par.core.errors import DataError
from par.data.documents import AUTHOR, GROUP, NONE, PARENT
from par.data.synthetic.settings import SyntheticConfig
from par.data.synthetic.tasks import TASKS
from par.data.tokenizer import EOS, UNK

V = 200


class Corpus:
    """Documents as a data set has them: names and words by number, in order of appearance."""

    def __init__(self, documents):
        self._numbers = {}
        rows, ids, places = [], [], {}
        for document in documents:
            words = [self._number("word", word) + ORDINARY for word in document.text.split()]
            parent = places.get(document.parent, NONE)
            names = self._number("author", document.author), self._number("group", document.group)
            rows.append([len(ids), len(words) + 1, *names, parent, 0])
            places[document.id] = len(places)
            ids += [*words, EOS]
        self.table, self.stream = np.array(rows, np.int64), np.array(ids, np.int32)

    def _number(self, kind, name):
        if name is None:
            return NONE
        known = self._numbers.setdefault(kind, {})
        return known.setdefault(name, len(known))


def synthetic(task, **sizes):
    config = SyntheticConfig(**sizes)
    return Corpus(TASKS[task].documents(config, 0))


def gains(corpus, cluster, contexts=10, **settings):
    split = Split("test", corpus.table, corpus.stream)
    found = context_gain.measure(corpus.stream, [split], V, cluster, contexts=contexts, **settings)
    return {gain.kind: gain for gain in found.gains}, found


def test_in_dialects_authors_help_and_groups_do_not():
    found, result = gains(synthetic("dialects", authors=40, texts=10), "author")
    assert found["author"].difference.high < -0.15
    assert found["author_elsewhere"].difference.high < -0.15
    assert abs(found["group_other_authors"].difference.mean) < 0.02
    assert result.lacking == {"ancestors": "no text has a parent"}
    assert result.clusters == 40 and result.nll < result.unigram_nll


def test_in_two_latents_each_kind_tells_its_own_word_alone():
    """Of four tokens one is the author's and one the group's."""
    found, _ = gains(synthetic("two_latents", authors=48, groups=16), "author")
    one, other = (found[kind].difference for kind in ("author_elsewhere", "group_other_authors"))
    assert max(one.high, other.high) < -0.1 and one.mean == pytest.approx(other.mean, abs=0.1)


def test_in_threads_ancestors_help_by_the_word_that_is_repeated():
    corpus = synthetic("threads", threads=60, replies=10)
    found, _ = gains(corpus, "thread", contexts=5)
    assert found["ancestors"].difference.high < -0.15
    assert found["ancestors"].contexts == pytest.approx(60 / 14, abs=0.3)  # roots have none
    assert abs(found["author_elsewhere"].difference.mean) < 0.1


def test_contexts_that_all_say_the_same_are_worth_what_unrelated_ones_are():
    corpus = synthetic("two_latents", authors=20, groups=8)
    corpus.stream[:] = np.tile(corpus.stream[:5], len(corpus.stream) // 5)
    for gain in gains(corpus, "group")[0].values():
        assert gain.difference == pytest.approx((0, 0, 0), abs=1e-9)


def test_few_tokens_of_few_contexts_are_read():
    corpus = synthetic("dialects", authors=24, texts=12)
    found = [
        gains(corpus, "author", **settings)[0]["author"]
        for settings in (
            {"contexts": 1, "context_len": 2},
            {"contexts": 1},
            {"contexts": 10},
        )
    ]
    means = [gain.difference.mean for gain in found]
    assert means[0] > means[1] + 0.03 > means[2] + 0.06
    assert [gain.contexts for gain in found] == [1, 1, 10]


def test_of_a_text_only_the_first_tokens_are_scored():
    corpus = synthetic("two_latents", authors=12, groups=8)
    _, whole = gains(corpus, "author")
    _, cut = gains(corpus, "author", text_len=1)
    assert (whole.tokens, cut.tokens) == (4 * 96, 96)


def test_it_follows_from_the_seed_and_scores_at_most_so_many_texts():
    corpus = synthetic("two_latents", authors=20, groups=8)
    results = [gains(corpus, "author", seed=seed, most=50)[1] for seed in (0, 0, 1)]
    assert results[0] == results[1] != results[2] and results[0].documents == 50


def test_the_progress_adds_up():
    told, scored = [], []
    corpus = synthetic("two_latents", authors=12, groups=8)
    _, result = gains(corpus, "author", counting=told.append, scoring=scored.append)
    assert sum(told) == len(corpus.stream) and sum(scored) == result.documents


def test_every_ordinary_token_is_masked_once_a_seventh_at_a_time():
    draw = np.random.default_rng(0)
    ids = np.array([9, UNK, 10, EOS, 11, 12, EOS])
    assert sorted(np.concatenate(context_gain.divide(ids, draw)).tolist()) == [0, 2, 4, 5]
    parts = context_gain.divide(np.full(703, 9), draw)
    assert sorted(map(len, parts)) == [100] * 4 + [101] * 3
    assert sorted(np.concatenate(parts).tolist()) == list(range(703))
    assert context_gain.divide(np.array([UNK, EOS]), draw) == []


def test_a_masked_token_is_hidden_from_its_own_text_and_from_its_neighbours():
    ids = np.array([9, 10, 10, EOS, 11, 12, EOS], np.int32)
    part = np.array([1, 2, 5])
    hidden = context_gain.HIDDEN
    assert context_gain.visible(ids, part).tolist() == [9, hidden, hidden, 3, 11, hidden, 3]
    targets = context_gain._targets(ids, part)
    assert targets.word.tolist() == [10, 10, 12]
    assert targets.before.tolist() == [9, hidden, 11]
    assert targets.after.tolist() == [hidden, EOS, EOS]
    alone = context_gain._targets(ids[:1], np.array([0]))
    assert (alone.before.tolist(), alone.after.tolist()) == ([EOS], [EOS])


def test_a_text_s_own_words_are_counted_without_those_that_are_masked():
    """Words that each stand twice in their text, and one that stands once."""
    ids = np.repeat(np.arange(8, 50), 2)
    ids = np.append(ids, 60)
    table = np.array([[0, len(ids), 0, 0, NONE, 0], [len(ids), len(ids), 1, 1, NONE, 0]])
    texts = context_gain._Texts(
        Split("test", table, np.append(ids, ids)), context_gain.Relations(table), "group"
    )
    masked = context_gain._masked([texts], None, most=1, seed=0)[0]
    counts = PairCounts.of(ids, masked.targets, V)
    own, _ = context_gain._probabilities(masked, counts, V, 3, None)
    start = 0
    for part in masked.parts:
        for place in part:
            left = [word for n, word in enumerate(ids) if n not in part]
            assert own[start, 4] == left.count(ids[place]) / len(left)
            start += 1
    assert own[masked.targets.word == 60, 4] == 0


def test_the_weights_are_fitted_to_the_other_half_of_the_clusters():
    draw = np.random.default_rng(0)
    columns = context_gain._Columns()
    parts = [draw.random([5, 3]).astype(np.float32) for _ in range(40)]
    for number, part in enumerate(parts):
        columns.add((number % 10, 0), part, part, 1)
    found = columns.nll(parts, seed=0).reshape(40, 5)
    half = np.random.default_rng(0).permutation(10) % 2
    for mine in (0, 1):
        others = [part for n, part in enumerate(parts) if half[n % 10] != mine]
        weights = em_weights(np.concatenate(others), tolerance=context_gain.TOLERANCE)
        for n in np.flatnonzero(half[np.arange(40) % 10] == mine):
            np.testing.assert_allclose(found[n], -np.log(parts[n] @ weights), rtol=1e-5)


def test_what_the_data_lack_is_told():
    corpus = synthetic("two_latents", authors=12, groups=8)
    corpus.table[:, AUTHOR] = NONE
    _, result = gains(corpus, "group")
    assert set(result.lacking) == {
        "group_other_authors",
        "author",
        "author_elsewhere",
        "ancestors",
    }
    corpus.table[:, GROUP] = np.arange(len(corpus.table))
    _, result = gains(corpus, "group")
    assert result.gains == [] and result.lacking["group"] == "no group has two texts"


def test_a_long_split_is_read_text_by_text(monkeypatch):
    corpus = synthetic("two_latents", authors=12, groups=8)
    whole = gains(corpus, "author")[1]
    monkeypatch.setattr(context_gain, "MOST_HELD", 10)
    assert gains(corpus, "author")[1] == whole


def test_where_all_texts_are_related_there_is_nothing_to_compare_with():
    corpus = synthetic("two_latents", authors=12, groups=8)
    corpus.table[:, AUTHOR] = 0
    _, result = gains(corpus, "group")
    assert result.gains == []
    assert result.lacking["group"] == "no text is unrelated to those that have such texts"
    assert result.lacking["group_other_authors"] == "no group has texts of two authors"


def test_texts_of_one_group_alone_tell_nothing_of_others():
    corpus = synthetic("two_latents", authors=12, groups=8)
    corpus.table[8:, GROUP] = np.arange(8, len(corpus.table))
    corpus.table[:8, [GROUP, AUTHOR]] = [3, NONE]
    _, result = gains(corpus, "group", contexts=3)
    said = "only one group of those that are scored has such texts"
    assert result.lacking["group"] == said


def test_documents_without_a_group_are_of_their_thread():
    corpus = synthetic("threads", threads=30)
    corpus.table[:, GROUP] = NONE
    assert gains(corpus, "group")[1].clusters == 30
    corpus.table[:, PARENT] = NONE
    assert gains(corpus, "group")[1].clusters > 100


def test_texts_without_a_token_to_mask_are_refused():
    corpus = synthetic("threads", threads=3)
    corpus.stream[:] = UNK
    with pytest.raises(DataError, match=r"no text of test has a token that can be masked: give"):
        gains(corpus, "thread")


def test_two_splits_are_scored_together_and_their_contexts_are_of_their_own():
    corpus = synthetic("threads", threads=40)
    half = 20 * 25
    ends = corpus.table[half, 0]
    first = Split("valid", corpus.table[:half], corpus.stream[:ends])
    second = corpus.table[half:].copy()
    second[:, 0] -= ends
    second[:, PARENT] = np.where(second[:, PARENT] < 0, NONE, second[:, PARENT] - half)
    splits = [first, Split("test", second, corpus.stream[ends:])]
    found = context_gain.measure(corpus.stream, splits, V, "thread", contexts=5)
    assert found.clusters == 40
    ancestors = next(gain for gain in found.gains if gain.kind == "ancestors")
    assert ancestors.clusters == 40 and ancestors.difference.high < -0.15
