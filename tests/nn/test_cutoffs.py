"""The cutoffs are the cheapest there are, whatever the counts and the cost; a fit gives back the
model that made its timings."""

from __future__ import annotations

import math

import numpy as np
import pytest

from naive import cutoffs as naive
from par.core.config import MAX_VOCAB_SIZE, ModelConfig
from par.core.errors import DataError, UsageError
from par.nn import cutoffs
from par.search import flops

RNG_SEEDS = range(60)


def clusters_of(
    width: int, floor: float, c: float, rate: float, per_id: float = 0.0, per_row: float = 0.0
) -> cutoffs.Fit:
    return cutoffs.Fit(
        width, floor, c, rate, per_id, per_row, timings=0, median_error=0.0, worst_error=0.0
    )


def dyadic_device(rng: np.random.Generator, rows: int = 64) -> cutoffs.Cost:
    """A device whose figures are few and multiples of 1/16, so that sums are exact and many cuts
    cost the same."""
    heads = clusters_of(64, *rng.integers(0, 64, 2) / 16, rng.integers(0, 4) / 16)
    tails = [
        clusters_of(4, *rng.integers(0, 32, 2) / 16, *rng.integers(0, 3, 3) / 16) for _ in range(6)
    ]
    return cutoffs.device_cost([heads, *tails], rows)


def dyadic_counts(rng: np.random.Generator) -> np.ndarray:
    """Counts in any order with ties and zeros, whose sum is a power of two: their shares are
    exact."""
    counts = rng.integers(0, rng.choice([2, 4, 40]), rng.integers(2, 11))
    counts[rng.integers(len(counts))] += 2 ** math.ceil(math.log2(counts.sum() + 1)) - counts.sum()
    return np.sort(counts)[::-1] if rng.random() < 0.3 else counts


@pytest.mark.parametrize("seed", RNG_SEEDS)
@pytest.mark.parametrize("kind", ["area", "device"])
def test_the_cutoffs_equal_brute_force_ties_and_zeros_included(kind, seed):
    rng = np.random.default_rng(seed)
    counts = dyadic_counts(rng)
    cost = cutoffs.area if kind == "area" else dyadic_device(rng)
    for clusters in range(1, min(6, len(counts)) + 1):
        found = cutoffs.optimal(counts, clusters, cost)
        assert (found.cutoffs, found.cost) == naive.optimal(counts.tolist(), clusters, cost), (
            counts,
            clusters,
        )


@pytest.mark.parametrize("seed", RNG_SEEDS)
def test_the_cost_equals_brute_force_for_any_probabilities_and_any_model(seed):
    rng = np.random.default_rng(seed)
    counts = rng.dirichlet(np.full(rng.integers(3, 14), 0.2)) * 10.0 ** rng.integers(-300, 300)
    fits = [clusters_of(0, *rng.exponential(1.0, 5)) for _ in range(5)]
    for cost in (cutoffs.area, cutoffs.device_cost(fits, 32)):
        for clusters in range(1, min(5, len(counts)) + 1):
            found = cutoffs.optimal(counts, clusters, cost)
            assert found.clusters == clusters and sorted({0, *found.cutoffs, len(counts)}) == [
                0,
                *found.cutoffs,
                len(counts),
            ]
            assert found.cost == pytest.approx(
                naive.optimal(counts.tolist(), clusters, cost)[1], rel=1e-12
            )
            assert found.cost == pytest.approx(
                naive.cost_of(counts.tolist(), found.cutoffs, cost), rel=1e-12
            )


def test_no_cut_is_the_plain_softmax_over_all_ids():
    assert cutoffs.optimal(np.ones(7), 1, cutoffs.area) == cutoffs.Cuts((), 7.0)
    plain = cutoffs.optimal(np.ones(7), 1, cutoffs.device_cost([clusters_of(64, 0, 2.0, 3.0)], 5))
    assert (plain.cutoffs, plain.cost, plain.clusters, plain.flags) == (
        (),
        2.0 + 3.0 * 7 * 5,
        1,
        "--cutoffs=none",
    )


def test_as_many_clusters_as_ids_hold_one_id_each():
    found = cutoffs.optimal(np.array([5, 3, 0, 8]), 4, cutoffs.area)
    assert found.cutoffs == (1, 2, 3) and found.cost == (1 + 3) + (3 + 0 + 8) / 16
    assert found.flags == "--cutoffs=1 --cutoffs=2 --cutoffs=3"


def test_equal_counts_are_cut_where_calculus_says():
    """With V equal counts and two clusters the area is k + 1 + (V - k)^2 / V, least at k = V / 2:
    3 V / 4 + 1."""
    found = cutoffs.optimal(np.ones(1000), 2, cutoffs.area)
    assert found.cutoffs == (500,) and found.cost == pytest.approx(3 * 1000 / 4 + 1)


