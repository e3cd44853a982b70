"""The sections of a report on the setup of a run: sampled texts, settings, environment, and the
commands that repeat it."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from par.core import config
from par.core.config import TEXTS, DataConfig, Group
from par.data import named_corpora
from par.data.manifest import Manifest
from par.report import token_heatmap
from par.report.inputs import SAMPLE_BYTES, Artefacts
from par.report.parts import Command, Missing, Table
from par.search.architecture import BUDGET


@dataclasses.dataclass(frozen=True)
class SamplesSection:
    """Texts that the network wrote, filled or examined during training. parts: of the text, where
    some are coloured."""

    text: str
    missing: Missing | None
    title: str
    note: str
    parts: Sequence[token_heatmap.Passage] = ()

    name, template = "samples", "samples.html.j2"


class _Shown(NamedTuple):
    """What networks of a kind show: its title, what it is, what is said where there is none yet,
    and the tool and its flag that show one at once, if any."""

    title: str
    note: str
    none_yet: str
    tool: str = ""
    given: Mapping[str, str] = {}


LAST = f"the last {SAMPLE_BYTES:,} bytes at most"
SHOWN = {  # by the field of par.objectives.contract.Contract
    "generates": _Shown(
        "What it writes",
        f"Texts that the network wrote while it was trained, {LAST}.",
        "No text was written yet; a trained network goes on with any",
        "generate",
        {"prompt": "The "},
    ),
    "fills": _Shown(
        "What it fills in",
        f"Held-out sentences that the network filled while it was trained, {LAST}: in brackets"
        " the piece that was masked, then what the network expected, and how probably.",
        "No text was filled yet; a trained network fills any",
        "fill",
        {"text": "The [MASK]"},
    ),
    "detects": _Shown(
        "What it detects",
        f"Held-out passages in which a generator replaced tokens, {LAST}: in brackets a token"
        " that was replaced, what was put there, and how probable a replacement was to the"
        " network; without a colon an original token that it held for one. The darker, the"
        " more probable.",
        "No passage was shown yet; the run shows some at its end",
    ),
}


def samples_section(artefacts: Artefacts, command: Command) -> SamplesSection:
    """The sampled texts of a run."""
    contract, text = artefacts.config.contract, artefacts.samples
    shown = next((each for name, each in SHOWN.items() if getattr(contract, name)), None)
    if shown is None:
        missing = Missing(f"Networks of {contract.name} do not write texts")
        return SamplesSection(text, missing, "Texts", "")
    missing = None
    if not text:
        makes = command(shown.tool, run=artefacts.first, **shown.given) if shown.tool else ""
        missing = Missing(shown.none_yet, makes)
    parts = token_heatmap.marked(text) if contract.detects else ()
    return SamplesSection(text, missing, shown.title, shown.note, parts)


@dataclasses.dataclass(frozen=True)
class ConfigurationSection:
    """Every setting that affects the results, in groups by title; settings that differ from the
    default stand out."""

    groups: dict[str, Table]
    missing: Missing | None

    name, title, template = "configuration", "Configuration", "configuration.html.j2"


def configuration_section(artefacts: Artefacts, command: Command) -> ConfigurationSection:
    """The settings of the run and of its data."""
    settings, missing = artefacts.config, None
    groups: dict[str, Group] = {"Network": settings.model}
    if settings.architecture.is_search:
        groups["Search"] = settings.search
    groups["Training"] = settings.training
    if settings.objective_settings:
        groups[f"Objective {settings.objective}"] = settings.objective_settings
    if artefacts.manifest:
        groups["Data"] = DataConfig.from_json(artefacts.manifest.settings)
    else:
        missing = _missing_data(artefacts, command)
    tables = {title: _settings_table(title, group) for title, group in groups.items()}
    return ConfigurationSection(tables, missing)


def _missing_data(artefacts: Artefacts, command: Command) -> Missing:
    data = artefacts.config.data
    source = "corpus" if data.name in named_corpora.LICENCES else "input_text"
    shape = {name: getattr(data, name) for name in ("vocab_size", "batch_size", "seq_len")}
    return Missing(
        f"The data set {artefacts.data_dir} is not there, or another one by now; one like it is"
        " made by",
        command("build_data", **{source: data.name}, **shape, output_dir=artefacts.data_dir),
    )


def _settings_table(title: str, group: Group) -> Table:
    rows, marked = [], []
    for number, (field, _) in enumerate(config.fields(type(group))):
        value, changed = getattr(group, field.name), ""
        if value != field.default:
            marked.append(number)
            changed = "yes"
        shown, default = _shown(value), _shown(field.default)
        rows.append((field.name, shown, default, changed, field.metadata["reason"]))
    return Table(
        f"{title}: {len(marked)} of {len(rows)} changed",
        ("setting", "value", "default", "changed", "meaning"),
        rows,
        marked,
    )


def _shown(value: Any) -> str:
    """A setting, or an entry of the environment, as text."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(str, value)) or "none"
    return str(value) if value != "" else "none"


