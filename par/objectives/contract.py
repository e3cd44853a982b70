"""What an objective says of itself, known without TensorFlow.

Everything outside par.objectives works with this value and with the network of the objective
(`Contract.network_class`), and knows no objective by name.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from par.core.config import ModelConfig
from par.core.errors import UsageError
from par.core.metrics import Figure, Sums
from par.core.setting_group import Group
from par.data.manifest import Manifest
from par.search import latency_table
from par.search.latency_table import CASES

READS = ("stream", "documents")


class Ranking(NamedTuple):
    """A figure that is the area under the ROC curve (par.core.auc) of the scores of an evaluation:
    tokens whose `label`, a part, is 1 are to have higher ones. Counted are those where score and
    `among`, another name of `Contract.scored`, have a weight."""

    figure: str
    score: str
    label: str
    among: str = ""


class Helper(NamedTuple):
    """A network beside the trunk of the run's architecture, as far as its cost goes. blocks: ""
    for those of the run. predicted: for how many tokens of a row its softmax is computed;
    is_trained: whether it has a gradient; texts: rows that it reads beside each of the trunk's, 0:
    those of the trunk; on_base: whether it, too, reads the base of a run that has one."""

    blocks: str
    model: ModelConfig
    predicted: int
    is_trained: bool
    texts: int = 0
    on_base: bool = True


@dataclasses.dataclass(frozen=True)
class Contract:
    """An objective as commands, histories and reports see it.

    network: `module:class` of its network, which needs TensorFlow. settings: its own group, None
    if it has none. check: refuses settings of a run that do not go together. settle: from a run
    that is about to be made, its settings with what its data, or a run that it names, decide.
    teacher: from settings, the run whose weights its layers `teacher` and `teacher_head` begin
    with and keep; "": none.

    generates: whether the network gives the probability of the next token, so that it can write
    text. fills: whether it gives the probabilities of masked pieces, so that it can fill them in,
    and an evaluation scores the masked tokens of par.objectives.masking. detects: whether it tells
    which tokens were replaced. predicts: whether there is something to score: a composed model has
    hidden states alone. instead: what to use in
    the place of what it can't. yardsticks: names of what a network must beat
    (par.evaluate.yardsticks). exports: the functions of its exports, by their names in
    par.export.saved_model; every network has `embed`. visibility: causal or bidirectional, what a
    token of a window sees of it.
    carries_memory: whether a window begins with the memory of the one before. draws: how often an
    evaluation goes over a split, where the objective draws what is scored. parts: names of the
    figures that are means of their own sums, beside the mean that is minimised; training_parts:
    those of them that are summed in training, too, where every step pays for them. predicted: from
    settings and T, for how many tokens of a row the softmax is computed in training. helpers: from
    settings, the network's and T, the other networks that a training step computes. unit: what the
    mean is over, in a word for the line of a run that trains.
    token_values: what an evaluation yields of every token beside the parts, for `rankings`, the
    figures that no sum gives. detectors: names of what is scored in the same way without a network
    (par.evaluate.detectors), from the value `seen`. must_beat: of each evaluation, the name of a
    figure, and of that which it must be better than; helps: what may, where it is not.

    reads: `stream`, the windows of the records, or `documents`, what its network draws of them
    (par.objectives.document_reader). check_data: refuses data in which there is nothing to draw.
    read_shape: from settings, B, T and M the rows, T and M of what the trunk reads in a training
    step. shared: names of the tensors of a batch that every replica needs whole, as rows are
    compared with each other. encodes: whether the network has an encoding of its own for a text;
    halves: from settings, the kinds of context for which it has one of their own heads' besides.

    shares_table: from settings, the one that needs embeddings of the trunk's own, as `name=value`,
    so that it can't read a base instead; "" if none does.

    layers_from: from settings and the name of another objective, which layers of a run of it a
    warm start copies, by the names of its own, `LAYER/embedding` for a table alone. of_layers:
    names of the settings that give its layers a shape. check_source: refuses, from the settings of
    a run, those of the one that its weights are from (None: random ones) and which layers are
    copied, what can't be trained from there.

    figures: of an evaluation, in order; the first, the headline, decides which checkpoint is the
    best. `nll_per_token`, the mean that training minimises, is one of them. compared: names of
    those by which networks are compared; the first decides. tracked: name of the one that is shown
    while a run trains, which depends on that mean alone. charts: pages of TensorBoard, the name of
    a figure for each line.
    """

    name: str
    network: str
    visibility: str
    generates: bool
    figures: tuple[Figure, ...]
    compared: tuple[str, ...]
    tracked: str
    charts: Mapping[str, Mapping[str, str]]
    carries_memory: bool = True
    reads: str = "stream"
    read_shape: Callable[[Any, int, int, int], tuple[int, int, int]] = (
        lambda settings, batch_size, seq_len, mem_len: (batch_size, seq_len, mem_len)
    )
    shared: tuple[str, ...] = ()
    encodes: bool = False
    parts: tuple[str, ...] = ()
    training_parts: tuple[str, ...] = ()
    yardsticks: tuple[str, ...] = ()
    token_values: tuple[str, ...] = ()
    rankings: tuple[Ranking, ...] = ()
    detectors: tuple[str, ...] = ()
    must_beat: Mapping[str, str] = dataclasses.field(default_factory=dict)
    draws: int = 1
    unit: str = "tok"
    fills: bool = False
    detects: bool = False
    predicts: bool = True
    shares_table: Callable[[Any], str] = lambda settings: ""
    instead: str = ""
    helps: str = ""
    layers_from: Callable[[Any, str], Mapping[str, str]] = lambda settings, objective: {}
    of_layers: tuple[str, ...] = ()
    check_source: Callable[[Any, Any, str], None] = lambda config, source, layers: None
    exports: tuple[str, ...] = ("embed",)
    predicted: Callable[[Any, int], int] = lambda settings, seq_len: seq_len
    helpers: Callable[[Any, ModelConfig, int], tuple[Helper, ...]] = lambda *of: ()
    halves: Callable[[Any], tuple[str, ...]] = lambda settings: ()
    settings: type[Group] | None = None
    check: Callable[[Any], None] = lambda config: None
    settle: Callable[[Any, Path, Manifest, Callable], Any] = (
        lambda config, data_dir, manifest, load: config.objective_settings
    )
    teacher: Callable[[Any], str] = lambda settings: ""
    check_data: Callable[[Any, Path, Manifest], None] = lambda config, data_dir, manifest: None

    def __post_init__(self) -> None:
        if self.visibility not in ("causal", "bidirectional"):
            raise ValueError(f"{self.name} must be causal or bidirectional")
        if self.reads not in READS:
            raise ValueError(f"{self.name} must read one of {', '.join(READS)}")
        known = [figure.name for figure in self.figures]
        lines = [name for lines in self.charts.values() for name in lines.values()]
        own = [*self.parts, *self.compared, self.tracked, *lines, *self.ranked]
        for name in ("nll_per_token", *own, *self.must_beat, *self.must_beat.values()):
            if name not in known:
                raise ValueError(f"{self.name} has no figure {name}, but {', '.join(known)}")
        scored = {*self.scored, *self.detectors}
        for figure, *names in self.rankings:
            if not set(filter(None, names)) <= scored:
                raise ValueError(f"{self.name} ranks {figure} by what an evaluation has not")
        if not set(self.training_parts) <= set(self.parts):
            raise ValueError(f"{self.name} sums parts in training that an evaluation has not")

    @property
    def scored(self) -> tuple[str, ...]:
        """The names of what an evaluation yields of every token."""
        return ("nll", *self.parts, *self.token_values)

    @property
    def ranked(self) -> tuple[str, ...]:
        """The names of the figures that are rankings."""
        return tuple(ranking.figure for ranking in self.rankings)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the figures."""
        return tuple(figure.name for figure in self.figures)

    def figure(self, name: str) -> Figure:
        """The figure of a name."""
        return next(figure for figure in self.figures if figure.name == name)

    @property
    def headline(self) -> Figure:
        """The figure that decides which checkpoint is the best."""
        return self.figures[0]

    @property
    def tabled(self) -> tuple[Figure, ...]:
        """The figures that tables of scores show: all but details, and of a loss and its
        perplexity only the perplexity."""
        known = {figure.scale_name for figure in self.figures}
        return tuple(figure for figure in self.shown if figure.name not in known)

    @property
    def shown(self) -> tuple[Figure, ...]:
        """The figures that are no details."""
        return tuple(figure for figure in self.figures if not figure.is_detail)

    @property
    def comparison(self) -> tuple[Figure, ...]:
        """The figures by which networks are compared; the first decides."""
        return tuple(map(self.figure, self.compared))

    @property
    def live(self) -> Figure:
        """The figure of the line that shows how training stands: the first one compared, if
        training knows it."""
        name = self.compared[0]
        is_known = name not in (*self.parts, *self.ranked) or name in self.training_parts
        return self.figure(name if is_known else self.tracked)

    def unbeaten(self, scores: Mapping[str, float | None]) -> list[tuple[Figure, Figure]]:
        """The figures of an evaluation that are not better than what they must beat, and those."""
        found = [(self.figure(name), self.figure(of)) for name, of in self.must_beat.items()]
        known = [pair for pair in found if all(_is_number(scores[each.name]) for each in pair)]
        return [
            (own, other)
            for own, other in known
            if not own.is_better(scores[own.name], scores[other.name])
        ]

    def warnings(self, network: str, split: str, scores: Mapping[str, float | None]) -> list[str]:
        """A line for each figure of a network on a split that does not beat what it must."""
        return [
            f"{network} does not beat the {other.brief} on {split}, {own.label}"
            f" {own.text(scores[own.name])} against {other.text(scores[other.name])}:"
            f" {self.helps}"
            for own, other in self.unbeaten(scores)
        ]

    def tracked_value(self, nll_per_token: float) -> float:
        """The figure that is shown in training, from the mean that is minimised (nats)."""
        return self.figure(self.tracked).value(Sums(nll_per_token, 1.0))

    @property
    def cases(self) -> tuple[str, ...]:
        """Those of par.search.latency_table.CASES that its networks have."""
        return tuple(
            case for case in CASES if self.generates or case not in latency_table.CASES_OF_SOME
        )

    def default_settings(self) -> Group | None:
        """Its settings as they are if none is given."""
        return self.settings() if self.settings else None

    @property
    def reads_documents(self) -> bool:
        """Whether its elements are drawn from documents, not cut from the stream."""
        return self.reads == "documents"

    @property
    def scores_tokens_of_documents(self) -> bool:
        """Whether tokens of every document are scored, on which networks can be compared one by
        one."""
        return self.reads_documents and self.unit == "tok"

    def check_generates(self, what: str, run: object) -> None:
        """Raises: UsageError, saying `what` needs it, unless the networks of this objective give
        the probability of the next token."""
        if not self.generates:
            raise self._refusal(f"{what} needs a run that predicts the next token", run)

    def check_fills(self, what: str, run: object) -> None:
        """Raises: UsageError, saying `what` needs it, unless the networks of this objective give
        the probabilities of masked pieces."""
        if not self.fills:
            raise self._refusal(f"{what} needs a run that predicts masked pieces", run)

    def check_predicts(self, what: str, run: object) -> None:
        """Raises: UsageError, saying `what` needs it, unless there is something to score."""
        if not self.predicts:
            raise self._refusal(f"{what} needs a run that predicts something", run)

    def check_detects(self, what: str, run: object) -> None:
        """Raises: UsageError, saying `what` needs it, unless the networks of this objective tell
        replaced tokens."""
        if not self.detects:
            raise self._refusal(f"{what} needs a run that tells replaced tokens", run)

    def _refusal(self, needs: str, run: object) -> UsageError:
        instead = f": {self.instead}" if self.instead else ""
        return UsageError(f"{needs}, but {run} is {self.name}{instead}")

    def network_class(self) -> type:
        """The class of its network. Imports TensorFlow."""
        module, _, name = self.network.partition(":")
        return getattr(importlib.import_module(module), name)


def _is_number(value: float | None) -> bool:
    return value is not None and math.isfinite(value)
