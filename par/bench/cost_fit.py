"""Formulas for how time and memory of a training step of the soft SuperNet grow with its shape,
and how well they fit measurements.

    time    c0 + L B (c1 T D (D + F) + c2 T S D + c3 S D D)            milliseconds; S = M + T
    memory  m0 + m1 P + L B (m2 T (D + F) + m3 S D + m4 H T S)         megabytes; P parameters

c1 is for the products with weights at the window's positions, c2 for those among positions, c3 for
those of keys and values, which the memory has, too. Together they are the FLOPs of a block
(par.search.flops) without the 2 S D D of the distances, which do not grow with B. c0 is the cost
that does not depend on blocks: the call, embedding and softmax, small for a small vocabulary. m1
is for weights, gradients and moments of the optimizer. What a block keeps for the backward pass is
m2 at the window's positions, m3 at those of the keys (keys, values, memories) and m4 for each pair
of both.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from par.core.stats import nonnegative_least_squares


@dataclasses.dataclass(frozen=True)
class Shape:
    """The sizes that a step's cost depends on."""

    num_blocks: int  # L
    batch_size: int  # B
    seq_len: int  # T
    mem_len: int  # M
    d_model: int  # D
    d_ffn: int  # F

    def __str__(self) -> str:
        return " ".join(
            f"{letter} {size:,}" for letter, size in zip(LETTERS, dataclasses.astuple(self))
        )


LETTERS = dict(zip("LBTMDF", (field.name for field in dataclasses.fields(Shape))))
TIME_TERMS = ("1", "L B T D (D + F)", "L B T S D", "L B S D D")
MEMORY_TERMS = ("1", "P", "L B T (D + F)", "L B S D", "L B H T S")


def star(sizes: Mapping[str, Sequence[int]]) -> dict[Shape, str]:
    """The shapes of a sweep, each with the letter of the size that it varies: first the middle
    shape (""), then one for each further size of each letter.

    sizes: for each field of Shape the middle's size, then the others.
    """
    middle = Shape(**{name: values[0] for name, values in sizes.items()})
    varied = {
        dataclasses.replace(middle, **{name: size}): letter
        for letter, name in LETTERS.items()
        for size in sizes[name]
    }
    return {middle: ""} | {shape: letter for shape, letter in varied.items() if shape != middle}


def time_terms(shape: Shape) -> list[float]:
    """The factors of c0 to c3."""
    b, t, s, d = shape.batch_size, shape.seq_len, shape.mem_len + shape.seq_len, shape.d_model
    blocks = float(shape.num_blocks * b)
    return [1.0, blocks * t * d * (d + shape.d_ffn), blocks * t * s * d, blocks * s * d * d]


def memory_terms(shape: Shape, num_heads: int, parameters: int) -> list[float]:
    """The factors of m0 to m4: counts of numbers."""
    b, t, s, d = shape.batch_size, shape.seq_len, shape.mem_len + shape.seq_len, shape.d_model
    blocks = float(shape.num_blocks * b)
    return [
        1.0,
        float(parameters),
        blocks * t * (d + shape.d_ffn),
        blocks * s * d,
        blocks * num_heads * t * s,
    ]


@dataclasses.dataclass(frozen=True)
class Fit:
    """Coefficients [m] >= 0 of the terms, and the values [n] that they give."""

    coefficients: tuple[float, ...]
    fitted: tuple[float, ...]
    r_squared: float  # explained share of the measured values' variance
    residuals: tuple[float, ...]  # [n] measured / fitted - 1

    @property
    def worst(self) -> float:
        """The largest absolute residual."""
        return max(map(abs, self.residuals))


def fit(terms: Sequence[Sequence[float]], measured: Sequence[float]) -> Fit:
    """The fit of terms [n, m] to measured [n] > 0 by least squares of the relative error without
    negative coefficients. A small shape counts as much as a large one."""
    x, y = np.asarray(terms, np.float64), np.asarray(measured, np.float64)
    coefficients = nonnegative_least_squares(x / y[:, None], np.ones(len(y)))
    fitted = x @ coefficients
    unexplained = np.sum((y - fitted) ** 2) / max(
        np.sum((y - y.mean()) ** 2), np.finfo(np.float64).tiny
    )
    return Fit(
        tuple(coefficients.tolist()),
        tuple(fitted.tolist()),
        float(1 - unexplained),
        tuple((y / fitted - 1).tolist()),
    )


def formula(fit: Fit, terms: Sequence[str]) -> str:
    """The fitted formula for people: `2.33 + 7.36e-08 L B T D (D + F)`."""
    products = zip(fit.coefficients, terms, strict=True)
    return " + ".join(f"{c:.3g}" if term == "1" else f"{c:.3g} {term}" for c, term in products)
