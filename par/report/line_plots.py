"""Plots of lines and points: learning curves, counts and cutoffs, the Pareto front of a search,
growth, memory lengths. Needs no TensorFlow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from par.bench.cost_fit import LETTERS, Fit
from par.nn.cutoffs import prefix_shares
from par.report.style import (
    BLUE,
    GUIDE,
    MARKERS,
    ORANGE,
    SERIES,
    SMALL,
    Target,
    dots,
    from_zero,
    literal,
    new_figure,
    save,
    step_axis,
    style,
)
from par.search import diagnostics
from par.search.architecture import KINDS, Architecture, argmax
from par.search.latency_table import Costs
from par.search.pareto import Choice
from par.train.history import Run


def curves(path: Target, run: Run, levels: Mapping[str, float] | None = None) -> None:
    """Writes train and valid nll with the perplexity on the right if that is what the objective
    shows in training, the learning rate, and for a search tau; needs a train row.

    levels: the nll of what the network must beat, by name.
    """
    train, valid = run.rows["train"], [row for row in run.rows["valid"] if row["split"] == "valid"]
    steps = [row["step"] for row in train]
    search = "s" in run.blocks
    with style():
        figure = new_figure(5.6 if search else 4.6)
        loss, *small = figure.subplots(
            3 if search else 2, 1, sharex=True, height_ratios=[3, 1, 1][: 3 if search else 2]
        )
        loss.plot(
            steps,
            [row["nll_per_token"] for row in train],
            color=GUIDE,
            lw=1.2,
            label="train",
            marker=dots(steps),
        )
        for kind, colour, marker in (
            ("fixed", BLUE, "o"),
            ("soft", BLUE, "o"),
            ("argmax", ORANGE, "^"),
        ):
            rows = [row for row in valid if row["evaluate_as"] == kind]
            if rows:
                label = "valid" if kind == "fixed" else f"valid, {kind}"
                loss.plot(
                    [r["step"] for r in rows],
                    [r["nll_per_token"] for r in rows],
                    color=colour,
                    marker=marker,
                    ms=5,
                    label=label,
                )
        for (name, level), stroke in zip((levels or {}).items(), itertools.cycle((":", "-."))):
            loss.axhline(level, color="black", ls=stroke, lw=1.0, label=name)
        nll = run.contract.figure("nll_per_token")
        loss.set_ylabel(f"{nll.label} ({nll.unit})")
        loss.legend()
        if (tracked := run.contract.figure(run.contract.tracked)).is_perplexity:
            _perplexity_axis(loss, tracked.label)
        for axes, key, label in zip(small, ("learning_rate", "tau"), ("learning rate", "tau")):
            axes.plot(steps, [row[key] for row in train], color="black", marker=dots(steps))
            axes.set(ylabel=label)
            from_zero(axes)
        small[-1].set_xlabel("iteration")
        step_axis(small[-1], steps)
        figure.align_ylabels()
        save(figure, path)


def _perplexity_axis(loss: Axes, label: str) -> None:
    low, high = loss.get_ylim()
    ticks = [
        (math.log(digit) + power * math.log(10), digit * 10**power)
        for power in range(10)
        for digit in (1, 2, 5)
    ]
    shown = [(nll, value) for nll, value in ticks if low <= nll <= high]
    if len(shown) < 2:
        shown = [
            (nll, round(math.exp(min(nll, 700)), 1))
            for nll in loss.get_yticks()
            if low <= nll <= high
        ]
    right = loss.twinx()
    right.set(ylim=(low, high), ylabel=label)
    right.set_yticks([nll for nll, _ in shown], [f"{value:,}" for _, value in shown])
    right.spines["right"].set_visible(True)


def decision(path: Target, run: Run, costs: Costs | None) -> None:
    """Writes the mean entropy of the stochastic blocks of a search; with `costs`, also the
    expected latency under pi and the latency of its argmax."""
    train, pi = run.rows["train"], run.pi()
    steps = [row["step"] for row in train]
    with style():
        figure = new_figure(3.6 if costs else 2.2)
        entropy, *more = np.atleast_1d(figure.subplots(2 if costs else 1, 1, sharex=True))
        entropy.plot(
            steps,
            [diagnostics.figures(state, run.blocks)["entropy/mean"] for state in pi],
            color="black",
            marker=dots(steps),
        )
        entropy.axhline(math.log(len(KINDS)), color=GUIDE, ls=":", lw=1.0)
        entropy.set(ylim=(0, 1.05 * math.log(len(KINDS))), ylabel="entropy of pi (nats)")
        for axes in more:
            outlooks = [costs.outlook(state, argmax(state)) for state in pi]
            for name, colour, dashes in (
                ("expected", BLUE, "-"),
                ("argmax", ORANGE, "--"),
            ):
                axes.plot(
                    steps,
                    [outlook[f"{name}_ms"] for outlook in outlooks],
                    dashes,
                    color=colour,
                    label=name,
                    marker=dots(steps),
                )
            axes.set(ylabel="latency (ms)")
            from_zero(axes)
            axes.legend(ncols=2)
        figure.axes[-1].set_xlabel("iteration")
        step_axis(figure.axes[-1], steps)
        figure.align_ylabels()
        save(figure, path)


def cutoffs(path: Path, counts: np.ndarray, ends: Sequence[int]) -> None:
    """Writes the counts [V] of the ids on two logarithmic axes, with the cutoffs of the adaptive
    softmax."""
    ids = np.flatnonzero(counts)
    shares = np.diff(prefix_shares(counts)[[0, *ends, len(counts)]])
    with style({"text.parse_math": True}):  # powers of ten; no name is drawn here
        figure = new_figure(3.6)
        axes = figure.add_subplot(
            xlabel="id + 1",
            ylabel="count",
            xscale="log",
            yscale="log",
            xlim=(0.9, 1.1 * len(counts)),
        )
        axes.plot(ids + 1, counts[ids], color=BLUE, marker=".", ms=3, lw=0.8)
        edges = [0.9, *(end + 0.5 for end in ends), 1.1 * len(counts)]
        for edge in edges[1:-1]:
            axes.axvline(edge, color=ORANGE, ls="--", lw=1.2)
        for i, (low, high, share, k) in enumerate(
            zip(edges, edges[1:], shares, np.diff([0, *ends, len(counts)]))
        ):
            text = f"{f'tail {i}' if i else 'head'}\n{k:,} ids\n{share:.1%}"
            axes.text(
                math.sqrt(low * high),
                1.02,
                text,
                ha="center",
                va="bottom",
                fontsize=SMALL,
                transform=axes.get_xaxis_transform(),
            )
        save(figure, path)


def pareto(
    path: Target, front: Sequence[Choice], costs: Costs, marked: Mapping[str, Choice], x_label: str
) -> None:
    """Writes the Pareto front of a search: log probability of the networks over latency, above it
    as a fraction of the interleaved network's latency. marked: networks to mark, by name."""
    with style():
        figure = new_figure(4.4, width=6.4)
        axes = figure.add_subplot(xlabel=x_label, ylabel="log probability of the network (nats)")
        x, y = (
            np.array([choice.milliseconds for choice in front]),
            np.array([choice.log_probability for choice in front]),
        )
        axes.plot(
            x,
            y,
            drawstyle="steps-post",
            color=GUIDE,
            lw=1.0,
            marker="." if len(front) < 200 else "",
            mfc=BLUE,
            mec=BLUE,
            ms=5,
        )
        for (name, choice), colour, marker in zip(marked.items(), SERIES[1:], MARKERS[1:]):
            label = f"{name}: {Architecture(choice.network).short[:40]}"
            axes.plot(
                choice.milliseconds,
                choice.log_probability,
                marker,
                color=colour,
                ms=9,
                mec="white",
                ls="",
                label=label,
                zorder=3,
            )
        reference = costs.interleaved_ms(len(front[0].blocks))
        axes.secondary_xaxis(
            "top", functions=(lambda ms: ms / reference, lambda share: share * reference)
        ).set_xlabel("share of the interleaved network")
        figure.legend(loc="outside upper center", ncols=2)
        save(figure, path)


