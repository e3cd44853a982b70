"""Pictures of a run from its history alone: pi as a GIF and as PNGs, and the learning curves.

The heat map is drawn in grey and coloured by its palette: every pixel is an index into one single-hue ramp, black to white through blue, whose
OKLab lightness is linear in the index. So all frames share one palette of 256 colours, anti-aliased text included, and nothing is quantised; equal
steps of probability are equal steps of lightness for every reader.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from par import derive, files
from par.architecture import KINDS, NAMES, Architecture
from par.budget import Choice
from par.cutoffs import prefix_shares
from par.growth import LETTERS, Fit
from par.history import Run
from par.latency import Costs

PAGE, LIGHTEST, DARKEST, INK, CLEAR = 255, 238, 48, 1, 0  # palette indices: the page, a cell of probability 0, one of probability 1, text, unchanged
LEVELS = 40
LIGHT_TEXT_BELOW = 126  # cells with a smaller index carry white text: there its contrast exceeds that of black
HOLD = 200  # centiseconds that the last frame stays
MAX_PIXELS = 150_000_000  # of all frames of a GIF together, one byte each
COLOURS = {"a": "#d55e00", "d": "#0072b2", "i": "#6e6e6e"}  # Okabe and Ito's, told apart by colour-blind readers
DASHES = {"a": "-", "d": "--", "i": ":"}  # and in black and white
SERIES = ("#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe and Ito's, too
MARKERS = ("o", "^", "s", "D", "v", "P", "X")  # one for each of them
STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 9, "legend.frameon": False, "lines.linewidth": 1.6}


def ramp() -> np.ndarray:
    """The palette: uint8 [256, 3], sRGB, from black to white through one blue hue; OKLab lightness rises linearly with the index."""
    light = np.linspace(0.0, 1.0, 256)
    chroma, hue = 0.13 * 4 * light * (1 - light), math.radians(255)
    L, a, b = 0.16 + 0.84 * light, chroma * math.cos(hue), chroma * math.sin(hue)
    long = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3  # OKLab to linear sRGB: Ottosson 2020, https://bottosson.github.io/posts/oklab/
    medium = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (L - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    linear = np.clip(np.stack([red, green, blue], 1), 0, 1)
    return np.round(255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)).astype(np.uint8)


class HeatMap:
    """One column a block, one row a kind, darker is more probable; the likeliest kind's probability is written in its cell.

    The still parts are drawn once. blocks: one letter a block; fixed blocks say so instead of a number. scale: device pixels a pixel.
    """

    def __init__(self, blocks: str, scale: int = 1):
        count = len(blocks)
        self.blocks = blocks
        cell, height = int(np.clip(600 // count, 30, 130)), 58
        left, right, top, bottom = 82, 62, 40, 46
        width = left + cell * count + right
        self.size = (width * scale, (top + height * len(KINDS) + bottom) * scale)
        dpi = 100 * scale
        with style():
            figure = Figure((self.size[0] / dpi, self.size[1] / dpi), dpi=dpi, facecolor=_grey(PAGE))
            self.canvas = FigureCanvasAgg(figure)
            box = (left / width, bottom * scale / self.size[1], cell * count / width, height * len(KINDS) * scale / self.size[1])
            self.axes = figure.add_axes(box, xlim=(0, count), ylim=(len(KINDS), 0), xlabel="block")
            self._frame_axes(count)
            _probability_legend(figure, (1 - (right - 16) / width, box[1], 14 / width, box[3]), "gray")
            self.canvas.draw()
            self.still = self.canvas.copy_from_bbox(figure.bbox)
            self.cells = self.axes.pcolormesh(np.zeros((len(KINDS), count)), cmap="gray", vmin=0, vmax=255, edgecolor=_grey(PAGE), linewidth=1.4)
            self.numbers = [
                self.axes.text(b + 0.5, 0, "", ha="center", va="center", fontsize=min(11.5, cell / 3.8), weight="bold") for b in range(count)
            ]
            heading = {"va": "center", "fontsize": 11, "color": _grey(INK)}
            y = 1 - top / 2 * scale / self.size[1]
            self.iteration = figure.text(12 / width, y, "", ha="left", **heading)
            self.tau = figure.text(1 - (right if count > 1 else 12) / width, y, "", ha="right", **heading)
        self.narrow = cell < 42

    def _frame_axes(self, count: int) -> None:
        self.axes.set_xticks(np.arange(count) + 0.5, [str(b) for b in range(1, count + 1)])
        self.axes.set_yticks(np.arange(len(KINDS)) + 0.5, [NAMES[kind] for kind in KINDS])
        self.axes.tick_params(length=0, pad=4, labelsize=10 if count <= 16 else 8)
        self.axes.tick_params(axis="y", labelsize=10)
        self.axes.spines[:].set_visible(False)

    def draw(self, pi: np.ndarray, step: int, tau: float) -> Image.Image:
        """The picture of pi [L, O] at `step` as a palette image of `self.size` pixels."""
        index = _index(pi.T)
        self.canvas.restore_region(self.still)
        self.cells.set_array(index)
        for block, (text, letter, likeliest) in enumerate(zip(self.numbers, self.blocks, derive.argmax(pi))):
            kind = KINDS.index(likeliest)
            text.set(y=kind + 0.5, color=_grey(PAGE if index[kind, block] < LIGHT_TEXT_BELOW else INK))
            text.set_text(_number(pi[block, kind], self.narrow) if letter == "s" else "" if self.narrow else "fixed")
        self.iteration.set_text(f"iteration {step:,}")
        self.tau.set_text(f"tau {tau:.3f}")
        with style():
            for artist in (self.cells, *self.numbers, self.iteration, self.tau):
                artist.draw(self.canvas.renderer)
        image = Image.fromarray(np.maximum(np.asarray(self.canvas.buffer_rgba())[:, :, 0], INK))
        image.putpalette(ramp().tobytes())
        return image


def style() -> Any:
    return matplotlib.style.context(["default", STYLE])


def _grey(index: int) -> str:
    return str(index / 255)


def _index(p: np.ndarray) -> np.ndarray:
    """Palette indices of cells, in LEVELS steps: a cell that hardly moved keeps its index, and costs nothing in the next frame."""
    return np.round(LIGHTEST + (DARKEST - LIGHTEST) * np.round(p * LEVELS) / LEVELS)


def _number(p: float, narrow: bool) -> str:
    return f"{p:.2f}" if not narrow else "1.0" if p >= 0.995 else f"{p:.2f}"[1:]


def frame_rows(rows: int, seconds: float, pixels: int) -> list[int]:
    """Which rows become frames: all, or evenly spaced ones, first and last included, where 2 centiseconds a frame or MAX_PIXELS allow no more."""
    most = max(2, min(int(seconds * 50), MAX_PIXELS // pixels))
    return list(range(rows)) if rows <= most else [round(i * (rows - 1) / (most - 1)) for i in range(most)]


def frame_times(frames: int, seconds: float) -> list[int]:
    """Centiseconds of each frame: their sum is `seconds`, and HOLD more for the last."""
    ends = [round(100 * seconds * (i + 1) / frames) for i in range(frames)]
    times = [end - start for start, end in zip([0, *ends], ends)]
    return [*times[:-1], times[-1] + HOLD]


def _changes(images: Iterator[Image.Image]) -> Iterator[Image.Image]:
    """The first image, then of each image what changed since the one before, the rest being CLEAR: long runs of one index, which GIF packs well."""
    before = None
    for image in images:
        pixels = np.asarray(image)
        changed = image if before is None else Image.fromarray(np.where(pixels == before, np.uint8(CLEAR), pixels))
        changed.putpalette(image.getpalette())
        before = pixels
        yield changed


def pi_gif(path: Path, run: Run, seconds: float = 10.0) -> int:
    """Writes pi over the run as a GIF that loops for ever, `seconds` long, then HOLD; returns the number of frames, one a recorded row."""
    heat_map, pi, train = HeatMap(run.blocks), run.pi(), run.rows["train"]
    chosen = frame_rows(len(train), seconds, heat_map.size[0] * heat_map.size[1])
    # Pillow would merge equal frames that follow each other; the iteration in the title makes every frame another one.
    images = _changes(heat_map.draw(pi[row], train[row]["step"], train[row]["tau"]) for row in chosen)
    milliseconds = [10 * time for time in frame_times(len(chosen), seconds)]
    with _written(path) as file:
        next(images).save(
            file,
            format="GIF",
            save_all=True,
            append_images=images,
            duration=milliseconds,
            loop=0,
            disposal=1,
            transparency=CLEAR,
            optimize=False,
            palette=ramp().tobytes(),
        )
    return len(chosen)


def pi_png(path: Path, run: Run) -> None:
    """Writes the last recorded pi, twice as large as the GIF's frames."""
    last = run.rows["train"][-1]
    with _written(path) as file:
        HeatMap(run.blocks, scale=2).draw(run.pi()[-1], last["step"], last["tau"]).save(file, format="PNG", optimize=True)


