"""Trains one run: writes its settings, builds or continues it, shows how it stands."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path

from par.core.config import LoggingConfig
from par.train import run_directory
from par.train.distributed.workers import Workers
from par.train.hooks import Hooks
from par.train.logs import write_environment
from par.train.run_config import RunConfig
from par.train.status_line import StatusLine
from par.train.trainer import Trainer


def train(
    run_dir: Path,
    config: RunConfig,
    data_dir: Path,
    logging: LoggingConfig,
    *,
    hooks: Hooks,
    announce: Callable[[str], None],
    should_stop: Callable[[int], bool] = lambda step: False,
    until: int | None = None,
    source: Path | None = None,
    base_run: Path | None = None,
    team: Workers | None = None,
    quiet: bool = False,
) -> Trainer:
    """Trains a run to its end, or to step `until`, from the beginning or from its newest
    checkpoint. The directory is locked by the caller (par.train.run_directory.locked).

    hooks, source, base_run, team: as in `Trainer`; none but the chief of a team writes to the
    run's directory. quiet: only warnings are announced, and no progress is shown.
    Raises: what `Trainer.run` raises.
    """
    team = team or Workers()
    with contextlib.ExitStack() as held:
        if not team.is_chief:  # announces nothing, and its logs go to a temporary directory
            run_dir = Path(held.enter_context(tempfile.TemporaryDirectory()))
            announce = _ignore

        def configure() -> None:
            if not (run_dir / "config.json").is_file():
                is_base = base_run and config.base
                is_base = is_base and run_directory.run_name(base_run) == config.base.run
                own = base_run if is_base else None  # not one that carries it
                config.write_flags(run_dir, data_dir, logging, source, own)
                config.save(run_dir, data_dir)
            write_environment(run_dir, team.replicas.count)

        team.from_chief(configure)
        trainer = Trainer(
            run_dir,
            config,
            data_dir,
            logging,
            hooks=hooks,
            announce=announce,
            source=source,
            base_run=base_run,
            team=team,
        )
        trainer.restore()
        if not quiet:
            announce(_first_line(trainer))
        split = trainer.manifest.splits["train"]
        with StatusLine(
            config.architecture.short,
            trainer.total,
            trainer.step,
            split.tokens / split.words,
            config.contract.live,
            quiet or not team.is_chief,
            config.contract.training_parts,
            config.contract.unit,
        ) as progress:
            trainer.run(progress, should_stop, until)
    return trainer


def _first_line(trainer: Trainer) -> str:
    config, verb = trainer.config, "continuing" if trainer.step else "training"
    begun = ""
    if config.init:
        begun = f", begun with {config.init.what} at step {config.init.step}"
    if config.base:
        begun += f", on {config.base.text}"
    return (
        f"{verb} {config.architecture.blocks} in {trainer.run_dir}{begun}: step {trainer.step} of"
        f" {trainer.total}"
    )


def _ignore(line: str) -> None:
    """Announces nothing."""
