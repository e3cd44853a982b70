"""The parts of a report that tell how a search went: pi with a slider over its steps, several
seeds together, the curves."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from par.core import schema
from par.report import consensus_plot, heat_map, line_plots, pi_plots
from par.report.inputs import Artefacts, Command, missing
from par.report.markup import Html, element, joined, paragraph, picture, scrolling, table
from par.report.page import Section
from par.search import derive, diagnostics
from par.search.architecture import KINDS, NAMES
from par.train import history, seeds

MAX_PROBABILITIES = 150_000  # of all states of the slider together: about 1.3 MB
# blocks of which the page has a picture over the steps: drawing 64 takes ten seconds
MAX_PANELS = 32
DIGITS = 6  # of a probability in the page


def drawn(draw: Callable[..., None], *arguments: Any) -> bytes:
    """What a function of the picture modules draws."""
    file = io.BytesIO()
    draw(file, *arguments)
    return file.getvalue()


def pi(of: Artefacts, command: Command) -> Section:
    """The heat map of pi with its slider, and pi over the steps; in words why there is none."""
    title, run = "How the search went", of.run
    if reason := _why_no_pi(of, command):
        return Section("pi", title, [reason])
    states = _states(run)
    step, tau, probabilities = (states[name][-1] for name in ("steps", "tau", "pi"))
    body = [
        paragraph(
            "Each column is a block, each row what it may become; darker is more probable, and the"
            " number is that of the likeliest."
        ),
        _controls(len(states["steps"])),
        paragraph(
            f"step {step:,} of {run.last_step:,}, tau {tau:.3f}", id="pi-state", class_="state"
        ),
        scrolling("pi by block", heat_table(run.blocks, np.array(probabilities))),
        _ramp(),
        # numbers and keys, no text of others
        element(
            "script", Html(schema.canonical_json(states)), type="application/json", id="pi-data"
        ),
        element("h3", "Every block over the steps"),
    ]
    if len(run.blocks) > MAX_PANELS:
        body.append(
            missing(
                f"{len(run.blocks)} panels are a picture of their own, which is written by",
                command("plot_pi", run=of.directory),
            )
        )
    else:
        caption = "Probability of each kind, a panel a block, and tau below."
        body.append(picture(drawn(pi_plots.pi_over_time, run), ".png", _in_words(run), caption))
    return Section("pi", title, body)


def _why_no_pi(of: Artefacts, command: Command) -> Html | None:
    architecture = of.config.architecture
    if not architecture.is_search:
        text = (
            f"Every block of {architecture.short} is fixed, so there is no distribution to watch."
        )
        if not architecture.search_run:
            return paragraph(text)
        return missing(
            f"{text} The search that it comes from has one",
            command("report", run=of.directory.parent / architecture.search_run),
        )
    return None if of.run.rows["train"] else nothing_yet(of, command)


def nothing_yet(of: Artefacts, command: Command) -> Html:
    """Of a run that has just begun."""
    return missing(
        "No step is recorded yet, but will be while this runs",
        command("train", flagfile=of.first / "flags.txt"),
    )


def _states(run: history.Run) -> dict[str, Any]:
    """What page.js shows: all recorded states, or evenly spaced ones where they are too many for a
    page."""
    chosen = pi_plots.thinned(
        len(run.rows["train"]), max(2, MAX_PROBABILITIES // (len(run.blocks) * len(KINDS)))
    )
    rows = [run.rows["train"][number] for number in chosen]
    schedule = {
        "steps": [row["step"] for row in rows],
        "total": run.last_step,
        "tau": [round(row["tau"], DIGITS) for row in rows],
    }
    probabilities = np.round([row["pi"] for row in rows], DIGITS).tolist()
    return schedule | {
        "pi": probabilities,
        "stochastic": [kind == "s" for kind in run.blocks],
        "levels": heat_map.LEVELS,
    }


def _controls(count: int) -> Html:
    slider = element(
        "input",
        type="range",
        id="pi-step",
        min=0,
        max=count - 1,
        step=1,
        value=count - 1,
        aria_labelledby="pi-label",
    )
    button, label = (
        element("button", "Play", type="button", id="pi-play"),
        element("label", "step of the search", for_="pi-step", id="pi-label"),
    )
    return element("div", button, slider, label, class_="controls", id="pi-controls", hidden=True)


def heat_table(blocks: str, probabilities: np.ndarray) -> Html:
    """One state of pi [L, O] as page.js shows it: a class for the level of a cell, its number,
    which is seen in the likeliest cell alone."""
    likeliest = derive.argmax(probabilities)
    heads = [
        element("th", element("span", "kind"), scope="col", class_="corner"),
        *(element("th", str(b), scope="col") for b in range(1, len(blocks) + 1)),
    ]
    rows = []
    for option, kind in enumerate(KINDS):
        cells = [element("th", NAMES[kind], scope="row")]
        for letter, best, p in zip(blocks, likeliest, probabilities[:, option].tolist()):
            text = f"{p:.2f}" if letter == "s" else "fixed" if kind == best else ""
            cells.append(
                element(
                    "td",
                    element("span", text),
                    class_=f"p{math.floor(p * heat_map.LEVELS + 0.5)}{' best' * (kind == best)}",
                )
            )
        rows.append(element("tr", *cells))
    caption = element("caption", "pi by block")
    return element(
        "table",
        caption,
        element("thead", element("tr", *heads)),
        element("tbody", *rows),
        class_="heat",
        id="pi-map",
    )


def _ramp() -> Html:
    swatches = [
        element("i", class_=f"p{level}")
        for level in range(0, heat_map.LEVELS + 1, heat_map.LEVELS // 8)
    ]
    return element(
        "div",
        element("span", "probability 0"),
        *swatches,
        element("span", "1"),
        class_="ramp",
        aria_hidden="true",
    )


def _in_words(run: history.Run) -> str:
    """The last state, for whom can't see the picture."""
    blocks = [
        f"block {number} {NAMES[kind]}" + (f" {max(row):.2f}" if letter == "s" else " (fixed)")
        for number, (letter, kind, row) in enumerate(
            zip(run.blocks, derive.argmax(run.pi()[-1]), run.pi()[-1]), 1
        )
    ]
    return (
        f"Lines of pi over {run.rows['train'][-1]['step']:,} steps; in the end the likeliest are"
        f" {', '.join(blocks)}."
    )


