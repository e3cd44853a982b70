"""The verdict says so when a search did not win, and its figures are those of a hand count."""

from __future__ import annotations

import csv
import io
import json
import math

import pytest

from par.core.errors import DataError
from par.core.metrics import PERPLEXITY_PER_WORD
from par.core.stats import Interval, interval
from par.evaluate.compare import findings, statistics, tables, verdict
from par.evaluate.compare.results import Findings, Scores
from par.evaluate.compare.statistics import Network
from par.objectives import OBJECTIVES
from par.search.baselines import references

NAMES = ("derived", "interleaved", "sandwich")


def network(
    name: str | tuple[str, ...],
    blocks: str,
    gaps: list[float],
    more: float = 0.0,
    random: bool = False,
    measured=None,
    first: int = 1,
) -> Network:
    """Runs of seeds from `first`, whose nll per word lies by `gaps` above 6.0 + 0.1 a seed: seeds
    differ far more than networks do."""
    runs = {
        seed: Scores(
            parameters=1234,
            seconds=60.0,
            compared=6 + 0.1 * seed + gap,
            others={"bits_per_byte": 1.7 + gap},
            run=f"runs/{blocks}-{seed}",
        )
        for seed, gap in enumerate(gaps, first)
    }
    return Network(
        (name,) if isinstance(name, str) else name,
        blocks,
        random,
        10 * (1 + more),
        more,
        runs,
        measured,
        OBJECTIVES["causal_lm"],
    )


DERIVED = network("derived", "aaddad", [0.0, 0.0, 0.0])
WORSE = [0.02, 0.021, 0.022]  # for certain
BETTER = [-0.02, -0.021, -0.022]


def randoms(*gaps: list[float], blocks: str = "daadad") -> list[Network]:
    return [
        network(f"random {number}", blocks, gap, random=True) for number, gap in enumerate(gaps, 1)
    ]


def said(
    *others: Network, derived: Network = DERIVED, equal: bool = True, what: str = "latency"
) -> tuple[str, str]:
    return tuple(verdict.verdict([derived, *others], what, 0.05, equal))


def test_changes_are_paired_by_seed():
    """Perplexities of a seed differ by ten percent from seed to seed; their quotients hardly
    do."""
    gap = statistics.change(network("x", "adadad", WORSE), DERIVED)
    assert (
        gap.mean == pytest.approx(math.expm1(0.021)) and 0 < gap.low < gap.mean < gap.high < 0.03
    )
    assert (gap.low, gap.high) == pytest.approx(tuple(map(math.expm1, interval(WORSE)[1:])))
    later = network("x", "adadad", WORSE, first=2)
    # seeds 2 and 3 alone are common
    assert statistics.change(later, DERIVED).mean == pytest.approx(math.expm1(0.0205))
    assert statistics.change(network("x", "adadad", WORSE, first=9), DERIVED) is None


def test_a_quotient_of_mean_perplexities_is_the_mean_of_the_paired_quotients():
    other = network("x", "adadad", [0.03, -0.01, 0.05])
    of_means = (
        other.over_seeds()["perplexity_per_word"].mean
        / DERIVED.over_seeds()["perplexity_per_word"].mean
    )
    assert of_means - 1 == pytest.approx(statistics.change(other, DERIVED).mean)


def test_the_search_did_not_win_where_a_network_of_equal_cost_is_better():
    good, bad = (
        network("interleaved", "adadad", BETTER, more=0.04),
        network("sandwich", "aadadd", WORSE),
    )
    outcome, sentence = said(bad, good, *randoms(WORSE, BETTER, BETTER))
    assert outcome == "lost"
    assert (
        sentence
        == "The search did not win: interleaved adadad is 2.1 % better at 4 % more latency (95 %"
        " interval 1.8 % to 2.3 %); the derived network is better than 1 of 3 random networks"
        " of equal latency."
    )


