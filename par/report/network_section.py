"""The sections of a report on the network: its blocks, how they were derived, and its latency."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from par.core.text import plural
from par.report import line_plots, network_plot, parts
from par.report.inputs import Artefacts
from par.report.parts import Command, Missing, Picture, Section, Table
from par.report.rendering import sentence
from par.search import derive, pareto
from par.search.architecture import HAND, KINDS, NAMES, Architecture, interleaved
from par.search.latency_check import LatencyCheck

MAX_FRONT = 40  # networks of a front that the table lists


@dataclasses.dataclass(frozen=True)
class FixedNetwork:
    """The network of a run without stochastic blocks, and where its blocks come from."""

    stack: Picture
    search: str | None  # the run that it was derived from; None: it was given by hand
    rule: str
    pi: Table | None

    name, title, template = "network", "The network", "fixed_network.html.j2"


@dataclasses.dataclass(frozen=True)
class DerivedNetwork:
    """The network that was derived from a search, or the likeliest one so far."""

    search: str  # the blocks of the search
    missing: Missing | None = None
    blocks: str = ""
    rule: str = ""  # how it was derived; '': these are the likeliest blocks so far
    doubts: Sequence[str] = ()
    stack: Picture | None = None
    pi: Table | None = None

    name, title = "network", "The network that came out"
    template = "derived_network.html.j2"


def network_section(artefacts: Artefacts, command: Command) -> Section:
    """The network of a fixed run, or the network that was derived from a search."""
    architecture, origin = artefacts.config.architecture, artefacts.origin
    if not architecture.is_search:
        has_pi = architecture.search_run and origin and origin.pi
        return FixedNetwork(
            _stack(architecture),
            architecture.search_run,
            origin.rule if origin else "",
            _pi_table(origin, "s" * len(origin)) if has_pi else None,
        )
    if artefacts.chosen:
        return _derived(artefacts, artefacts.chosen)
    rule = "consensus" if artefacts.group else None
    missing = Missing(
        "No network is derived from this search yet",
        command("derive", run=artefacts.directory, rule=rule),
    )
    if not artefacts.run.rows["train"]:
        return DerivedNetwork(architecture.short, missing)
    likeliest = Architecture(derive.argmax(artefacts.run.pi()[-1]))
    return DerivedNetwork(architecture.short, missing, likeliest.named, stack=_stack(likeliest))


def _derived(artefacts: Artefacts, chosen: Architecture) -> DerivedNetwork:
    architecture = artefacts.config.architecture
    rule = f"by the rule {chosen.rule}"
    if artefacts.group:
        rule += f", of {plural(len(chosen.seeds), 'seed')}"
    return DerivedNetwork(
        architecture.short,
        blocks=chosen.named,
        rule=rule,
        doubts=_doubts(artefacts, chosen),
        stack=_stack(chosen),
        pi=_pi_table(chosen, architecture.blocks) if chosen.pi else None,
    )


def _stack(architecture: Architecture) -> Picture:
    alt = (
        f"{architecture.short}: {network_plot.summary(architecture.blocks)}, between embedding and"
        " softmax"
    )
    caption = "The blocks between embedding and softmax; memories come into those that attend."
    return parts.svg(alt, caption, network_plot.network_svg, architecture)


def _doubts(artefacts: Artefacts, chosen: Architecture) -> list[str]:
    """Reasons to doubt the derived network."""
    run = artefacts.run
    if not (chosen.pi and len(chosen) == len(run.blocks)):
        return []
    return derive.doubts(chosen, run.blocks, artefacts.step, run.last_step)


def _pi_table(chosen: Architecture, blocks: str) -> Table:
    rows = [
        (
            str(number),
            NAMES[letter] if kind == "s" else f"{NAMES[letter]} (fixed)",
            *(f"{p:.3f}" for p in row),
        )
        for number, (kind, letter, row) in enumerate(zip(blocks, chosen.blocks, chosen.pi), 1)
    ]
    heads = ("block", "chosen", *(NAMES[kind] for kind in KINDS))
    return Table("pi that it was derived from", heads, rows)


@dataclasses.dataclass(frozen=True)
class LatencySection:
    """Predicted and measured latency of the network, and what other budgets would give."""

    check: Table | None
    sentences: Sequence[str]
    front: Picture | None
    front_networks: Table | None
    missing: Missing | None

    name, title, template = "latency", "What it takes", "latency.html.j2"


def latency_section(artefacts: Artefacts, command: Command) -> LatencySection:
    """The latency of the run's network."""
    architecture, latencies = artefacts.config.architecture, artefacts.latencies
    own = artefacts.chosen or artefacts.origin
    check = front = networks = None
    sentences: list[str] = []
    if own and own.latency:
        check = _check_table(own, own.latency)
        sentences = _check_sentences(own, own.latency)
    elif latencies and not architecture.is_search:
        line = latencies.costs.line(architecture.blocks, latencies.case)
        sentences = [f"{line}, by {latencies.source}."]
    if latencies and architecture.is_search and artefacts.run.rows["train"]:
        front, networks = _front(artefacts)
    return LatencySection(check, sentences, front, networks, _missing(artefacts, command, own))


