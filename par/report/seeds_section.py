"""The section of a report on several seeds with the same settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from par.report import consensus_plot, parts
from par.report.inputs import Artefacts
from par.report.parts import Command, Missing, Picture, Table
from par.search import derive
from par.train import seeds


@dataclasses.dataclass(frozen=True)
class SeedsSection:
    """The results of each seed, and for searches their consensus."""

    results: Table | None
    missing: Missing | None
    consensus: Picture | None = None
    disagreement: Sequence[str] = ()

    name, title, template = "seeds", "The seeds together", "seeds.html.j2"


def seeds_section(artefacts: Artefacts, command: Command) -> SeedsSection:
    """The results of the seeds of a group together."""
    evaluated = {
        seed: seeds.result(run) for seed, run in artefacts.group.items() if run.rows["valid"]
    }
    results = None
    if evaluated:
        heads, *rows = seeds.cells(list(evaluated.values()), artefacts.run.contract)
        caption = "Each seed on the valid split; mean and standard deviation below"
        results = Table(caption, heads, rows)
    missing = _missing(artefacts, evaluated, command)
    if "s" not in artefacts.run.blocks:
        return SeedsSection(results, missing)
    pis = np.array([run.pi()[-1] for run in artefacts.group.values()])
    mean, agreement = derive.consensus(pis)
    alt = (
        f"The likeliest kinds by the mean of {len(pis)} seeds are {derive.argmax(mean)}; so many"
        f" seeds agree, block by block: {', '.join(map(str, agreement))}."
    )
    caption = "Mean pi, and what each seed chose."
    drawn = (consensus_plot.consensus, artefacts.run.blocks, pis, list(artefacts.group))
    return SeedsSection(
        results,
        missing,
        parts.png(alt, caption, *drawn),
        derive.disagreement(agreement.tolist(), len(pis)),
    )


def _missing(
    artefacts: Artefacts, evaluated: dict[int, object], command: Command
) -> Missing | None:
    """The hint in place of the seeds that are not evaluated yet."""
    left_out = [
        path
        for seed, path in seeds.find_runs(artefacts.directory).items()
        if seed not in evaluated
    ]
    if not left_out:
        return None
    text = f"{', '.join(path.name for path in left_out)} not evaluated yet; to go on"
    return Missing(text, command("train", flagfile=left_out[0] / "flags.txt"))
