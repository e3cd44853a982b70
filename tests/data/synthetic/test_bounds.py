"""The bounds of the synthetic corpora equal those of a Bayesian who lists all that can happen, and
what a reader of the texts themselves reaches."""

from __future__ import annotations

import collections
import itertools
import math

import pytest

from naive.bayes import bayes
from par.core.errors import SettingError
from par.data.synthetic import dialects, threads, two_latents
from par.data.synthetic.settings import SyntheticConfig


def found(module, config, kind, targets):
    """Accuracy and nll by number of contexts."""
    return {
        bound.contexts: (bound.accuracy, bound.nll)
        for bound in module.bounds(config)
        if (bound.kind, bound.targets) == (kind, targets)
    }


@pytest.mark.parametrize(("slots", "synonyms", "pairs"), [(3, 2, 2), (2, 3, 1), (2, 2, 2)])
def test_a_dialect_s_bound_is_that_of_all_authors_and_all_their_texts(slots, synonyms, pairs):
    config = SyntheticConfig(slots=slots, synonyms=synonyms, pairs=pairs, contexts=2)
    named = list(itertools.permutations(range(slots), pairs))
    for n, bound in found(dialects, config, "author", "synonyms").items():
        worlds = []
        for choice in itertools.product(range(synonyms), repeat=slots):
            for own, *others in itertools.product(named, repeat=1 + n):
                seen = [[(thing, choice[thing]) for thing in other] for other in others]
                rest = [(thing, choice[thing]) for thing in own[1:]]
                worlds.append((1.0, repr([own[0], rest, seen]), choice[own[0]]))
        assert bayes(worlds) == pytest.approx(bound)


def two_latents_worlds(kind, n, targets, groups, synonyms):
    """Everything that can happen where the groups' marks are known by heart: the own group and
    author, and the n contexts."""
    marks = [group % synonyms for group in range(groups)]
    for group, word in itertools.product(range(groups), range(synonyms)):
        if kind == "author":
            others = [other for other in range(groups) if other != group]
            contexts = [[(g, word) for g in own] for own in itertools.permutations(others, n)]
        else:
            words = itertools.product(range(synonyms), repeat=n)
            contexts = [[(group, other) for other in own] for own in words]
        for context in contexts:
            own = {"words": word, "marks": marks[group]}
            target = own.pop(targets)
            weight = 1 / len(contexts)
            yield weight, repr([own, [(marks[g], other) for g, other in context]]), target


@pytest.mark.parametrize("kind", ["author", "group"])
@pytest.mark.parametrize("targets", ["words", "marks"])
@pytest.mark.parametrize(("groups", "synonyms", "contexts"), [(4, 2, 3), (9, 3, 3), (8, 4, 4)])
def test_the_bounds_of_two_latents_are_those_of_all_groups_and_authors(
    kind, targets, groups, synonyms, contexts
):
    config = SyntheticConfig(groups=groups, synonyms=synonyms, contexts=contexts)
    for n, bound in found(two_latents, config, kind, targets).items():
        worlds = two_latents_worlds(kind, n, targets, groups, synonyms)
        assert bayes(worlds) == pytest.approx(bound, abs=1e-12), n


@pytest.mark.parametrize("is_shuffled", [False, True])
@pytest.mark.parametrize("rare_words", [4, 6])
def test_the_bound_of_threads_is_that_of_all_chains(is_shuffled, rare_words):
    config = SyntheticConfig(rare_words=rare_words, distance=3, contexts=4)
    kind = "shuffled ancestors" if is_shuffled else "ancestors"
    for n, bound in found(threads, config, kind, "replies").items():
        worlds = []
        for chain in itertools.permutations(range(rare_words), 3):
            for back in (1, 2, 3):
                seen = chain[::-1][:n]
                seen = sorted(seen) if is_shuffled else seen
                worlds.append((1.0, repr([back, seen]), chain[-back]))
        assert bayes(worlds) == pytest.approx(bound), n
    assert found(threads, config, "random", "replies")[2] == (
        1 / rare_words,
        math.log(rare_words),
    )


