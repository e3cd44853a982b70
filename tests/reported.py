"""A run of which a report has everything to tell, without training: every artefact as the commands
leave it, with hostile texts if asked for."""

from __future__ import annotations

import dataclasses
import html.parser
import json
from pathlib import Path
from typing import Any

import numpy as np

from par.core import schema
from par.core.config import LoggingConfig
from par.evaluate.compare import findings, statistics
from par.evaluate.compare.results import Comparison, Scores, Settings
from par.objectives import OBJECTIVES
from par.search import derive, latency_table
from par.search.latency_table import Costs, LatencyTable, Spread
from par.train import run_config
from recorded_run import drifting_pi, train_row, valid_row, write_history
from small import small_config, small_data

BLOCKS, MS = "sssd", (2.0, 1.0, 0.0, 4.0)  # milliseconds: attention, dense, identity, the rest
STEPS = range(2, 63, 2)
SECTIONS = (
    "pi",
    "curves",
    "network",
    "latency",
    "comparison",
    "samples",
    "configuration",
    "environment",
    "repeat",
)
HOSTILE = (
    "</code></pre></script><script>document.title='owned'</script><img src=x"
    " onerror=\"document.title='owned'\">&amp;\x1b[2J\u202e"
)


def recorded(folder: Path, blocks: str = BLOCKS, name: str = "search", upto: int = 62) -> Path:
    """A run of 62 steps in two epochs, recorded up to a step, with its data: what `train` leaves,
    and nothing more."""
    data_dir, run = folder / "data" / "copies", folder / "logs" / name
    if not data_dir.is_dir():
        small_data(data_dir, train=1_000, valid=200)
    config = small_config(data_dir, blocks, epochs=2, seed=4)
    run.mkdir(parents=True)
    config.save(run, data_dir)
    config.write_flags(run, data_dir, LoggingConfig())
    steps = [step for step in STEPS if step <= upto]
    taus, ways = (
        np.geomspace(1, 0.1, len(STEPS)),
        (("soft", "argmax") if "s" in blocks else ("fixed",)),
    )
    rows = [
        train_row(
            step, pi.tolist(), epoch=(step - 1) // 31 + 1, tau=tau, nll_per_token=6 - step / 62
        )
        for step, tau, pi in zip(steps, taus.tolist(), drifting_pi(blocks, len(STEPS)))
    ]
    valid = [
        valid_row(step, way, 5.5 - step / 100, epoch=step // 31)
        for step in (31, 62)
        if step <= upto
        for way in ways
    ]
    write_history(run / "history.jsonl", sorted(rows + valid, key=lambda row: row["step"]))
    if upto == 62:
        schema.write_json(
            run / "summary.json",
            {
                "step": 62,
                "seconds": 62.0,
                "best": None,
                "parameters": 12_345,
                "pi": [],
                "blocks": "",
            },
        )
    return run


def complete(folder: Path, hostile: bool = False) -> Path:
    """A finished search with everything that a report looks for."""
    run, odd = recorded(folder), HOSTILE if hostile else "plain"
    config, pi = run_config.load(run)[0], drifting_pi(BLOCKS, len(STEPS))[-1]
    schema.write_json(
        run / "environment.json",
        {"par": "0.1.0", "tensorflow": "2.21.0", "cpus": 2, "devices": [f"CPU {odd}"]},
    )
    (run / "samples").mkdir()
    (run / "samples" / "training.txt").write_text(
        f"step 62, end of epoch 2:\nOnce there was a word, {odd}.\n\n", encoding="utf-8"
    )
    parts = {part: Spread(ms, ms, ms) for part, ms in zip((*"adi", "constant"), MS)}
    shape = config.latency_shape
    LatencyTable({"machine": odd}, *shape, 3, parts, parts, parts).save(run / "latency.json")
    chosen = derive.derive(pi, BLOCKS, search_run="search", seeds=(4,))
    check = latency_table.predicted(
        chosen.blocks, "inference", {"inference": Costs(*MS), "decoding": Costs(*MS)}
    )
    times = np.array([[7.0, 10.0], [7.5, 10.5], [8.0, 11.0]])
    check = check.with_measured({"inference": times, "decoding": times / 4})
    dataclasses.replace(chosen, latency=check).save(run / "architecture.json")
    write_comparison(folder / "logs" / "search-compare", odd)
    return run


def write_comparison(directory: Path, name: str = "plain") -> None:
    """compare.json and truth.json of two seeds, a network of which is called `name`."""

    def network(
        names: tuple[str, ...], blocks: str, nll: float, random: bool = False
    ) -> statistics.Network:
        found = {
            seed: Scores(
                1234, 60.0, nll + 0.1 * seed, {"bits_per_byte": 1.7}, run=f"runs/{blocks}"
            )
            for seed in (5, 6)
        }
        times = {what: [10.0 + nll, 11.0 + nll, 12.0 + nll] for what in latency_table.CASES}
        contract = OBJECTIVES["causal_lm"]
        return statistics.Network(names, blocks, random, 10.0 + nll, 0.0, found, times, contract)

    networks = [
        network(("derived",), "adid", 6.0),
        network(("interleaved",), "adad", 6.02),
        network((name,), "ddda", 6.1, random=True),
    ]
    found = findings.summarize(networks, "latency", 0.05, equal=True, is_whole=False)
    settings = Settings("search", "test", (5, 6), 2, "latency", "latency", 0.05, 9, 7)
    schema.write_json(directory / "compare.json", Comparison(found, settings).to_json())
    spread = {"mean": 500.0, "low": 490.0, "high": 510.0}
    scores = {
        split: {
            "perplexity_per_word": spread,
            "bits_per_byte": {"mean": 1.7, "low": 1.6, "high": 1.8},
        }
        for split in statistics.SCORED
    }
    rows = [
        {
            "name": way,
            "blocks": "adid",
            "steps": steps,
            "seconds": 9.0,
            "steps_with_search": 62 + steps,
            "seconds_with_search": 71.0,
            "runs": [],
        }
        | scores
        for way, steps in (("SuperNet, soft", 0), (name, 31), ("derived, from scratch", 62))
    ]
    about = {
        "search": "search",
        "blocks": "adid",
        "seeds": [5, 6],
        "epochs": 2,
        "fine_tune_epochs": 1,
        "fine_tune_lr": 1e-3,
        "rows": rows,
    }
    schema.write_json(
        directory / "truth.json",
        about | {"fine_tuned_against_scratch": {"mean": 0.028, "low": 0.013, "high": 0.043}},
    )


class Page(html.parser.HTMLParser):
    """What is in a page: its elements with their attributes, and the text inside each element that
    has an id, or a name that is asked for."""

    VOID = ("meta", "img", "input")

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self._open: list[int] = []
        self.feed(text)
        self.close()
        assert not self._open, "an element is not closed"

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self.texts.append("")
        if tag not in self.VOID:
            self._open.append(len(self.elements) - 1)

    def handle_endtag(self, tag: str) -> None:
        assert self.elements[self._open.pop()][0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        for number in self._open:
            self.texts[number] += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        """Attributes of the elements of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]

    def text_of(self, tag: str) -> list[str]:
        """Texts of the elements of a kind."""
        return [text for (name, _), text in zip(self.elements, self.texts) if name == tag]

    def text(self, id_: str) -> str:
        """The text of the element of an id."""
        return next(
            text
            for (_, attributes), text in zip(self.elements, self.texts)
            if attributes.get("id") == id_
        )

    def data(self) -> Any:
        """What the slider shows."""
        return json.loads(self.text("pi-data"))
