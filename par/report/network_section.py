"""The parts of a report that tell what network there is: its blocks, what was derived, and what it
takes."""

from __future__ import annotations

import numpy as np

from par.report import line_plots, network_plot
from par.report.inputs import Artefacts, Command, missing
from par.report.markup import Html, code, paragraph, picture, several, table
from par.report.page import Section
from par.report.search_section import drawn
from par.search import derive, pareto
from par.search.architecture import HAND, KINDS, NAMES, Architecture, interleaved
from par.search.latency_check import Promise

MAX_FRONT = 40  # networks of a front that the table lists


def network(of: Artefacts, command: Command) -> Section:
    """The network of the run, and of a search what was derived from it."""
    config = of.config
    if not config.architecture.is_search:
        return Section("network", "The network", [_stack(config.architecture), *_came_from(of)])
    body = (
        []
        if of.chosen
        else [missing("No network is derived from this search yet", _derive(of, command))]
    )
    if of.chosen:
        how = f"by the rule {of.chosen.rule}" + (
            f", of {several(len(of.chosen.seeds), 'seed')}" if of.group else ""
        )
        body.append(
            paragraph(
                "From ",
                code(config.architecture.short),
                " came ",
                code(of.chosen.blocks),
                f" {how}.",
            )
        )
        body += [paragraph(f"Note: {line}.") for line in _doubts(of)]
        body.append(_stack(of.chosen))
        if of.chosen.pi:
            body.append(_pi(of.chosen, config.architecture.blocks))
    elif of.run.rows["train"]:
        likeliest = Architecture(derive.argmax(of.run.pi()[-1]))
        body += [
            paragraph("The likeliest blocks so far are ", code(likeliest.blocks), "."),
            _stack(likeliest),
        ]
    return Section("network", "The network that came out", body)


def _derive(of: Artefacts, command: Command) -> str:
    return command("derive", run=of.directory, rule="consensus" if of.group else None)


def _stack(architecture: Architecture) -> Html:
    alt = (
        f"{architecture.short}: {network_plot.summary(architecture.blocks)}, between embedding and"
        " softmax"
    )
    caption = "The blocks between embedding and softmax; memories come into those that attend."
    return picture(drawn(network_plot.network_svg, architecture), ".svg", alt, caption)


def _came_from(of: Artefacts) -> list[Html]:
    search = of.config.architecture.search_run
    if not search:
        return [paragraph("Its blocks were given by hand.")]
    body = [
        paragraph(
            "Its blocks were derived from the search ",
            code(search),
            f" by the rule {of.origin.rule}." if of.origin else ".",
        )
    ]
    return [*body, _pi(of.origin, "s" * len(of.origin))] if of.origin and of.origin.pi else body


def _doubts(of: Artefacts) -> list[str]:
    """Why it may not be what one wants."""
    if not (of.chosen.pi and len(of.chosen) == len(of.run.blocks)):
        return []
    return derive.doubts(of.chosen, of.run.blocks, of.step, of.run.last_step)


def _pi(chosen: Architecture, blocks: str) -> Html:
    rows = []
    for number, (kind, letter, row) in enumerate(zip(blocks, chosen.blocks, chosen.pi), 1):
        rows.append(
            (
                str(number),
                NAMES[letter] if kind == "s" else f"{NAMES[letter]} (fixed)",
                *(f"{p:.3f}" for p in row),
            )
        )
    return table(
        "pi that it was derived from", ("block", "chosen", *(NAMES[kind] for kind in KINDS)), rows
    )


def latency(of: Artefacts, command: Command) -> Section:
    """What the network should take and takes, and what every other budget would give."""
    own = of.chosen or of.origin
    body = _promise(own, own.latency) if own and own.latency else []
    if of.latencies and not body and not of.config.architecture.is_search:
        body.append(
            paragraph(
                f"{of.latencies.costs.line(of.config.architecture.blocks, of.latencies.of)}, by"
                f" {of.latencies.source}."
            )
        )
    if of.latencies and of.config.architecture.is_search and of.run.rows["train"]:
        body += _front(of)
    if not of.latencies:
        body.append(
            missing(
                "No table of milliseconds fits this run", command("measure_latency", run=of.first)
            )
        )
    elif (
        of.latencies.table
        and of.config.architecture.is_search
        and not (own and own.latency and own.latency.pairs)
    ):
        hint = command(
            "derive", run=of.directory, latency_table=of.latencies.table, budget_ratio=0.65
        )
        body.append(
            missing("What is in architecture.json was not derived for a budget and measured", hint)
        )
    return Section("latency", "What it takes", body)


def _promise(network: Architecture, promise: Promise) -> list[Html]:
    """Predicted beside measured."""
    reference, rows = Architecture(interleaved(len(network))).short, []
    for case in promise.cases:
        for name, ms, measured in zip(
            (network.short, reference), case[1:3], case.measured or (None, None)
        ):
            seen = (
                (
                    f"{measured.median:.3f}",
                    f"{measured.low:.3f} to {measured.high:.3f}",
                    f"{ms / measured.median - 1:+.1%}",
                )
                if measured
                else ()
            )
            rows.append((f"{name}, {case.name}", f"{ms:.3f}", *seen))
    heads = (
        "network and case",
        "predicted ms",
        *(("measured ms", "quartiles", "error") if promise.pairs else ()),
    )
    said = f"{promise.lines(network.short, reference)[-1]}."
    goal = (
        [f"The budget was {promise.budget_ms:.3f} ms of {promise.of.replace('_', ' ')}."]
        if promise.budget_ms
        else []
    )
    notes = [f"{line[0].upper()}{line[1:]}." for line in promise.warnings(network.short)]
    measured = f" beside what {promise.pairs} pairs of measurements say" if promise.pairs else ""
    caption = f"Predicted latency{measured}; {reference} is the interleaved network"
    return [
        table(caption, heads, rows),
        *map(paragraph, [f"{said[0].upper()}{said[1:]}", *goal, *notes]),
    ]


def _front(of: Artefacts) -> list[Html]:
    """The likeliest network for every latency."""
    costs, blocks = of.latencies.costs, of.run.blocks
    mean = np.mean([run.pi()[-1] for run in of.group.values()] or [of.run.pi()[-1]], axis=0)
    found = pareto.front(mean, blocks, costs)
    marked = {
        "argmax": "".join(
            new if old == "s" else old for old, new in zip(blocks, derive.argmax(mean))
        )
    }
    if of.chosen and len(of.chosen) == len(blocks) and of.chosen.rule != HAND:
        marked["chosen"] = of.chosen.blocks
    label = f"{of.latencies.of.replace('_', ' ')} (ms)"
    first, last = found[0], found[-1]
    alt = (
        f"{len(found)} networks, from {first.blocks} at {first.milliseconds:.3f} ms to"
        f" {last.blocks} at {last.milliseconds:.3f} ms"
    )
    caption = f"The likeliest network for every latency, by {of.latencies.source}."
    rows = [
        (
            f"{each.milliseconds:.3f}",
            f"{costs.share(each.blocks):.1%}",
            f"{each.log_pi:.3f}",
            each.blocks,
        )
        for each in found
    ]
    listed = rows[:: max(1, -(-len(rows) // MAX_FRONT))]
    heads = (label, "of interleaved", "log pi", "blocks")
    some = "" if len(listed) == len(rows) else f", {len(listed)} of {len(rows)}"
    return [
        picture(drawn(line_plots.pareto, found, costs, marked, label), ".png", alt, caption),
        table(f"The same networks{some}", heads, listed),
    ]
