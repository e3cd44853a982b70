"""The results of a comparison as typed values: compare.json and truth.json hold them.

The order of the fields is the order of the keys on disk, where figures stand under their own
names: those that the run's objective has networks compared by (`Contract.compared`).
"""

from __future__ import annotations

import dataclasses
from typing import Any

from par.core import metrics, schema
from par.core.errors import UsageError
from par.core.metrics import Figure
from par.core.stats import Interval
from par.objectives import DEFAULT, OBJECTIVES
from par.objectives.contract import Contract


@dataclasses.dataclass(frozen=True)
class Milliseconds:
    """Median and quartiles of the times of all rounds."""

    milliseconds: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Scores:
    """What networks are compared by, of one run. compared: the figure that decides, on the scale
    on which it is averaged: nats per word for a perplexity per word. others: the other figures."""

    parameters: int
    seconds: float | int  # of training
    compared: float | int
    others: dict[str, float | int]
    run: str = ""  # directory


@dataclasses.dataclass(frozen=True)
class SeedResult:
    """One run of a network. deciding: the figure that decides; None where it overflows. scale: the
    same on the scale on which it is averaged, if that is another."""

    seed: int
    deciding: dict[str, float | int | None]
    parameters: int
    seconds: float | int
    others: dict[str, float | int]
    scale: dict[str, float | int]
    run: str

    @classmethod
    def from_scores(cls, seed: int, scores: Scores, figure: Figure) -> SeedResult:
        """The result of the run of a seed. figure: the one that decides."""
        return cls(
            seed=seed,
            deciding=metrics.finite({figure.name: figure.from_scale(scores.compared)}),
            parameters=scores.parameters,
            seconds=scores.seconds,
            others=scores.others,
            scale={figure.scale_name: scores.compared} if figure.scale_name else {},
            run=scores.run,
        )


@dataclasses.dataclass(frozen=True)
class NetworkResult:
    """One network over all seeds; None stands for what is not known yet.

    cost_above_derived: share; None where it overflows. latency: by par.search.latency_table.CASES.
    change: how much worse it is than the derived network (par.evaluate.compare.statistics.worse).
    """

    names: tuple[str, ...]
    blocks: str
    random: bool
    cost: float | int
    cost_above_derived: float | None
    parameters: int | None
    latency: dict[str, Milliseconds] | None
    figures: dict[str, Interval | None]
    change: Interval | None
    seconds: float | int
    runs: tuple[SeedResult, ...]


@dataclasses.dataclass(frozen=True)
class Standing:
    """The rank of the derived network among random networks, or among all of equal cost.

    chance: how probable a rank as good as this would be for one more random network, or for one
    drawn from all with the derived one, (1 + as good) / (1 + all others). change: how much worse
    the others' mean is than the derived network, paired by seed. is_whole: whether the others are
    all networks of equal cost, named ones too.
    """

    better_than: int
    of: int
    without_attention: int
    chance: float
    change: Interval
    is_whole: bool


@dataclasses.dataclass(frozen=True)
class Interleaved:
    """The derived network beside the interleaved one: how much worse it is, and the share of time
    that it saves, by par.search.latency_table.CASES: median and quartiles over the rounds."""

    change: Interval | None
    saving: dict[str, Interval | None]


@dataclasses.dataclass(frozen=True)
class Goal:
    """Whether the paper's goal is met by the means, and whether the intervals say so, too; None:
    not known yet."""

    asked: str
    met: bool | None
    certain: bool | None
    sentence: str


