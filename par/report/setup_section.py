"""The parts of a report that tell what a run was made of and how it is made again: texts,
settings, environment, commands."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator
from typing import Any

from par.core import config
from par.core.config import DataConfig, Group
from par.data import named_corpora
from par.data.manifest import Manifest
from par.report.inputs import SAMPLE_BYTES, Artefacts, Command, missing
from par.report.markup import Html, element, listing, paragraph, table
from par.report.page import Section
from par.search.architecture import BUDGET


def samples(of: Artefacts, command: Command) -> Section:
    """What the network writes."""
    if not of.samples:
        return Section(
            "samples",
            "What it writes",
            [
                missing(
                    "No text was written yet; a trained network goes on with any",
                    _generate(of, command),
                )
            ],
        )
    note = (
        f"Texts that the network wrote while it was trained, the last {SAMPLE_BYTES:,} bytes at"
        " most."
    )
    return Section(
        "samples", "What it writes", [paragraph(note), listing(of.samples, "Texts by the network")]
    )


def _generate(of: Artefacts, command: Command) -> str:
    return command("generate", run=of.first, prompt="The ")


def configuration(of: Artefacts, command: Command) -> Section:
    """Every setting that decides the figures; those that are not the default stand out."""
    body = [
        paragraph("Marked rows differ from the default; the recipe or the command line said so.")
    ]
    groups = [("Network", of.config.model), ("Training", of.config.training)]
    if of.config.architecture.is_search:
        groups.insert(1, ("Search", of.config.search))
    for title, group in groups:
        body += _settings(title, group)
    if of.manifest:
        body += _settings("Data", DataConfig.from_json(of.manifest.settings))
    else:
        data = of.config.data
        text = (
            {"corpus": data.name}
            if data.name in named_corpora.LICENCES
            else {"input_text": data.name}
        )
        shape = {name: getattr(data, name) for name in ("vocab_size", "batch_size", "seq_len")}
        again = command("build_data", **text, **shape, output_dir=of.data_dir)
        body.append(
            missing(
                f"The data set {of.data_dir} is not there, or another one by now; one like it is"
                " made by",
                again,
            )
        )
    return Section("configuration", "Configuration", body)


def _settings(title: str, group: Group) -> Iterator[Html]:
    rows, marked = [], []
    for number, (field, _) in enumerate(config.fields(type(group))):
        value = getattr(group, field.name)
        if value != field.default:
            marked.append(number)
        changed = "yes" if value != field.default else ""
        rows.append(
            (field.name, _shown(value), _shown(field.default), changed, field.metadata["reason"])
        )
    yield element("h3", title)
    yield table(
        f"{title}: {len(marked)} of {len(rows)} changed",
        ("setting", "value", "default", "changed", "meaning"),
        rows,
        marked,
    )


def _shown(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or "none"
    return (
        {True: "yes", False: "no", "": "none"}.get(value, str(value))
        if isinstance(value, (bool, str))
        else str(value)
    )


def environment(of: Artefacts, command: Command) -> Section:
    """Versions and devices."""
    if not of.environment:
        text = missing(
            "No environment.json is there; training writes it",
            command("train", flagfile=of.first / "flags.txt"),
        )
        return Section("environment", "Environment", [text])
    rows = [(name, _shown(value)) for name, value in of.environment.items()]
    return Section(
        "environment", "Environment", [table("What the figures hang on", ("what", "which"), rows)]
    )


def repeat(of: Artefacts, command: Command) -> Section:
    """The commands that make the same again, in order."""
    lines = []
    if of.manifest:
        lines += ["# the data", _build(of.manifest, command, str(of.data_dir))]
    again = f"{of.directory}-again"
    what = "the search" if of.config.architecture.is_search else "the network"
    several = len(of.group) if of.group else None
    lines += [
        "",
        f"# {what}, into another directory",
        command("train", flagfile=of.first / "flags.txt", run=again, num_seeds=several),
    ]
    if of.config.architecture.is_search:
        lines += ["", "# what comes out of it", *_derive(of, command, again)]
    lines += ["", "# this page", command("report", run=of.directory)]
    note = (
        "From the directory where the run was started; the same versions and number of threads on"
        " a CPU give the same figures, bit for bit."
    )
    body = [paragraph(note), listing("\n".join(lines).strip(), "Commands")]
    if of.manifest and of.manifest.settings["input_text"]:
        body.insert(1, paragraph("The text is your own: give its path to --input_text."))
    if not (of.first / "flags.txt").is_file():
        body.append(
            paragraph(
                "flags.txt is not in this run: give the settings of the table above as flags.",
                class_="missing",
            )
        )
    return Section("repeat", "To repeat it", body)


def _build(manifest: Manifest, command: Command, output: str) -> str:
    changed = []
    for field in dataclasses.fields(DataConfig):
        value = manifest.settings[field.name]
        if (tuple(value) if isinstance(value, list) else value) == field.default:
            continue
        if isinstance(value, bool):
            changed.append(f"--{'no' * (not value)}{field.name}")
        else:
            changed += [
                f"--{field.name}={shlex.quote(str(item))}"
                for item in (value if isinstance(value, list) else [value])
            ]
    return " ".join([command("build_data"), *changed, f"--output_dir={shlex.quote(output)}"])


def _derive(of: Artefacts, command: Command, again: str) -> list[str]:
    """As it was derived, and the training of that."""
    flags: dict[str, Any] = {"run": again, "rule": "consensus" if of.group else None}
    if of.chosen and of.chosen.rule == BUDGET and of.chosen.latency:
        promise = of.chosen.latency
        flags |= {
            "latency_table": of.latencies and of.latencies.table,
            "latency_of": promise.of,
            "rule": None,
        }
        flags |= (
            {"budget_ratio": promise.budget_ratio}
            if promise.budget_ratio
            else {"budget_ms": promise.budget_ms}
        )
    elif of.chosen and of.chosen.rule not in ("argmax", "hand"):
        flags["rule"] = of.chosen.rule
    trained = command(
        "train",
        flagfile=of.first / "flags.txt",
        data=of.data_dir,
        architecture=f"{again}/architecture.json",
        run=f"{again}-derived",
    )
    return [command("derive", **flags), trained]