def test_a_lead_within_chance_is_said_to_be_so():
    outcome, sentence = said(network("interleaved", "adadad", [-0.05, 0.02, 0.0], more=-0.3))
    assert (
        outcome == "lost"
        and "which so few seeds do not tell from chance" in sentence
        and "at 30 % less latency" in sentence
    )
    assert "chance" not in said(network("interleaved", "adadad", BETTER))[1]


def test_what_costs_more_than_the_tolerance_does_not_count():
    dear = network("all attention", "aaaaaa", BETTER, more=0.051)
    assert (
        said(dear)[0] == "open"
        and said(dear, network("paper's rule", "addddd", WORSE))[0] == "won"
    )
    assert said(network("all attention", "aaaaaa", BETTER, more=0.05))[0] == "lost"
    cheap = network("all dense", "dddddd", BETTER, more=-0.5)
    assert said(cheap)[0] == "lost"


def test_the_search_won_where_all_intervals_say_so():
    outcome, sentence = said(
        network("sandwich", "aadadd", WORSE),
        network("paper's rule", "addddd", [0.5] * 3),
        *randoms(WORSE, WORSE, [-0.1, 0.02, -0.03]),
    )
    # the mean of the random ones is too near
    assert (outcome, sentence.split(": ")[0]) == (
        "uncertain",
        "The search did not win for certain",
    )
    outcome, sentence = said(
        network("sandwich", "aadadd", WORSE),
        network("paper's rule", "addddd", [0.5] * 3),
        *randoms(WORSE, [0.3] * 3, BETTER),
    )
    assert (
        outcome == "won"
        and sentence
        == "The search won: the derived network aaddad is better than every named network of equal"
        " or smaller latency and better than 2 of 3 random networks of equal latency; sandwich"
        " aadadd has 2.1 % more perplexity (95 % interval 1.9 % to 2.4 %)."
    )


@pytest.mark.parametrize(
    "gaps", [[0.05, -0.02, 0.01], [0.02]], ids=["an interval that reaches 0", "one seed"]
)
def test_a_win_that_is_not_certain_is_not_called_one(gaps):
    derived = network("derived", "aaddad", [0.0] * len(gaps))
    outcome, sentence = said(network("sandwich", "aadadd", gaps), derived=derived)
    assert outcome == "uncertain" and sentence.startswith(
        "The search did not win for certain: sandwich aadadd has only"
    )
    assert ("one seed, no interval" in sentence) == (len(gaps) == 1)


@pytest.mark.parametrize(("worse", "outcome"), [(4, "lost"), (5, "won")])
def test_better_than_half_of_the_random_strings_is_not_enough(worse, outcome):
    drawn = randoms(*[[0.9] * 3] * worse, *[BETTER] * (8 - worse))
    found, sentence = said(*drawn)
    assert (
        found == outcome
        and f"better than {worse} of 8 random networks of equal latency (no named" in sentence
    )
    assert "of equal or smaller parameters" in said(*drawn, equal=False, what="parameters")[1]


def test_a_search_that_derives_a_known_network_did_not_win():
    derived = network(NAMES, "adadad", [0.0] * 3)
    outcome, sentence = said(network("paper's rule", "addddd", WORSE), derived=derived)
    assert (outcome, sentence) == (
        "lost",
        (
            "The search did not win: it derived adadad, which is known without a search as"
            " interleaved."
        ),
    )
    own = network(
        ("derived", "aaddad"), "aaddad", [0.0] * 3
    )  # the user's own string is not a name
    assert said(network("sandwich", "aadadd", WORSE), derived=own)[0] == "won"


def test_without_runs_there_is_no_verdict():
    assert (
        said(network("sandwich", "aadadd", WORSE), derived=network("derived", "aaddad", []))[0]
        == "open"
    )
    assert said(network("sandwich", "aadadd", []), *randoms([]))[0] == "open"