@dataclasses.dataclass(frozen=True)
class Findings:
    """The statistics of a comparison. outcome: won, uncertain, lost or open. objective: of the
    runs; not on disk where it is the default one, as in files of earlier versions."""

    networks: tuple[NetworkResult, ...]  # the derived one first
    random: Standing | None
    interleaved: Interleaved
    goal: Goal
    outcome: str
    verdict: str
    seconds: float | int
    objective: str

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures by which networks are compared; the first decides."""
        return OBJECTIVES[self.objective].comparison

    @property
    def cases(self) -> tuple[str, ...]:
        """Those of par.search.latency_table.CASES that are measured."""
        return OBJECTIVES[self.objective].cases

    def to_json(self) -> dict[str, Any]:
        """Inverse of `from_json`."""
        found = _without_default(schema.encode(dict(vars(self))))
        for network in found["networks"]:
            network["runs"] = [
                _spliced(run, "deciding", "others", "scale") for run in network["runs"]
            ]
        return found | {
            "networks": [_spliced(network, "figures") for network in found["networks"]]
        }

    @classmethod
    def from_json(cls, value: dict[str, Any], where: str) -> Findings:
        """Raises: UsageError if a key is missing, unknown or of another type."""
        contract, value = _with_contract(value, where)
        first, *others = contract.comparison
        of_run = {
            "deciding": [first.name],
            "others": [figure.name for figure in others],
            "scale": [first.scale_name] if first.scale_name else [],
        }
        networks = []
        for network in schema.decode(tuple[dict[str, Any], ...], value.get("networks"), where):
            runs = schema.decode(tuple[dict[str, Any], ...], network.get("runs"), where)
            runs = [_gathered(run, of_run, where) for run in runs]
            of_network = {"figures": list(contract.compared)}
            networks.append(_gathered(network | {"runs": runs}, of_network, where))
        return schema.decode(cls, value | {"networks": networks}, where)


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of a comparison. cost: `latency` or `parameters`. networks_that_fit: how many
    there are of this cost, the derived and the named ones among them; None of an earlier version,
    which counted strings. others_that_fit: of them neither derived nor named."""

    search: str
    split: str
    seeds: tuple[int, ...]
    epochs: int
    match: str
    cost: str
    tolerance: float | int
    networks_that_fit: int | None
    others_that_fit: int


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The content of compare.json: the findings, then the settings."""

    findings: Findings
    settings: Settings

    def to_json(self) -> dict[str, Any]:
        """Inverse of `from_json`."""
        return self.findings.to_json() | schema.encode(self.settings)

    @classmethod
    def from_json(cls, value: Any, where: str) -> Comparison:
        """Raises: UsageError if a key is missing, unknown or of another type."""
        names = {field.name for field in dataclasses.fields(Settings)}
        value = _of_networks(schema.decode(dict[str, Any], value, where))
        settings = {name: item for name, item in value.items() if name in names}
        findings = {name: item for name, item in value.items() if name not in names}
        return cls(Findings.from_json(findings, where), schema.decode(Settings, settings, where))


def _of_networks(value: dict[str, Any]) -> dict[str, Any]:
    """The content of a compare.json; that of an earlier version, which drew strings with
    identities, with the keys of this one."""
    if "strings_that_fit" not in value:
        return value
    kept = {name: item for name, item in value.items() if name != "strings_that_fit"}
    if isinstance(kept.get("random"), dict):
        kept["random"] = kept["random"] | {"is_whole": False}
    return kept | {"networks_that_fit": None, "others_that_fit": value["strings_that_fit"]}


def _spliced(value: dict[str, Any], *names: str) -> dict[str, Any]:
    """`value` with the items of the dictionaries called `names` in the place of each."""
    made: dict[str, Any] = {}
    for name, item in value.items():
        made |= item if name in names else {name: item}
    return made


def _gathered(value: dict[str, Any], inner: dict[str, list[str]], where: str) -> dict[str, Any]:
    """Inverse of `_spliced`. inner: the keys of each dictionary. Raises: UsageError if one is
    missing."""
    moved = [key for keys in inner.values() for key in keys]
    if missing := [key for key in moved if key not in value]:
        raise UsageError(f"{where} must have the key {missing[0]}")
    kept = {name: item for name, item in value.items() if name not in moved}
    return kept | {name: {key: value[key] for key in keys} for name, keys in inner.items()}


def _without_default(value: dict[str, Any]) -> dict[str, Any]:
    """Leaves out the objective if it is the default one."""
    return {k: v for k, v in value.items() if (k, v) != ("objective", DEFAULT)}


def _with_contract(value: dict[str, Any], where: str) -> tuple[Contract, dict[str, Any]]:
    """What the objective says, and `value` with its name. Raises: UsageError for another."""
    value = {"objective": DEFAULT} | value
    name = schema.decode(str, value["objective"], f"{where}: objective")
    if name not in OBJECTIVES:
        raise UsageError(
            f"{where}: objective must be one of {', '.join(OBJECTIVES)}, but is {name[:80]!r}"
        )
    return OBJECTIVES[name], value


@dataclasses.dataclass(frozen=True)
class AblationRun:
    """One run of a row, with a seed unless its weights are the search's. valid, test: its figures;
    the one that decides on the scale on which it is averaged."""

    seed: int | None
    run: str
    parameters: int
    seconds: float | int
    valid: dict[str, float | int]
    test: dict[str, float | int]


@dataclasses.dataclass(frozen=True)
class AblationRow:
    """A SuperNet, or what is derived from it. steps, seconds: of its own training, 0 where the
    weights are the search's; None: not known yet. valid, test: figures over all seeds."""

    name: str
    blocks: str
    steps: int
    seconds: float | int | None
    steps_with_search: int
    seconds_with_search: float | int | None
    valid: dict[str, Interval] | None
    test: dict[str, Interval] | None
    runs: tuple[AblationRun, ...]


@dataclasses.dataclass(frozen=True)
class Ablation:
    """The content of truth.json. fine_tuned_against_scratch: how much worse fine-tuning is than
    training from scratch. objective: as in `Findings`."""

    search: str
    blocks: str
    seeds: tuple[int, ...]
    epochs: int
    fine_tune_epochs: int
    fine_tune_lr: float | int
    rows: tuple[AblationRow, ...]
    fine_tuned_against_scratch: Interval | None
    objective: str

    @property
    def figures(self) -> tuple[Figure, ...]:
        """The figures of the table; the first decides."""
        return OBJECTIVES[self.objective].comparison

    def to_json(self) -> dict[str, Any]:
        """Inverse of `from_json`: a row without scores has no keys for them."""
        value = _without_default(schema.encode(dict(vars(self))))
        for row in value["rows"]:
            for split in ("valid", "test"):
                if row[split] is None:
                    del row[split]
        return value

    @classmethod
    def from_json(cls, value: Any, where: str) -> Ablation:
        """Raises: UsageError if a key is missing, unknown or of another type."""
        contract, value = _with_contract(schema.decode(dict[str, Any], value, where), where)
        rows = value.get("rows")
        if isinstance(rows, list):
            rows = [
                {"valid": None, "test": None} | row if isinstance(row, dict) else row
                for row in rows
            ]
        made = schema.decode(cls, value | {"rows": rows}, where)
        for row in made.rows:
            known = [set(split) for split in (row.valid, row.test) if split is not None]
            if any(names != set(contract.compared) for names in known):
                raise UsageError(f"{where} must have the figures {', '.join(contract.compared)}")
        return made