def together(of: Artefacts, command: Command) -> Section:
    """What several seeds of one setting came to: a table, and for searches their consensus as a
    picture."""
    results = {seed: seeds.result(run) for seed, run in of.group.items() if run.rows["valid"]}
    left_out = [
        path for seed, path in seeds.find_runs(of.directory).items() if seed not in results
    ]
    body = []
    if results:
        heads, *lines = seeds.cells(list(results.values()))
        body.append(
            table("Each seed on the valid split; mean and standard deviation below", heads, lines)
        )
    if left_out:
        text = f"{', '.join(path.name for path in left_out)} not evaluated yet; to go on"
        body.append(missing(text, command("train", flagfile=left_out[0] / "flags.txt")))
    if "s" in of.run.blocks:
        pis = np.array([run.pi()[-1] for run in of.group.values()])
        mean, agreement = derive.consensus(pis)
        chosen = derive.argmax(mean)
        agreed = ", ".join(map(str, agreement))
        alt = (
            f"The likeliest kinds by the mean of {len(pis)} seeds are {chosen}; so many seeds"
            f" agree, block by block: {agreed}."
        )
        body.append(
            picture(
                drawn(consensus_plot.consensus, of.run.blocks, pis, list(of.group)),
                ".png",
                alt,
                "Mean pi, and what each seed chose.",
            )
        )
        body += [
            paragraph(f"{line[0].upper()}{line[1:]}.")
            for line in derive.disagreement(agreement.tolist(), len(pis))
        ]
    return Section("seeds", "The seeds together", body)


