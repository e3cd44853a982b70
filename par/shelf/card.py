"""The card of a network on a shelf: what it is, where it comes from, its licence, its scores in
training, and the lines that load it. Its text is templates/card.md.j2."""

from __future__ import annotations

from pathlib import Path

from par.data import named_corpora
from par.data.manifest import Manifest
from par.export import model_card
from par.shelf.entry import About
from par.train import history
from par.train.run_config import RunConfig

NOT_STATED = "not stated"
TEMPLATES = Path(__file__).with_name("templates")


def licence_of(manifest: Manifest, config: RunConfig | None = None) -> str:
    """The licence of the corpus that a data set was made of, if it is known. config: of a network
    trained on it; then not where a part of it was trained on other data, whose licence is not
    known here."""
    if config is not None and config.train_hashes != {config.data.train_sha256}:
        return NOT_STATED
    return named_corpora.LICENCES.get(manifest.settings["corpus"], NOT_STATED)


def render(about: About, config: RunConfig, manifest: Manifest, run_dir: Path) -> str:
    """The text of the card. Raises: DataError if the run's history is damaged."""
    heads, rows = [], []
    if config.contract.predicts:
        heads, *rows = history.evaluations(history.read_run(run_dir).rows, config.contract)
    return (
        model_card.environment(TEMPLATES, model_card.TEMPLATES)
        .get_template("card.md.j2")
        .render(
            about=about,
            config=config,
            model=config.model,
            architecture=config.architecture,
            kinds=model_card.counted_kinds(config.architecture),
            use="",
            precision=config.model.precision,
            contract=config.contract,
            manifest=manifest,
            licence=licence_of(manifest),
            heads=heads,
            rows=rows,
        )
    )