def test_the_rank_among_random_strings_and_its_chance():
    drawn = randoms(WORSE, BETTER, [0.0, 0.0, 0.0]) + randoms(WORSE, blocks="dddddd")
    rank = statistics.standing(DERIVED, drawn)
    assert (rank.better_than, rank.of, rank.without_attention) == (2, 4, 1)
    assert rank.chance == pytest.approx((1 + 2) / (1 + 4))  # one that is equal is as good
    assert rank.change.mean == pytest.approx(math.expm1((2 * 0.021 - 0.021) / 4))
    assert (
        statistics.standing(DERIVED, []) is None
        and statistics.standing(DERIVED, randoms([])) is None
    )
    assert statistics.standing(DERIVED, randoms(BETTER, BETTER)).chance == 1.0


def of_equal_cost(*gaps: list[float]) -> list[Network]:
    """The derived network, a named one of equal cost, one that costs less, and random ones."""
    named = network("sandwich", "aadadd", WORSE)
    cheaper = network("all dense", "dddddd", WORSE, more=-0.3)
    return [DERIVED, named, cheaper, *randoms(*gaps)]


def test_where_all_networks_are_compared_the_verdict_speaks_of_all_and_counts_named_ones():
    networks = of_equal_cost(WORSE, WORSE)
    outcome, sentence = verdict.verdict(networks, "latency", 0.05, True, True)
    assert outcome == "won"
    assert "better than 3 of the 3 others of all 4 networks within 5 % of the latency" in sentence
    drawn = verdict.verdict(networks, "latency", 0.05, True, False)
    assert "better than 2 of 2 random networks of equal latency" in drawn.sentence
    some = verdict.verdict(of_equal_cost(BETTER, BETTER), "latency", 0.05, True, True)
    assert some.outcome == "lost" and (
        "only better than 1 of the 3 others of all 4 networks within 5 %" in some.sentence
    )
    any_cost = verdict.verdict(networks, "latency", 0.05, False, True)
    assert "4 of the 4 others of all 5 networks of equal or smaller latency" in any_cost.sentence
    text = tables.lines(findings.summarize(networks, "latency", 0.05, True, True), "latency")
    assert any(
        "better than 3 of 3, a rank that a network drawn from all of them would reach with"
        " probability 0.25" in line
        for line in text
    )


def test_all_is_said_only_when_all_are_trained():
    networks = of_equal_cost(WORSE, [])
    found = verdict.verdict(networks, "latency", 0.05, True, True)
    assert "of all" not in found.sentence and "random networks of equal" in found.sentence
    assert not verdict.rank(networks, 0.05, True, True).is_whole


def test_while_a_seed_is_trained_the_rank_is_that_of_the_seeds_that_are_whole():
    """Seed 3 has the first of three random networks, which is far the worst, and no others."""
    drawn = randoms([0.5, 0.5, 0.5], [0.01, 0.02], [0.03, 0.01])
    whole_seeds = statistics.standing(
        network("derived", "aaddad", [0.0, 0.0]), randoms([0.5, 0.5], [0.01, 0.02], [0.03, 0.01])
    )
    assert statistics.standing(DERIVED, drawn) == whole_seeds
    # before the first seed is whole, the networks that have it
    first = network("derived", "aaddad", [0.0])
    started = statistics.standing(first, [*randoms([0.5], [0.01]), *randoms([])])
    assert (started.of, started.change.mean) == (2, pytest.approx(math.expm1(0.255)))
    # a network of other seeds alone is left out
    late = network("random 9", "dddddd", [-0.5], random=True, first=3)
    assert statistics.standing(DERIVED, [*randoms([0.1, 0.1]), late]).of == 1


def test_latency_saved_is_that_of_the_median_round():
    """The machine is twice as slow in the second round, for both alike."""
    fast = network(
        "derived",
        "aaddad",
        [0.0],
        measured={"inference": [6.0, 12.0, 7.0], "training_step": [1.0, 1.0, 1.0]},
    )
    slow = network(
        "interleaved",
        "adadad",
        [0.0],
        measured={"inference": [10.0, 20.0, 10.0], "training_step": [2.0, 2.0, 1.0]},
    )
    assert statistics.saving(fast, slow) == pytest.approx((0.4, 0.35, 0.4))
    assert (
        statistics.saving(fast, slow, "training_step").mean == 0.5
        and statistics.saving(slow, slow).mean == 0
    )
    assert statistics.saving(fast, DERIVED) is None