def curves(of: Artefacts, command: Command) -> Section:
    """Losses, rates, tau, entropy and latency over the steps, and the evaluations as a table."""
    run, title = of.run, "Learning curves"
    train, valid = run.rows["train"], [row for row in run.rows["valid"] if row["split"] == "valid"]
    if not train:
        return Section("curves", title, [nothing_yet(of, command)])
    alt = f"nll per token: train from {_course(train, 'nll_per_token')}"
    for way, rows in itertools.groupby(
        sorted(valid, key=lambda row: row["evaluate_as"]), key=lambda row: row["evaluate_as"]
    ):
        alt += (
            f"; valid{'' if way == 'fixed' else f' as {way}'} from"
            f" {_course(list(rows), 'nll_per_token')}"
        )
    alt += f". Learning rate from {_course(train, 'learning_rate')}." + (
        f" tau from {_course(train, 'tau')}." if "s" in run.blocks else ""
    )
    body = [
        picture(
            drawn(line_plots.curves, run),
            ".png",
            alt,
            "Loss per token, with perplexity on the right; below it what the schedules did.",
        )
    ]
    if "s" in run.blocks:
        body.append(_decision(of))
    if valid:
        heads, *lines = history.evaluations(run.rows)
        body.append(table("Evaluations on the valid split", heads, lines))
    return Section("curves", title, body)


def _course(rows: Sequence[dict[str, Any]], key: str) -> str:
    first, last = rows[0], rows[-1]
    return (
        f"{first[key]:.4g} at step {first['step']:,} to {last[key]:.4g} at step {last['step']:,}"
    )


def _decision(of: Artefacts) -> Html:
    run, costs = of.run, of.latencies.costs if of.latencies else None
    first, last = (diagnostics.figures(state, run.blocks) for state in run.pi()[[0, -1]])
    alt = (
        f"Mean entropy of pi from {first['entropy/mean']:.3f} to {last['entropy/mean']:.3f} nats,"
        f" of at most {math.log(len(KINDS)):.3f}."
    )
    caption = (
        "How undecided the search was: 0 is decided, the dotted line is no preference at all."
    )
    if costs:
        start, end = (costs.outlook(state, derive.argmax(state)) for state in run.pi()[[0, -1]])
        alt += (
            f" Expected latency from {start['expected_ms']:.3f} to {end['expected_ms']:.3f} ms, of"
            f" the likeliest blocks {end['argmax_ms']:.3f} ms."
        )
        caption += (
            f" Below it the latency ({of.latencies.of.replace('_', ' ')}) by"
            f" {of.latencies.source}."
        )
    return picture(drawn(line_plots.decision, run, costs), ".png", alt, caption)


def scores(of: Artefacts) -> Html:
    """The last evaluation in every figure; '' before the first."""
    valid = [row for row in of.run.rows["valid"] if row["split"] == "valid"]
    if not valid:
        return joined([])
    best = min(
        (row for row in valid if row["evaluate_as"] != "argmax"),
        key=lambda row: row["nll_per_token"],
        default=valid[-1],
    )
    rows = [("last", row) for row in valid if row["step"] == valid[-1]["step"]] + (
        [("best", best)] if best["step"] < valid[-1]["step"] else []
    )
    heads = (
        "valid split",
        "step",
        "nll per token",
        "perplexity per token",
        "perplexity per word",
        "bits per character",
        "bits per byte",
    )
    lines = []
    for name, row in rows:
        way = "" if row["evaluate_as"] == "fixed" else f", {row['evaluate_as']}"
        figures = [
            (row["nll_per_token"], 4),
            (row["perplexity_per_token"], 2),
            (row["perplexity_per_word"], 2),
        ]
        figures += [(row["bits_per_character"], 4), (row["bits_per_byte"], 4)]
        lines.append(
            (
                name + way,
                f"{row['step']:,}",
                *("-" if value is None else f"{value:,.{digits}f}" for value, digits in figures),
            )
        )
    return table("Scores", heads, lines)
