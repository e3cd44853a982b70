"""The hooks of a training run: scores on the valid split, the architecture so far, and a text that
the network writes or fills."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from par.data.manifest import Manifest
from par.evaluate import evaluation
from par.evaluate.filled_sentences import FilledSentences
from par.evaluate.generation import Sampler
from par.evaluate.replaced_passages import ReplacedPassages
from par.objectives.contract import Contract
from par.search import derive
from par.train.hooks import EpochEnd, Hooks
from par.train.learner import Learner
from par.train.status_line import decided_blocks


def training_hooks(*pictures: Callable[[EpochEnd], None]) -> Hooks:
    """New hooks for one run. pictures: further ones, called at the end of an epoch before those
    that show text."""
    return Hooks(valid_scores, (*pictures, show_architecture, SampleText()))


def valid_scores(
    learner: Learner, data_dir: Path, manifest: Manifest
) -> Iterator[tuple[str, dict[str, float]]]:
    """The figures of the valid split by way of evaluation, each computed when it is asked for."""
    for way in evaluation.ways(learner):
        yield way, evaluation.score(learner, data_dir, manifest, "valid", way)


def show_architecture(end: EpochEnd) -> None:
    """Writes the kinds of a search's blocks to TensorBoard."""
    if end.learner.logits and end.has_picture:
        pi = end.learner.pi
        end.logs.architecture(end.step, derive.argmax(pi), decided_blocks(pi))


Shown = Sampler | FilledSentences | ReplacedPassages


def sampler_of(contract: Contract) -> type[Shown] | None:
    """What shows the texts of an objective's networks; None if they have none."""
    if contract.generates:
        return Sampler
    if contract.detects:
        return ReplacedPassages
    return FilledSentences if contract.fills else None


class SampleText:
    """Writes a text by the network every `sample_every` epochs and at the end of the run."""

    def __init__(self) -> None:
        self._sampler: Shown | None = None

    def __call__(self, end: EpochEnd) -> None:
        if (make := sampler_of(end.learner.config.contract)) is None:
            return
        every = end.logging.sample_every
        if not end.is_last and not (every and end.epoch % every == 0):
            return
        if self._sampler is None:
            self._sampler = make(end.learner, end.data_dir, end.logging.sample_length)
        if text := self._sampler.text():
            end.logs.sample(end.step, end.epoch, text)