@pytest.mark.parametrize(
    ("saved", "gaps", "met", "certain"),
    [
        (0.36, [0.001, 0.002, 0.003], True, True),
        (0.36, [0.0, 0.02, 0.0], True, False),
        (0.34, WORSE, False, False),
        (0.36, WORSE, False, False),
        (0.34, BETTER, False, False),
        (0.36, [0.001], True, False),
    ],
)
def test_the_goal_needs_the_latency_and_the_perplexity(saved, gaps, met, certain):
    found = verdict.goal(
        interval(gaps).map(math.expm1), Interval(saved, saved, saved), PERPLEXITY_PER_WORD
    )
    assert (found.met, found.certain) == (met, certain)
    asked = (
        "goal (at least 35 % less latency than the interleaved network, its mean perplexity at"
        " most 1 % above): "
    )
    assert found.sentence.startswith(
        asked
        + ("met, " if certain else "met by the means, not for certain, " if met else "not met, ")
    )
    assert f"{100 * saved:.0f}.0 % less latency" in found.sentence


def test_a_saving_that_a_quarter_of_the_rounds_does_not_have_is_not_certain():
    found = verdict.goal(
        interval([-0.02, -0.021]).map(math.expm1), Interval(0.36, 0.34, 0.4), PERPLEXITY_PER_WORD
    )
    assert (found.met, found.certain) == (True, False)


def test_the_goal_is_open_before_anything_is_measured():
    assert verdict.goal(None, None, PERPLEXITY_PER_WORD).met is None and verdict.goal(
        interval([0.0]), None, PERPLEXITY_PER_WORD
    ).sentence.endswith("not known yet")


def whole() -> list[Network]:
    times = {
        "inference": [5.0, 6.0, 7.0],
        "training_step": [15.0, 16.0, 17.0],
        "decoding": [1.0, 1.0, 1.0],
    }
    slower = {name: [2 * ms for ms in rounds] for name, rounds in times.items()}
    known = network(NAMES[1:], "adadad", WORSE, measured=slower)
    return [
        network("derived", "aaddad", [0.0] * 3, measured=times),
        known,
        *(network("random 1", "dadada", [0.1] * 3, 0.01, True, times),),
    ]


def test_the_report_is_json_and_has_every_run():
    made = findings.summarize(whole(), "latency", 0.05, True, False)
    found = made.to_json()
    assert Findings.from_json(json.loads(json.dumps(found, allow_nan=False)), "x") == made
    first, known, drawn = found["networks"]
    assert (
        first["change"]["mean"] == 0
        and known["names"] == ["interleaved", "sandwich"]
        and known["seconds"] == 180
        and found["seconds"] == 540
    )
    assert [(run["seed"], run["run"]) for run in drawn["runs"]] == [
        (1, "runs/dadada-1"),
        (2, "runs/dadada-2"),
        (3, "runs/dadada-3"),
    ]
    assert known["runs"][0]["perplexity_per_word"] == pytest.approx(math.exp(6.12))
    assert known["latency"]["inference"] == {"milliseconds": 12.0, "low": 11.0, "high": 13.0}
    assert (
        found["interleaved"]["saving"]["inference"]["mean"] == 0.5
        and found["goal"]["met"]
        and found["outcome"] == "won"
    )


def test_the_lines_say_every_network_the_rank_the_saving_the_goal_and_the_verdict():
    text = "\n".join(
        tables.lines(findings.summarize(whole(), "latency", 0.05, True, False), "latency")
    )
    assert (
        "interleaved = sandwich  adadad       1,234" in text
        and "0:03:00" in text
        and "+10.5 % (+10.5 % to +10.5 %)" in text
    )
    assert (
        "better than 1 of 1, a rank that one more random network would reach with probability 0.50"
        in text
    )
    assert (
        "50.0 % less inference, 50.0 % less training step, 50.0 % less decoding, perplexity -2.1 %"
        " (-2.3 % to -1.8 %)" in text
    )
    longer = [network("derived", "aaddad", [0.0] * 62)]  # minutes
    assert tables.lines(findings.summarize(longer, "latency", 0.05, True, False), "latency")[
        1
    ].endswith(" 1:02:00")
    assert (
        text.splitlines()[-1].startswith("verdict: The search won: ")
        and "goal (at least 35 %" in text
    )