def test_the_default_sizes_have_the_bounds_that_they_are_known_by():
    config = SyntheticConfig()
    assert found(dialects, config, "author", "synonyms")[4][0] == pytest.approx(0.9971, abs=5e-5)
    assert found(dialects, config, "author", "synonyms")[0] == (0.25, math.log(4))
    assert found(threads, config, "ancestors", "replies")[5] == (1.0, 0.0)
    assert found(threads, config, "shuffled ancestors", "replies")[5][0] == 0.2


def test_who_reads_other_texts_of_the_author_reaches_the_bound_of_dialects():
    config = SyntheticConfig(authors=300, texts=6)
    texts = collections.defaultdict(list)
    for document in dialects.documents(config, seed=1):
        words = document.text.split()
        texts[document.author].append(dict(zip(words[::2], words[1::2], strict=True)))
    assert all(len(text) == config.pairs for own in texts.values() for text in own)
    right = []
    for own in texts.values():
        known = {key: word for text in own[1:5] for key, word in text.items()}
        right += [
            known.get(key, f"{key.replace('thing', 'word')}.0") == word
            for key, word in own[0].items()
        ]
    bound = found(dialects, config, "author", "synonyms")[4][0]
    assert sum(right) / len(right) == pytest.approx(bound, abs=4 * math.sqrt(0.003 / len(right)))


def test_a_reply_repeats_the_word_of_the_ancestor_that_it_says():
    documents = {each.id: each for each in threads.documents(SyntheticConfig(threads=20), seed=2)}
    backs = collections.Counter()
    for document in documents.values():
        first, word = document.text.split()
        if first != "say":
            at = document
            for _ in range(int(first.removeprefix("back"))):
                at = documents[at.parent]
            assert at.text == f"say {word}"
            backs[first] += 1
    assert sum(backs.values()) == 400 and len(backs) == 5 and min(backs.values()) > 50


def test_the_words_are_the_author_s_and_the_marks_the_group_s_all_choices_equally_often():
    config = SyntheticConfig(authors=30)
    owners = collections.defaultdict(set)
    for document in two_latents.documents(config, seed=3):
        words = document.text.split()
        for key, value in zip(words[::2], words[1::2], strict=True):
            owner = document.author if key.startswith("thing") else document.group
            owners[owner, key].add(value)
    assert {len(values) for values in owners.values()} == {1}
    marks = collections.Counter(
        next(iter(values)) for (owner, _), values in owners.items() if owner.startswith("group")
    )
    assert len(marks) == 4 and set(marks.values()) == {config.groups // config.synonyms}


@pytest.mark.parametrize("module", [dialects, threads, two_latents])
def test_texts_follow_from_the_seed_and_are_as_many_as_is_said(module):
    config = SyntheticConfig(authors=6, threads=4)
    made = [list(module.documents(config, seed)) for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]
    assert len(made[0]) == module.count(config) == len({each.id for each in made[0]})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"pairs": 9}, "pairs must be at most slots, 8, but is 9"),
        ({"distance": 64}, "distance must be below rare_words, 64, but is 64"),
        ({"groups": 42}, "groups must be a multiple of synonyms, 4, but is 42"),
        ({"authors": 4}, "contexts must be below authors with the task two_latents, 4, but is 5"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(settings, said):
    with pytest.raises(SettingError) as refused:
        two_latents.bounds(SyntheticConfig(**settings))
    assert str(refused.value) == said


def test_the_largest_sizes_have_their_bounds_at_once():
    config = SyntheticConfig(groups=1 << 20, synonyms=256, contexts=24)
    bound = found(two_latents, config, "author", "marks")[24]
    assert bound == pytest.approx((1 / 256, math.log(256)), rel=1e-2)
    assert bound[0] > 1 / 256
