"""The results of a comparison as typed values: compare.json and truth.json hold them.

The order of the fields is the order of the keys on disk.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from par.core import metrics, schema
from par.core.stats import Interval


@dataclasses.dataclass(frozen=True)
class Milliseconds:
    """Median and quartiles of the times of all rounds."""

    milliseconds: float
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class Scores:
    """The figures of one run that networks are compared by."""

    parameters: int
    seconds: float | int  # of training
    bits_per_byte: float | int
    nll_per_word: float | int  # nats
    run: str = ""  # directory


@dataclasses.dataclass(frozen=True)
class SeedResult:
    """One run of a network. perplexity_per_word: None where it overflows."""

    seed: int
    perplexity_per_word: float | None
    parameters: int
    seconds: float | int
    bits_per_byte: float | int
    nll_per_word: float | int
    run: str

    @classmethod
    def from_scores(cls, seed: int, scores: Scores) -> SeedResult:
        """The result of the run of a seed."""
        perplexity = metrics.perplexity(scores.nll_per_word)
        return cls(
            seed=seed,
            **metrics.finite({"perplexity_per_word": perplexity}),
            **dataclasses.asdict(scores),
        )


@dataclasses.dataclass(frozen=True)
class NetworkResult:
    """One network over all seeds; None stands for what is not known yet.

    cost_above_derived: share; None where it overflows. latency: by par.search.latency_table.CASES.
    change: share by which the perplexity per word lies above the derived network's.
    """

    names: tuple[str, ...]
    blocks: str
    random: bool
    cost: float | int
    cost_above_derived: float | None
    parameters: int | None
    latency: dict[str, Milliseconds] | None
    perplexity_per_word: Interval | None
    bits_per_byte: Interval | None
    change: Interval | None
    seconds: float | int
    runs: tuple[SeedResult, ...]


@dataclasses.dataclass(frozen=True)
class Standing:
    """The rank of the derived network among random networks, or among all of equal cost.

    chance: how probable a rank as good as this would be for one more random network, or for one
    drawn from all with the derived one, (1 + as good) / (1 + all others). change: share by which
    the perplexity of the others' mean (of the nll) lies above the derived network's, paired by
    seed. is_whole: whether the others are all networks of equal cost, named ones too.
    """

    better_than: int
    of: int
    without_attention: int
    chance: float
    change: Interval
    is_whole: bool


@dataclasses.dataclass(frozen=True)
class Interleaved:
    """The derived network beside the interleaved one: change of perplexity, and the share of time
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
    """The statistics of a comparison. outcome: won, uncertain, lost or open."""

    networks: tuple[NetworkResult, ...]  # the derived one first
    random: Standing | None
    interleaved: Interleaved
    goal: Goal
    outcome: str
    verdict: str
    seconds: float | int


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
        return schema.encode(self.findings) | schema.encode(self.settings)

    @classmethod
    def from_json(cls, value: Any, where: str) -> Comparison:
        """Raises: UsageError if a key is missing, unknown or of another type."""
        names = {field.name for field in dataclasses.fields(Settings)}
        value = _of_networks(schema.decode(dict[str, Any], value, where))
        settings = {name: item for name, item in value.items() if name in names}
        findings = {name: item for name, item in value.items() if name not in names}
        return cls(
            schema.decode(Findings, findings, where), schema.decode(Settings, settings, where)
        )


def _of_networks(value: dict[str, Any]) -> dict[str, Any]:
    """The content of a compare.json; that of an earlier version, which drew strings with
    identities, with the keys of this one."""
    if "strings_that_fit" not in value:
        return value
    kept = {name: item for name, item in value.items() if name != "strings_that_fit"}
    if isinstance(kept.get("random"), dict):
        kept["random"] = kept["random"] | {"is_whole": False}
    return kept | {"networks_that_fit": None, "others_that_fit": value["strings_that_fit"]}


@dataclasses.dataclass(frozen=True)
class SplitScores:
    """The scores of a run on one split."""

    nll_per_word: float | int
    bits_per_byte: float | int


@dataclasses.dataclass(frozen=True)
class AblationRun:
    """One run of a row, with a seed unless its weights are the search's."""

    seed: int | None
    run: str
    parameters: int
    seconds: float | int
    valid: SplitScores
    test: SplitScores


@dataclasses.dataclass(frozen=True)
class SplitResult:
    """The scores of a network on one split over all seeds."""

    perplexity_per_word: Interval
    bits_per_byte: Interval


@dataclasses.dataclass(frozen=True)
class AblationRow:
    """A SuperNet, or what is derived from it. steps, seconds: of its own training, 0 where the
    weights are the search's; None: not known yet."""

    name: str
    blocks: str
    steps: int
    seconds: float | int | None
    steps_with_search: int
    seconds_with_search: float | int | None
    valid: SplitResult | None
    test: SplitResult | None
    runs: tuple[AblationRun, ...]


@dataclasses.dataclass(frozen=True)
class Ablation:
    """The content of truth.json. fine_tuned_against_scratch: share by which the perplexity of
    fine-tuning lies above that from scratch."""

    search: str
    blocks: str
    seeds: tuple[int, ...]
    epochs: int
    fine_tune_epochs: int
    fine_tune_lr: float | int
    rows: tuple[AblationRow, ...]
    fine_tuned_against_scratch: Interval | None

    def to_json(self) -> dict[str, Any]:
        """Inverse of `from_json`: a row without scores has no keys for them."""
        value = schema.encode(dict(vars(self)))
        for row in value["rows"]:
            for split in ("valid", "test"):
                if row[split] is None:
                    del row[split]
        return value

    @classmethod
    def from_json(cls, value: Any, where: str) -> Ablation:
        """Raises: UsageError if a key is missing, unknown or of another type."""
        value = schema.decode(dict[str, Any], value, where)
        rows = value.get("rows")
        if isinstance(rows, list):
            rows = [
                {"valid": None, "test": None} | row if isinstance(row, dict) else row
                for row in rows
            ]
        return schema.decode(cls, value | {"rows": rows}, where)