@dataclasses.dataclass(frozen=True)
class EnvironmentSection:
    """Versions and devices."""

    table: Table | None
    missing: Missing | None = None

    name, title, template = "environment", "Environment", "environment.html.j2"


def environment_section(artefacts: Artefacts, command: Command) -> EnvironmentSection:
    """The versions and devices that the run was trained with."""
    if not artefacts.environment:
        return EnvironmentSection(
            None,
            Missing(
                "No environment.json is there; training writes it",
                command("train", flagfile=artefacts.first / "flags.txt"),
            ),
        )
    rows = [(name, _shown(value)) for name, value in artefacts.environment.items()]
    return EnvironmentSection(Table("What the figures depend on", ("what", "which"), rows))


@dataclasses.dataclass(frozen=True)
class RepeatSection:
    """The commands that repeat the run, in order."""

    commands: str
    own_text: str
    missing: Missing | None

    name, title, template = "repeat", "To repeat it", "repeat.html.j2"


def repeat_section(artefacts: Artefacts, command: Command) -> RepeatSection:
    """The commands for the data, the training, the derived network and this page."""
    is_search, manifest = artefacts.config.architecture.is_search, artefacts.manifest
    again = f"{artefacts.directory}-again"
    lines, missing = [], None
    if manifest:
        lines += ["# the data", build_command(manifest, command, str(artefacts.data_dir))]
    lines += [
        "",
        f"# {'the search' if is_search else 'the network'}, into another directory",
        command(
            "train",
            flagfile=artefacts.first / "flags.txt",
            run=again,
            num_seeds=len(artefacts.group) or None,
        ),
    ]
    if is_search:
        lines += ["", "# what comes out of it", *_derive_commands(artefacts, command, again)]
    lines += ["", "# this page", command("report", run=artefacts.directory)]
    if not (artefacts.first / "flags.txt").is_file():
        missing = Missing(
            "flags.txt is not in this run: give the settings of the table above as flags."
        )
    given = manifest.settings if manifest else {}
    own_text = next((name for name in TEXTS if name != "corpus" and given.get(name)), "")
    return RepeatSection("\n".join(lines).strip(), own_text, missing)


def build_command(manifest: Manifest, command: Command, output: str) -> str:
    """The command that builds a data set again, with every setting that is not the default."""
    changed = []
    for field in dataclasses.fields(DataConfig):
        value = manifest.settings[field.name]
        if (tuple(value) if isinstance(value, list) else value) == field.default:
            continue
        if isinstance(value, bool):
            changed.append(f"--{field.name}" if value else f"--no{field.name}")
        else:
            values = value if isinstance(value, list) else [value]
            changed += [f"--{field.name}={shlex.quote(str(item))}" for item in values]
    return " ".join([command("build_data"), *changed, f"--output_dir={shlex.quote(output)}"])


def _derive_commands(artefacts: Artefacts, command: Command, again: str) -> list[str]:
    """The commands that derive the network in the same way and train it."""
    chosen = artefacts.chosen
    flags: dict[str, Any] = {"run": again, "rule": "consensus" if artefacts.group else None}
    if chosen and chosen.rule == BUDGET and chosen.latency:
        flags |= {
            "latency_table": artefacts.latencies and artefacts.latencies.table,
            "latency_of": chosen.latency.chosen_by,
            "rule": None,
        }
        if chosen.latency.budget_ratio:
            flags["budget_ratio"] = chosen.latency.budget_ratio
        else:
            flags["budget_ms"] = chosen.latency.budget_ms
    elif chosen and chosen.rule not in ("argmax", "hand"):
        flags["rule"] = chosen.rule
    trained = command(
        "train",
        flagfile=artefacts.first / "flags.txt",
        data=artefacts.data_dir,
        architecture=f"{again}/architecture.json",
        run=f"{again}-derived",
    )
    return [command("derive", **flags), trained]