def test_ids_without_counts_cost_nothing_in_a_tail():
    assert cutoffs.optimal(np.array([8, 8, 0, 0, 0, 0]), 2, cutoffs.area) == cutoffs.Cuts(
        (2,), 3.0
    )


def test_counts_are_cut_in_the_order_of_the_ids():
    """The rare first id stays in the head, as the layer has it."""
    assert cutoffs.optimal(np.array([0, 100, 100, 1, 1, 1, 1, 1]), 2, cutoffs.area).cutoffs == (3,)


def test_a_floor_keeps_a_cluster_from_being_cut_for_nothing():
    """Every tail costs 10, however small it is: one more takes more time than it saves."""
    counts, fits = (
        np.array([90, 5, 3, 2]),
        [clusters_of(64, 0, 0, 1.0)] + [clusters_of(16, 10.0, 0, 0.01)] * 3,
    )
    cuts = [
        cutoffs.optimal(counts, clusters, cutoffs.device_cost(fits, 1))
        for clusters in (1, 2, 3, 4)
    ]
    assert [cut.cost for cut in cuts] == [4, 12, 23, 34]
    assert cutoffs.cheapest(cuts) == cuts[0] and cutoffs.cheapest(cuts[1:]) == cuts[1]


def test_the_head_has_a_slot_for_each_tail_and_the_tails_have_their_own_figures():
    fits = [
        clusters_of(64, 0, 1.0, 2.0),
        clusters_of(16, 0, 3.0, 0.5),
        clusters_of(4, 0, 4.0, 0.25, per_id=0.5, per_row=2.0),
    ]
    cost = cutoffs.device_cost(fits, rows=8)
    assert cost(0, 3, np.array([5]), np.array([0.5])) == 1.0 + 2.0 * (5 + 2) * 8
    assert cost(1, 3, np.array([5]), np.array([0.25])) == 3.0 + 0.5 * 5 * 2
    assert cost(2, 3, np.array([5]), np.array([0.25])) == 4.0 + 0.25 * 5 * 2 + 0.5 * 5 + 2.0 * 2


def test_the_area_is_the_number_of_logits_that_the_layer_computes():
    """With all widths 1 and D = 1, FLOPs are twice the logits and the projections."""
    counts, cuts = [9, 4, 0, 2, 1], (1, 3)
    model = ModelConfig(d_model=2, num_heads=1, cutoffs=cuts, proj_dims=(2, 2))
    projections = sum(counts[1:]) / sum(counts) * 2
    assert naive.cost_of(counts, cuts, cutoffs.area) == pytest.approx(
        flops.total(flops.softmax_products(model, 1, 1, counts)) / 4 - projections
    )


@pytest.mark.parametrize("clusters", [2, 3, 5])
@pytest.mark.parametrize("v", [100, 1023, 1024, 5000])
def test_the_work_is_clusters_times_ids_times_their_logarithm(v, clusters):
    evaluated = 0

    def cost(i, clusters, k, p):
        nonlocal evaluated
        evaluated += np.size(k)
        return cutoffs.area(i, clusters, k, p)

    cutoffs.optimal(np.random.default_rng(v).zipf(1.5, v), clusters, cost)
    assert evaluated <= 2 * v + (clusters - 2) * 2 * v * (math.log2(v) + 1)


def test_prefix_shares_never_fall_and_hold_the_largest_and_smallest_numbers():
    counts = np.array([1e308, 1e308, 5e-324, 0.0, 1e308])
    shares = cutoffs.prefix_shares(counts)
    assert shares[0] == 0 and shares[-1] == 1 and np.all(np.diff(shares) >= 0)
    np.testing.assert_allclose(shares[1:3], [1 / 3, 2 / 3])


@pytest.mark.parametrize(
    ("d_model", "proj_factor", "v", "most"),
    [
        (128, 4, 99, 3),
        (127, 4, 99, 2),
        (512, 4, 99, 4),
        (4096, 4, 99, 5),
        (128, 1, 99, 5),
        (31, 4, 9, 1),
        (128, 4, 2, 2),
    ],
)
def test_no_more_clusters_are_tried_than_have_ids_and_a_width_of_eight(
    d_model, proj_factor, v, most
):
    assert cutoffs.most_clusters(d_model, proj_factor, v) == most


@pytest.mark.parametrize("clusters", [0, 4, -1])
def test_more_clusters_than_ids_are_refused(clusters):
    with pytest.raises(
        UsageError, match=f"clusters must be from 1 to the number of ids, 3, but is {clusters}"
    ):
        cutoffs.optimal(np.ones(3), clusters, cutoffs.area)


