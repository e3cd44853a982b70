"""The formulas of time and memory, and their fit, on figures that are known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from par.bench import cost_fit
from par.bench.cost_fit import Shape
from par.core.config import ModelConfig
from par.search import flops

SIZES = {
    "num_blocks": [5, 2, 7],
    "batch_size": [6, 3],
    "seq_len": [11, 4],
    "mem_len": [8, 0, 13],
    "d_model": [10, 4, 14],
    "d_ffn": [9, 3, 17],
}
SWEEP = cost_fit.star(SIZES)
HEADS = 2
TERMS = {
    "time": [cost_fit.time_terms(shape) for shape in SWEEP],
    "memory": [
        cost_fit.memory_terms(shape, HEADS, 100 * shape.num_blocks * shape.d_model)
        for shape in SWEEP
    ],
}
COEFFICIENTS = {"time": (30.0, 2e-3, 5e-3, 4e-3), "memory": (50.0, 2e-3, 2e-2, 5e-2, 3e-2)}
each = pytest.mark.parametrize("name", TERMS)


def test_a_sweep_is_its_middle_and_every_other_size_of_one_letter_at_a_time():
    middle = Shape(5, 6, 11, 8, 10, 9)
    assert (
        next(iter(SWEEP)) == middle
        and SWEEP[middle] == ""
        and len(SWEEP) == 1 + 2 + 1 + 1 + 2 + 2 + 2
    )
    for shape, letter in list(SWEEP.items())[1:]:
        changed = {
            name
            for name, value in dataclasses.asdict(shape).items()
            if value != getattr(middle, name)
        }
        assert (
            changed == {cost_fit.LETTERS[letter]}
            and getattr(shape, changed.pop()) in SIZES[cost_fit.LETTERS[letter]][1:]
        )
    assert cost_fit.star({name: [sizes[0], sizes[0]] for name, sizes in SIZES.items()}) == {
        middle: ""
    }
    assert str(middle) == "L 5 B 6 T 11 M 8 D 10 F 9"


def test_the_terms_are_the_formulas_by_hand():
    shape = Shape(num_blocks=2, batch_size=3, seq_len=5, mem_len=7, d_model=11, d_ffn=13)
    assert (
        cost_fit.time_terms(shape)
        == [1, 2 * 3 * 5 * 11 * 24, 2 * 3 * 5 * 12 * 11, 2 * 3 * 12 * 11 * 11]
        and len(cost_fit.TIME_TERMS) == 4
    )
    memory = cost_fit.memory_terms(shape, 17, 1900)
    assert (
        memory == [1, 1900, 2 * 3 * 5 * 24, 2 * 3 * 12 * 11, 2 * 3 * 17 * 5 * 12]
        and len(cost_fit.MEMORY_TERMS) == 5
    )


@each
def test_a_fit_finds_the_coefficients_that_made_the_figures(name):
    found = cost_fit.fit(TERMS[name], np.array(TERMS[name]) @ COEFFICIENTS[name])
    assert found.coefficients == pytest.approx(COEFFICIENTS[name], rel=1e-6)
    assert found.r_squared == pytest.approx(1, abs=1e-12) and found.worst < 1e-9
    assert found.fitted == pytest.approx(tuple(np.array(TERMS[name]) @ COEFFICIENTS[name]))


@each
def test_r_squared_and_residuals_are_their_definitions_and_tell_noise(name):
    exact = np.array(TERMS[name]) @ COEFFICIENTS[name]
    worse = []
    for noise in (0.02, 0.1, 0.4):
        measured = exact * (1 + noise * np.random.default_rng(1).uniform(-1, 1, len(exact)))
        found = cost_fit.fit(TERMS[name], measured)
        assert found.r_squared == pytest.approx(
            1 - np.var(measured - found.fitted, mean=0) / np.var(measured)
        )
        assert found.residuals == pytest.approx(
            measured / found.fitted - 1
        ) and found.worst == max(abs(r) for r in found.residuals)
        worse.append(found.r_squared)
    assert worse == sorted(worse, reverse=True) and worse[0] > 0.98


@each
def test_no_coefficient_is_negative_and_the_relative_error_is_the_least(name):
    exact = np.array(TERMS[name]) @ COEFFICIENTS[name]
    measured = (
        exact * (1 + 0.2 * np.random.default_rng(2).uniform(-1, 1, len(exact))) - 0.9 * exact.min()
    )
    terms, found = np.array(TERMS[name]), cost_fit.fit(TERMS[name], measured)
    assert min(found.coefficients) >= 0
    least = np.sum((np.array(found.fitted) / measured - 1) ** 2)
    for i in range(len(found.coefficients)):
        for factor in (0.99, 1.01):
            other = np.array(found.coefficients)
            other[i] = max(other[i] * factor, 0.0)
            assert np.sum((terms @ other / measured - 1) ** 2) >= least - 1e-12


def test_the_worst_residual_may_be_one_below_the_formula():
    figures = np.array(TERMS["time"]) @ COEFFICIENTS["time"]
    figures[3] *= 0.5
    found = cost_fit.fit(TERMS["time"], figures)
    assert found.worst == -min(found.residuals) > max(found.residuals)


def test_figures_that_grow_otherwise_are_told():
    """A step whose time went with the square of the batch would not fit."""
    b = np.array([shape.batch_size for shape in SWEEP])
    cubic = cost_fit.fit(
        TERMS["time"],
        np.array(TERMS["time"]) @ COEFFICIENTS["time"] * (b / 6) ** 3 * np.linspace(1, 3, len(b)),
    )
    assert cubic.r_squared < 0.9


def test_the_formula_of_time_grows_as_the_flops_do():
    sizes = {
        "num_blocks": [4, 2, 8],
        "batch_size": [32, 8, 64],
        "seq_len": [32, 16, 96],
        "mem_len": [32, 0, 128],
        "d_model": [128, 64, 256],
    }
    sweep = cost_fit.star(sizes | {"d_ffn": [512, 128, 1536]})
    counted = []
    for shape in sweep:
        model = ModelConfig(
            d_model=shape.d_model, num_heads=4, d_ffn=shape.d_ffn, mem_len=shape.mem_len
        )
        products = [
            *flops.attention_products(model, shape.batch_size, shape.seq_len, visibility="causal"),
            *flops.dense_products(model, shape.batch_size, shape.seq_len),
        ]
        counted.append(shape.num_blocks * flops.total(products))
    found = cost_fit.fit([cost_fit.time_terms(shape) for shape in sweep], counted)
    assert found.coefficients[1:] == pytest.approx((4, 6, 4), rel=0.05) and found.worst < 0.02


def test_the_formula_has_a_coefficient_before_each_term_and_the_constant_alone():
    fit = cost_fit.Fit((2.0, 7.36e-08), (), 1.0, ())
    assert cost_fit.formula(fit, ("1", "L B")) == "2 + 7.36e-08 L B"