def pi_over_time(path: Path, run: Run) -> None:
    """Writes pi over the steps, a small panel a block, and tau below."""
    pi, train, count = run.pi(), run.rows["train"], len(run.blocks)
    steps = [row["step"] for row in train]
    columns = min(count, max(3, math.ceil(math.sqrt(1.5 * count))))
    lines = math.ceil(count / columns)
    with style():
        figure = Figure((max(4.2, 2.1 * columns + 0.6), 1.45 * lines + 1.9), dpi=120, layout="constrained")
        panels = figure.add_gridspec(lines + 1, columns)
        for block in range(count):
            axes = figure.add_subplot(panels[block // columns, block % columns], ylim=(-0.03, 1.03), yticks=[0, 0.5, 1])
            axes.set_title(f"block {block + 1}", loc="left")
            for option, kind in enumerate(KINDS):
                axes.plot(steps, pi[:, block, option], DASHES[kind], color=COLOURS[kind], label=NAMES[kind], marker=_marker(steps))
            axes.tick_params(labelbottom=block + columns >= count, labelleft=block % columns == 0)
            _step_axis(axes, steps)
        axes = figure.add_subplot(panels[lines, :], ylabel="tau", xlabel="iteration")
        axes.plot(steps, [row["tau"] for row in train], color="black", marker=_marker(steps))
        axes.set_ylim(bottom=0)
        _step_axis(axes, steps)
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(KINDS))
        save(figure, path)


def curves(path: Path, run: Run) -> None:
    """Writes train and valid nll with perplexity on the right, the learning rate, and tau if there is a stochastic block; needs a train row."""
    train, valid = run.rows["train"], [row for row in run.rows["valid"] if row["split"] == "valid"]
    steps = [row["step"] for row in train]
    search = "s" in run.blocks
    with style():
        figure = Figure((7.2, 5.6 if search else 4.6), dpi=120, layout="constrained")
        loss, *small = figure.subplots(3 if search else 2, 1, sharex=True, height_ratios=[3, 1, 1][: 3 if search else 2])
        loss.plot(steps, [row["nll_per_token"] for row in train], color="#888888", lw=1.2, label="train", marker=_marker(steps))
        for kind, colour, marker in (("fixed", "#0072b2", "o"), ("soft", "#0072b2", "o"), ("argmax", "#d55e00", "^")):
            rows = [row for row in valid if row["evaluate_as"] == kind]
            if rows:
                label = "valid" if kind == "fixed" else f"valid, {kind}"
                loss.plot([r["step"] for r in rows], [r["nll_per_token"] for r in rows], color=colour, marker=marker, ms=5, label=label)
        loss.set_ylabel("nll per token (nats)")
        loss.legend()
        _perplexity_axis(loss)
        for axes, key, label in zip(small, ("learning_rate", "tau"), ("learning rate", "tau")):
            axes.plot(steps, [row[key] for row in train], color="black", marker=_marker(steps))
            axes.set(ylabel=label)
            axes.set_ylim(bottom=0)
        small[-1].set_xlabel("iteration")
        _step_axis(small[-1], steps)
        figure.align_ylabels()
        save(figure, path)


def consensus(path: Path, blocks: str, pis: np.ndarray, seeds: Sequence[int]) -> None:
    """Writes what several searches of the same `blocks` say together, pis [R, L, O]: the mean pi as a heat map, in each cell how many seeds chose
    that kind (in the chosen kind's, bold), and below it a row a seed with its own choices; a seed that chose otherwise than all together stands out.
    """
    mean, _ = derive.consensus(pis)
    chosen, choices, count = derive.argmax(mean), [derive.argmax(pi) for pi in pis], len(blocks)
    cell, height, row = int(np.clip(600 // count, 30, 130)), 44, 22  # pixels at 100 dpi
    left, right, top, gap, bottom = 82, 62, 40, 22, 46
    width, rows = left + cell * count + right, len(seeds) + 1
    whole = top + height * len(KINDS) + gap + row * rows + bottom
    with style():
        figure = Figure((width / 100, whole / 100), dpi=200 if 4 * width * whole < MAX_PIXELS else 100, facecolor="white")
        upper = figure.add_axes((left / width, 1 - (top + height * len(KINDS)) / whole, cell * count / width, height * len(KINDS) / whole))
        lower = figure.add_axes((left / width, bottom / whole, cell * count / width, row * rows / whole))
        index, colours = _index(mean.T), ListedColormap(ramp() / 255)
        upper.pcolormesh(index, cmap=colours, vmin=0, vmax=255, edgecolor="white", linewidth=1.4)
        for block, (letter, best) in enumerate(zip(blocks, chosen)):
            for option, kind in enumerate(KINDS):
                text = sum(own[block] == kind for own in choices) if letter == "s" else "fixed" if kind == best and cell >= 42 else 0
                colour, weight = "white" if index[option, block] < LIGHT_TEXT_BELOW else "black", "bold" if kind == best else "normal"
                if text:
                    upper.text(block + 0.5, option + 0.5, text, color=colour, ha="center", va="center", weight=weight, fontsize=min(10, cell / 3.8))
        for line, (own, shown) in enumerate([(chosen, "bold"), *((own, "normal") for own in choices)]):
            for block, kind in enumerate(own):
                odd = kind != chosen[block]
                lower.add_patch(
                    Rectangle((block, line), 1, 1, facecolor=COLOURS[kind], alpha=1 if odd or not line else 0.3, edgecolor="white", lw=1.4)
                )
                colour = "white" if (odd or not line) and kind != "a" else "black"  # on the orange, white would be too faint
                lower.text(block + 0.5, line + 0.5, kind, color=colour, ha="center", va="center", weight="bold" if odd else shown, fontsize=8)
        upper.set(xlim=(0, count), ylim=(len(KINDS), 0), xticks=[])
        upper.set_yticks(np.arange(len(KINDS)) + 0.5, [NAMES[kind] for kind in KINDS])
        figure.text(12 / width, 1 - top / 2 / whole, f"mean pi; how many of {len(seeds)} seeds chose it", va="center", fontsize=9)
        lower.set(xlim=(0, count), ylim=(rows, 0), xlabel="block")
        lower.set_xticks(np.arange(count) + 0.5, [str(block) for block in range(1, count + 1)])
        lower.set_yticks(np.arange(rows) + 0.5, ["consensus", *(f"seed {seed}" for seed in seeds)])
        for axes in (upper, lower):
            axes.tick_params(length=0, pad=4)
            axes.spines[:].set_visible(False)
        _probability_legend(figure, (1 - (right - 16) / width, upper.get_position().y0, 14 / width, upper.get_position().height), colours)
        save(figure, path)


def _probability_legend(figure: Figure, box: tuple[float, float, float, float], colours: str | Colormap) -> None:
    axes = figure.add_axes(box)
    axes.imshow(_index(np.linspace(1, 0, 128))[:, None], cmap=colours, vmin=0, vmax=255, aspect="auto", extent=(0, 1, 0, 1))
    axes.set(xticks=[], yticks=[0, 1], ylabel="probability")
    axes.yaxis.tick_right()
    axes.yaxis.set_label_position("right")
    axes.tick_params(length=0, pad=2)
    axes.spines[:].set_visible(False)


def cutoffs(path: Path, counts: np.ndarray, ends: Sequence[int]) -> None:
    """Writes how often each id occurs, counts [V], on two logarithmic axes, and where the clusters of the adaptive softmax end."""
    ids = np.flatnonzero(counts)
    shares = np.diff(prefix_shares(counts)[[0, *ends, len(counts)]])
    with style():
        figure = Figure((7.2, 3.6), dpi=120, layout="constrained")
        axes = figure.add_subplot(xlabel="id + 1", ylabel="count", xscale="log", yscale="log", xlim=(0.9, 1.1 * len(counts)))
        axes.plot(ids + 1, counts[ids], color=COLOURS["d"], marker=".", ms=3, lw=0.8)
        edges = [0.9, *(end + 0.5 for end in ends), 1.1 * len(counts)]
        for edge in edges[1:-1]:
            axes.axvline(edge, color=COLOURS["a"], ls="--", lw=1.2)
        for i, (low, high, share, k) in enumerate(zip(edges, edges[1:], shares, np.diff([0, *ends, len(counts)]))):
            text = f"{f'tail {i}' if i else 'head'}\n{k:,} ids\n{share:.1%}"
            axes.text(math.sqrt(low * high), 1.02, text, ha="center", va="bottom", fontsize=8, transform=axes.get_xaxis_transform())
        save(figure, path)


def pareto(path: Path, front: Sequence[Choice], costs: Costs, marked: Mapping[str, str], x_label: str) -> None:
    """Writes the front of a search: log pi over latency, the share of the interleaved network's above; `marked` names some blocks' points."""
    with style():
        figure = Figure((6.4, 4.4), dpi=120, layout="constrained")
        axes = figure.add_subplot(xlabel=x_label, ylabel="log pi: sum over the blocks (nats)")
        x, y = np.array([choice.milliseconds for choice in front]), np.array([choice.log_pi for choice in front])
        axes.plot(
            x, y, drawstyle="steps-post", color="#999999", lw=1.0, marker="." if len(front) < 200 else "", mfc=COLOURS["d"], mec=COLOURS["d"], ms=5
        )
        for (name, blocks), colour, marker in zip(marked.items(), SERIES[1:], MARKERS[1:]):
            log_pi = next((choice.log_pi for choice in front if choice.blocks == blocks), front[-1].log_pi)
            label = f"{name}: {Architecture(blocks).short[:40]}"
            axes.plot(costs.of(blocks), log_pi, marker, color=colour, ms=9, mec="white", ls="", label=label, zorder=3)
        reference = costs.interleaved(len(front[0].blocks))
        axes.secondary_xaxis("top", functions=(lambda ms: ms / reference, lambda share: share * reference)).set_xlabel(
            "share of the interleaved network"
        )
        figure.legend(loc="outside upper center", ncols=2)
        save(figure, path)


def growth(path: Path, varied: Sequence[str], measured: Mapping[str, Sequence[float]], fits: Mapping[str, Fit]) -> None:
    """Writes what was measured [n] against what was fitted, a panel for each key of `measured`, which is the label of its axes.

    varied: [n] the letter that a shape varies, "" for the middle of the sweep.
    """
    letters = ["", *LETTERS]
    with style():
        figure = Figure((3.9 * len(measured), 3.9), dpi=120, layout="constrained")
        for axes, (label, values) in zip(np.atleast_1d(figure.subplots(1, len(measured))), measured.items()):
            fitted = fits[label].fitted
            ends = 0.85 * min(*values, *fitted), 1.18 * max(*values, *fitted)
            axes.plot(ends, ends, color="#888888", lw=1.0)
            for letter, marker, colour in zip(letters, MARKERS, SERIES):
                chosen = [i for i, other in enumerate(varied) if other == letter]
                axes.plot([fitted[i] for i in chosen], [values[i] for i in chosen], marker, color=colour, ms=5, label=letter or "middle")
            axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel=f"{label}, fitted", ylabel=f"{label}, measured")
            for axis in (axes.xaxis, axes.yaxis):  # plain numbers, and none between those: few powers of ten lie in so short a range
                axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
                axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
                axis.set_minor_formatter(NullFormatter())
            axes.set_title(f"R² {fits[label].r_squared:.3f}", loc="left")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=len(letters))
        save(figure, path)


def memory_lengths(path: Path, lengths: Sequence[int], panels: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Writes perplexity per word by memory length [C] (tokens), a panel a split and a line a network: {split: {network: [C]}}.

    The axis is logarithmic from the shortest memory on, and linear from there to none.
    """
    with style():
        figure = Figure((4.2 * len(panels) + 0.6, 3.9), dpi=120, layout="constrained")
        for axes, (split, networks) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels.items()):
            for i, (label, perplexities) in enumerate(networks.items()):
                axes.plot(lengths, perplexities, MARKERS[i % len(MARKERS)] + "-", color=SERIES[i % len(SERIES)], ms=5, label=label)
            axes.set_xscale("symlog", base=2, linthresh=min(length for length in lengths if length))
            axes.set_xticks(lengths, [f"{length:,}" for length in lengths])
            axes.minorticks_off()
            axes.set(xlabel="memory length (tokens)", ylabel="perplexity per word")
            axes.set_title(split, loc="left")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=min(len(panels) * 2, len(figure.axes[0].lines)))
        save(figure, path)


def _perplexity_axis(loss: Axes) -> None:
    low, high = loss.get_ylim()
    ticks = [(math.log(digit) + power * math.log(10), digit * 10**power) for power in range(10) for digit in (1, 2, 5)]
    shown = [(nll, value) for nll, value in ticks if low <= nll <= high]
    if len(shown) < 2:
        shown = [(nll, round(math.exp(min(nll, 700)), 1)) for nll in loss.get_yticks() if low <= nll <= high]
    right = loss.twinx()
    right.set(ylim=(low, high), ylabel="perplexity per token")
    right.set_yticks([nll for nll, _ in shown], [f"{value:,}" for _, value in shown])
    right.spines["right"].set_visible(True)


def _step_axis(axes: Axes, steps: list[int]) -> None:
    axes.set_xlim(0, 1.02 * steps[-1] or 1)  # a history may consist of step 0 alone
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step / 1000:g}k" if step >= 1000 else f"{step:g}"))


def _marker(steps: list[int]) -> str:
    return "." if len(steps) < 20 else ""


def save(figure: Figure, path: Path) -> None:
    with _written(path) as file:
        FigureCanvasAgg(figure).print_figure(file, format="png")


@contextlib.contextmanager
def _written(path: Path) -> Iterator[io.BytesIO]:
    """A picture is made in memory and then written: Pillow loses the system's reason where a file can't take it."""
    picture = io.BytesIO()
    yield picture
    files.write_bytes(path, picture.getvalue())


def described(path: Path) -> str:
    """Path, pixels and size of a picture, for people."""
    with Image.open(path) as image:
        return f"{path}: {image.width} x {image.height}, {path.stat().st_size / 1000:,.0f} kB"