GRID = np.array(
    [(k, b) for k in (10, 100, 1000, 10_000, 100_000) for b in (1, 5, 60, 700)], float
).T


@pytest.mark.parametrize(
    "model",
    [(0.5, 0.125, 2e-6, 3e-5, 4e-4), (1.0, 0.0, 1e-6, 0, 0), (0.25, 0.25, 5e-6, 0, 1e-3)],
    ids=str,
)
def test_a_fit_gives_back_the_model_that_made_the_timings(model):
    true = clusters_of(32, *model)
    found = cutoffs.fit(32, *GRID, true(*GRID))
    np.testing.assert_allclose(found(*GRID), true(*GRID), rtol=1e-6)
    assert (found.width, found.timings) == (32, 20) and found.worst_error < 1e-6
    np.testing.assert_allclose([found.floor, found.rate], [true.floor, true.rate], rtol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_a_fit_of_noisy_timings_is_as_good_as_their_noise_and_says_so(seed):
    true, rng = clusters_of(32, 0.3, 0.1, 2e-6, 1e-5, 1e-4), np.random.default_rng(seed)
    found = cutoffs.fit(32, *GRID, true(*GRID) * rng.uniform(0.9, 1.1, GRID.shape[1]))
    assert 0.005 < found.median_error < 0.1 and found.median_error <= found.worst_error < 0.25
    np.testing.assert_allclose(found(*GRID), true(*GRID), rtol=0.25)
    assert min(found.c, found.rate, found.per_id, found.per_row) >= 0 and found.floor >= found.c


def test_what_was_taken_off_the_timings_makes_small_ones_count_less():
    """One timing of a tiny cluster is ten times too long, which is nothing beside 100 ms."""
    true = clusters_of(32, 0.0, 0.0, 1e-5)
    times = true(*GRID)
    times[0] *= 10
    assert (
        cutoffs.fit(32, *GRID, times, beside=100.0).worst_error
        < 1e-4
        < 0.1
        < cutoffs.fit(32, *GRID, times).worst_error
    )


def test_timings_of_nothing_make_a_model_of_nothing():
    found = cutoffs.fit(1, np.array([3, 4]), np.array([0, 0]), np.zeros(2), beside=1.0)
    assert found(np.array([5]), np.array([7])) == 0 and found.k0b0 == 0


def test_the_printed_fit_names_its_figures_and_its_error():
    shown = str(
        cutoffs.Fit(
            32, 0.5, 0.25, 5e-6, 0.0, 2e-3, timings=21, median_error=0.071, worst_error=0.234
        )
    )
    assert (
        shown
        == "max(0.500, 0.250 + 5.00e-06 k B + 2.00e-03 B) ms; k0 B0 = 50,000; error 7% (median),"
        " 23% (worst) of 21 timings"
    )


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("content", ["3\n0\n7.5e2\n", "3\r\n0\r\n750\r\n", " 3\n0 \n750"])
def test_counts_are_read_one_a_line(tmp_path, content):
    counts = cutoffs.read_counts(write(tmp_path / "counts.txt", content))
    assert counts.dtype == np.float64 and counts.tolist() == [3, 0, 750]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "line 1 is ''"),
        ("1\n\n2\n", "line 2 is ''"),
        ("1\n2\n\n", "line 3 is ''"),
        ("the 9\nof 5\n", "line 1 is 'the 9'"),
        ("5\n-1\n", "line 2 is '-1'"),
        ("5\n1\nnan\n", "line 3 is 'nan'"),
        ("5\ninf\n", "line 2 is 'inf'"),
        ("5\n1e999\n", "line 2 is '1e999'"),
        ("5\n1_0\n", "line 2 is '1_0'"),
        ("5\n6\n\u0661\n", "line 3 is '\u0661'"),
        ("5\n0x10\n", "line 2 is '0x10'"),
        (b"\xff\xfe3\x00\n\x00", "line 1 is "),
        ("7\n", "at least two counts, not all 0, but holds 1 with the largest 7"),
        ("0\n0\n0\n", "at least two counts, not all 0, but holds 3 with the largest 0"),
        ("1\n" * (MAX_VOCAB_SIZE + 1), "at most 4,000,000 lines"),
        ("1" * (cutoffs.MAX_BYTES + 1), "more than the 128000000 bytes"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_is_no_file_of_counts_is_refused_by_line(tmp_path, content, words):
    with pytest.raises(DataError, match=r"counts .*/counts\.txt ") as refusal:
        cutoffs.read_counts(write(tmp_path / "counts.txt", content))
    assert words in str(refusal.value)


def test_a_file_that_is_not_there_or_a_directory_is_refused(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(DataError, match=rf"counts {path} (can't be read|does not exist)"):
            cutoffs.read_counts(path)