def growth(
    path: Path,
    varied: Sequence[str],
    measured: Mapping[str, Sequence[float]],
    fits: Mapping[str, Fit],
) -> None:
    """Writes measured values [n] against fitted ones, in a panel for each key of `measured`, which
    is the label of its axes.

    varied: [n] the letter of the dimension that a shape varies, "" for the middle of the sweep.
    """
    letters = ["", *LETTERS]
    with style():
        figure = new_figure(3.9, width=3.9 * len(measured))
        for axes, (label, values) in zip(
            np.atleast_1d(figure.subplots(1, len(measured))), measured.items()
        ):
            fitted = fits[label].fitted
            ends = 0.85 * min(*values, *fitted), 1.18 * max(*values, *fitted)
            axes.plot(ends, ends, color=GUIDE, lw=1.0)
            for letter, marker, colour in zip(letters, MARKERS, SERIES):
                chosen = [i for i, other in enumerate(varied) if other == letter]
                axes.plot(
                    [fitted[i] for i in chosen],
                    [values[i] for i in chosen],
                    marker,
                    color=colour,
                    ms=5,
                    label=letter or "middle",
                )
            axes.set(
                xscale="log",
                yscale="log",
                xlim=ends,
                ylim=ends,
                xlabel=f"{label}, fitted",
                ylabel=f"{label}, measured",
            )
            # plain numbers without minor labels: the range holds few powers of ten
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
                axis.set_minor_formatter(NullFormatter())
            axes.set_title(f"R² {fits[label].r_squared:.3f}", loc="left")
        figure.legend(
            *figure.axes[0].get_legend_handles_labels(),
            loc="outside upper center",
            ncols=len(letters),
        )
        save(figure, path)


def memory_lengths(
    path: Path,
    lengths: Sequence[int],
    panels: Mapping[str, Mapping[str, Sequence[float]]],
    label: str,
) -> None:
    """Writes a figure by memory length [C] (tokens), with a panel for each split and a line for
    each network. panels: {split: {network: [C]}}. label: of the figure.

    The axis is linear from 0 to the shortest memory, and logarithmic above.
    """
    with style():
        figure = new_figure(3.9, width=4.2 * len(panels) + 0.6)
        for axes, (split, networks) in zip(
            np.atleast_1d(figure.subplots(1, len(panels))), panels.items()
        ):
            for i, perplexities in enumerate(networks.values()):
                axes.plot(
                    lengths,
                    perplexities,
                    MARKERS[i % len(MARKERS)] + "-",
                    color=SERIES[i % len(SERIES)],
                    ms=5,
                )
            axes.set_xscale(
                "symlog", base=2, linthresh=min(length for length in lengths if length)
            )
            axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
            axes.minorticks_off()
            axes.set(xlabel="memory length (tokens)", ylabel=label)
            axes.set_title(literal(split), loc="left")
        # explicit, as matplotlib omits lines whose label begins with an underscore
        lines, names = figure.axes[0].lines, next(iter(panels.values()))
        figure.legend(
            lines,
            [literal(name) for name in names],
            loc="outside upper center",
            ncols=min(len(panels) * 2, len(lines)),
        )
        save(figure, path)