def test_a_report_of_nothing_has_no_figures_and_no_points():
    found = findings.summarize(
        [network(name, blocks, []) for name, blocks in references("aaddad", 6).items()],
        "parameters",
        0.05,
        True,
        False,
    )
    assert (
        tables.points(found)[0] == []
        and "-" in tables.lines(found, "parameters")[1]
        and found.outcome == "open"
    )
    assert len(list(csv.DictReader(io.StringIO(tables.csv_text(found))))) == 6


def test_the_csv_has_the_figures_of_the_report():
    found = findings.summarize(whole(), "latency", 0.05, True, False)
    rows = list(csv.DictReader(io.StringIO(tables.csv_text(found))))
    assert [row["names"] for row in rows] == ["derived", "interleaved; sandwich", "random 1"]
    assert (
        float(rows[1]["change_mean"]) == found.networks[1].change.mean
        and float(rows[1]["inference_low"]) == 11.0
        and rows[1]["seeds"] == "3"
    )


def test_points_are_latencies_where_they_are_measured_and_parameters_else():
    made, label = tables.points(findings.summarize(whole(), "latency", 0.05, True, False))
    assert [(point.name, point.kind, point.x) for point in made] == [
        ("derived", "derived", (6.0, 5.5, 6.5)),
        ("interleaved = sandwich", "named", (12.0, 11.0, 13.0)),
        ("dadada", "random", (6.0, 5.5, 6.5)),
    ]
    assert "milliseconds" in label
    some = [*whole()[:2], network("sandwich", "aadadd", WORSE)]
    # not all are measured
    assert tables.points(findings.summarize(some, "latency", 0.05, True, False))[1] == "parameters"
    made, label = tables.points(
        findings.summarize(
            [DERIVED, network("sandwich", "aadadd", [5000.0] * 3)], "latency", 0.05, True, False
        )
    )
    # a perplexity that overflows has no point
    assert label == "parameters" and [point.x for point in made] == [(1234, None, None)]


def test_scores_are_read_as_nll_per_word_and_refused_when_damaged(tmp_path):
    figures = {"nll_per_token": 3.0, "tokens": 200, "words": 50.0, "bits_per_byte": 1.5}
    path = statistics.scores_path(tmp_path)
    assert statistics.read_scores(tmp_path, "test", DERIVED.figures) is None
    path.write_text(
        json.dumps(
            {"step": 5, "parameters": 77, "seconds": 1.5, "valid": figures, "test": figures}
        )
    )
    assert statistics.read_scores(tmp_path, "test", DERIVED.figures) == Scores(
        parameters=77,
        seconds=1.5,
        compared=12.0,
        others={"bits_per_byte": 1.5},
        run=str(tmp_path),
    )
    for damage in (
        {"test": None},
        {"test": figures | {"words": 0}},
        {"seconds": -1.0},
        {"parameters": "77"},
        {"test": figures | {"bits_per_byte": None}},
    ):
        path.write_text(
            json.dumps(
                {"step": 5, "parameters": 77, "seconds": 1.5, "valid": figures, "test": figures}
                | damage
            )
        )
        with pytest.raises(
            DataError, match=r"scores .*scores.json are not those of a comparison: remove the file"
        ):
            statistics.read_scores(tmp_path, "test", DERIVED.figures)


def test_a_time_is_told_in_whole_seconds_and_never_more():
    assert [tables.clock(seconds) for seconds in (0.9, 59.99, 3723.9)] == [
        "0:00:00",
        "0:00:59",
        "1:02:03",
    ]