def _missing(artefacts: Artefacts, command: Command, own: Architecture | None) -> Missing | None:
    latencies = artefacts.latencies
    if not latencies:
        return Missing(
            "No table of milliseconds fits this run",
            command("measure_latency", run=artefacts.first),
        )
    was_measured = own and own.latency and own.latency.pairs
    if latencies.table and artefacts.config.architecture.is_search and not was_measured:
        return Missing(
            "What is in architecture.json was not derived for a budget and measured",
            command(
                "derive",
                run=artefacts.directory,
                latency_table=latencies.table,
                budget_ratio=0.65,
            ),
        )
    return None


def _check_table(network: Architecture, check: LatencyCheck) -> Table:
    """Predicted beside measured latency of the network and of the interleaved one."""
    reference, rows = Architecture(interleaved(len(network))).short, []
    for case in check.cases:
        for name, ms, measured in zip(
            (network.canonical.short, reference), case[1:3], case.measured or (None, None)
        ):
            row = (f"{name}, {case.name}", f"{ms:.3f}")
            if measured:
                row += (
                    f"{measured.median:.3f}",
                    f"{measured.low:.3f} to {measured.high:.3f}",
                    f"{ms / measured.median - 1:+.1%}",
                )
            rows.append(row)
    heads, beside = ("network and case", "predicted ms"), ""
    if check.pairs:
        heads += ("measured ms", "quartiles", "error")
        beside = f" beside what {check.pairs} pairs of measurements say"
    return Table(f"Predicted latency{beside}; {reference} is the interleaved network", heads, rows)


def _check_sentences(network: Architecture, check: LatencyCheck) -> list[str]:
    reference = Architecture(interleaved(len(network))).short
    name = network.canonical.short
    sentences = [sentence(check.lines(name, reference)[-1])]
    if check.budget_ms:
        case = check.chosen_by.replace("_", " ")
        sentences.append(f"The budget was {check.budget_ms:.3f} ms of {case}.")
    return sentences + [sentence(line) for line in check.warnings(name)]


def _front(artefacts: Artefacts) -> tuple[Picture, Table]:
    """The likeliest network for every latency, as a picture and as a table."""
    latencies, blocks, chosen = artefacts.latencies, artefacts.run.blocks, artefacts.chosen
    runs = list(artefacts.group.values()) or [artefacts.run]
    mean = np.mean([run.pi()[-1] for run in runs], axis=0)
    found = pareto.front(mean, blocks, latencies.costs)
    marked = {"argmax": derive.likeliest_kinds(mean, blocks)}
    if chosen and len(chosen) == len(blocks) and chosen.rule != HAND:
        marked["chosen"] = chosen.blocks
    priced = {
        name: pareto.described(mean, spelled, blocks, latencies.costs)
        for name, spelled in marked.items()
    }
    label = f"{latencies.case_name} (ms)"
    first, last = found[0], found[-1]
    alt = (
        f"{len(found)} networks, from {first.network} at {first.milliseconds:.3f} ms to"
        f" {last.network} at {last.milliseconds:.3f} ms"
    )
    caption = f"The likeliest network for every latency, by {latencies.source}."
    if unproved := sum(bool(choice.gap) for choice in found):
        caption += f" Of {unproved} of them that is not proved."
    drawn = (line_plots.pareto, found, latencies.costs, priced, label)
    listed = found[:: max(1, -(-len(found) // MAX_FRONT))]
    title = "The same networks"
    if len(listed) < len(found):
        title += f", {len(listed)} of {len(found)}"
    heads = (label, "of interleaved", "log probability", "network")
    rows = [
        (
            f"{choice.milliseconds:.3f}",
            f"{latencies.costs.share_of_interleaved(choice.blocks):.1%}",
            f"{choice.log_probability:.3f}",
            choice.network,
        )
        for choice in listed
    ]
    return parts.png(alt, caption, *drawn), Table(title, heads, rows)
