"""Trains a network on records: a search (stochastic blocks) or a fixed string, by the same loop.

    python tools/train.py --data=data/python-docs --recipe=quick
        search among 6 stochastic blocks
    python tools/train.py --data=data/python-docs --recipe=quick --architecture=aaddid
        train a fixed network
    python tools/train.py --data=... --architecture=logs/RUN/architecture.json
        train what a search found
    python tools/train.py --data=... --architecture=logs/RUN/architecture.json --init_from=logs/RUN
        ... from the weights of that search
    python tools/train.py --data=... --num_seeds=6
        the same six times, seed by seed

Writes logs/<run>/ (config, checkpoints, history, training_log.log, TensorBoard) and prints the
table of iterations and the run's path. The same command again continues a run, or says that it is
done. With --num_seeds each seed is a run of its own, logs/<run>/seed0 and so on, and the table has
one row for each seed, with their mean and spread; more seeds can be added later.

With --distribute devices or machines share the rows of every batch; the figures are those of one
device except for their last digits, and a run may continue with another number of devices
(docs/scaling.md).

With --init_from the weights begin as those of another run of the same sizes and tokenizer, block
by block; optimizers, step and rates start afresh. With --init_layers=trunk only embedding and
blocks are copied, and the other run may have another objective or other cutoffs. A run that has
saved a checkpoint no longer needs the other.

With --base the network is a tower: it reads the hidden states of another run, or of a model that
tools/compose.py made, instead of embeddings. The base stays as it is, unless --nofreeze_base
trains all of it, or --unfreeze a part; the run carries a copy of it (docs/composition.md).
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import contextlib
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from absl import flags

from par.core import processes, schema
from par.core.config import NONE, LoggingConfig, ModelConfig, SearchConfig, TrainingConfig
from par.core.errors import DataError, StoppedError, UsageError
from par.core.progress import announce
from par.core.text import plural
from par.data import records
from par.data.characters.letters import character_tokenizer
from par.evaluate.yardsticks import store
from par.nn.base import Base
from par.objectives import OBJECTIVES
from par.search import architecture, derive, latency_table
from par.tools.cli.checks import required_dir
from par.tools.cli.flags import Flags, choice, define_path
from par.tools.cli.shelved import define_run
from par.tools.cli.tensorflow import start_tensorflow
from par.train import base_run, history, run_config, run_directory, seeds, warm_start
from par.train.distributed import cluster

FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        (define_path, "data", None, "directory that tools/build_data.py made"),
        (
            define_path,
            "architecture",
            "",
            "blocks such as adadad, 6s, 4a2d, 3(ad), or the path of an architecture.json",
        ),
        (
            flags.DEFINE_integer,
            "num_blocks",
            6,
            "short for --architecture=Ns; without effect beside --architecture",
        ),
        (
            flags.DEFINE_integer,
            "num_seeds",
            None,
            (
                "train this many seeds from --seed upwards, each in its own directory"
                " below the run's"
            ),
        ),
        (
            define_run,
            "init_from",
            None,
            (
                "run whose weights are copied at the start, such as the search that"
                " gave the architecture, or shelf:NAME@TAG"
            ),
        ),
        (
            choice("last", "best"),
            "init_checkpoint",
            "last",
            "which checkpoint of --init_from: the last, or the best by valid nll",
        ),
        (
            choice(*run_config.INIT_LAYERS),
            "init_layers",
            run_config.INIT_LAYERS[0],
            (
                "which weights of --init_from: all, or those of the trunk, which may be of a run"
                " of another objective"
            ),
        ),
        (
            define_run,
            "base",
            None,
            (
                "run, composed model, or shelf:NAME@TAG, whose hidden states the network reads"
                " instead of embeddings"
            ),
        ),
        (
            choice("last", "best"),
            "base_checkpoint",
            "last",
            "which checkpoint of --base: the last, or the best by valid nll",
        ),
        (
            flags.DEFINE_bool,
            "freeze_base",
            True,
            "leave the weights of --base as they are; else all of them are trained, too",
        ),
        (
            flags.DEFINE_multi_string,
            "unfreeze",
            [],
            "a part of a frozen --base that is trained, by its name",
        ),
        (
            define_path,
            "run",
            None,
            "run directory; the default is logs/ and a name made from the settings",
        ),
        (
            define_path,
            "recipe",
            "",
            (
                "settings by name (quick, base, seed), auto (quick for a text below 4 MB, else"
                " base), or a .flags file; flags given here come first"
            ),
        ),
        (
            define_path,
            "latency_table",
            None,
            (
                "table of tools/measure_latency.py at this shape: fills --latency_ms, which the"
                " run keeps"
            ),
        ),
        (
            choice("none", "mirrored", "multi_worker"),
            "distribute",
            "none",
            (
                "share every batch among devices: of this machine (mirrored), or of the machines"
                " that TF_CONFIG names (multi_worker)"
            ),
        ),
        (
            flags.DEFINE_integer,
            "num_devices",
            0,
            "with mirrored: number of GPUs, 0 for all; without a GPU, number of parts of the CPU",
        ),
        (
            flags.DEFINE_bool,
            "print_run",
            False,
            "print the run directory that these flags name, and do nothing",
        ),
        (
            flags.DEFINE_bool,
            "dry_run",
            False,
            "print parameters, FLOPs, memory and the estimated time, and do nothing",
        ),
        (flags.DEFINE_bool, "json", False, "print one JSON line"),
        (
            flags.DEFINE_bool,
            "quiet",
            False,
            "show no progress: only warnings, errors and the result",
        ),
    )
    .objectives()
    .group(ModelConfig, "Network")
    .group(SearchConfig, "Search")
    .group(TrainingConfig, "Training")
    .group(LoggingConfig, "Logging (may change when a run is continued)")
)


def configure(values: Flags) -> tuple[run_config.RunConfig, Path, Path]:
    """The configuration of the flags and the manifest, the data directory, the run directory."""
    data_dir = required_dir(values.data, "data", "manifest.json")
    manifest = records.load(data_dir)
    blocks = _blocks(values)
    model = values.read(ModelConfig, **({"cutoffs": ()} if _auto(values) else {}))
    model.check_vocabulary(manifest.vocab_size, f"; --cutoffs={NONE} for plain softmax")
    name = Path(values.recipe).stem if values.recipe else "custom"
    table = (
        {"latency_ms": latency_table.load(values.latency_table).costs(values.latency_of)}
        if values.latency_table
        else {}
    )
    search = values.read(SearchConfig, **table)
    init = (
        warm_start.requested_origin(source, values.init_checkpoint, values.init_layers)
        if (source := _source(values))
        else None
    )
    config = run_config.RunConfig(
        blocks,
        model,
        search,
        values.read(TrainingConfig),
        run_config.DataIdentity.from_manifest(manifest, OBJECTIVES[values.objective]),
        objective=values.objective,
        recipe=name,
        init=init,
        objective_settings=values.read_objective(),
        base=_base(values),
    ).canonical.settled(data_dir, manifest)
    if model.downsample > 1:
        character_tokenizer(data_dir, f"--downsample={model.downsample}")
    config.contract.check_data(config, data_dir, manifest)
    # a damaged one is refused now, not when the training has ended
    store.load_all(data_dir, config.contract.yardsticks)
    settled = {"cutoffs": "auto"} if _auto(values) else {}
    run_dir = (
        Path(values.run)
        if values.run
        else Path("logs") / config.default_name(values.num_seeds is not None, **settled)
    )
    made = _made(run_dir, run_dir if values.num_seeds is not None else None)
    if not source:
        config.contract.check_source(config, None, "")
    else:
        if not made:
            required_dir(values.init_from, "init_from", "config.json")
        config = warm_start.with_origin(config, source, made)
    if config.base:
        config = base_run.with_base(config, Path(values.base), made)
    _check_table(values, config)
    if made:
        config = run_config.in_spelling_of(run_config.load(made)[0], config)
    return config, data_dir, run_dir


def _blocks(values: Flags) -> architecture.Architecture:
    """The architecture that the flags name."""
    if not values.architecture and values.num_blocks < 1:
        raise UsageError(f"--num_blocks must be at least 1, but is {values.num_blocks}")
    return architecture.parse(values.architecture or f"{values.num_blocks}s")


def _spelling(asked: architecture.Architecture, config: run_config.RunConfig) -> str:
    """A line that says which network is trained where it is spelled otherwise, or ''."""
    trained = config.architecture
    if asked.blocks == trained.blocks:
        return ""
    weights = f"; it takes the weights of the blocks of {config.places}" if config.init else ""
    nothing = ", the network of no blocks" if trained.network == "i" else ""
    return (
        f"architecture: {asked.blocks} is the network {trained.short}{nothing}, as identity adds"
        f" nothing: {trained.short} is trained{weights}"
    )


def _source(values: Flags) -> Path | None:
    """The run that the weights are from. Raises: UsageError for an empty name, --init_checkpoint
    alone, or beside settings still to be found."""
    if values.init_from == "":
        raise UsageError(
            "--init_from is empty: name the run whose weights this one begins with, or leave the"
            " flag out"
        )
    if values.init_from and _auto(values):
        raise UsageError(
            "--cutoffs=auto may find others than those that the weights of --init_from are for:"
            " give that run's own --cutoffs"
        )
    for name, default in (("init_checkpoint", "last"), ("init_layers", "all")):
        if (value := getattr(values, name)) != default and not values.init_from:
            raise UsageError(f"--{name}={value} needs --init_from=RUN")
    return Path(values.init_from) if values.init_from else None


def _base(values: Flags) -> Base | None:
    """The base that the flags name. Raises: UsageError for an empty name, flags of a base without
    one, or a base beside a warm start."""
    if values.base is None:
        for name in ("base_checkpoint", "freeze_base", "unfreeze"):
            if values[name].present:
                raise UsageError(
                    f"--{name} has no effect without --base=RUN: add it, or leave it out"
                )
        return None
    if not values.base:
        raise UsageError(
            "--base is empty: name the run whose hidden states the network reads, or leave the"
            " flag out"
        )
    if values.init_from:
        raise UsageError(
            "--base and --init_from both say where weights are from: --base=RUN puts a new network"
            " on a run, --init_from=RUN begins the network with its weights; give one of them"
        )
    return base_run.requested_base(
        Path(values.base), values.base_checkpoint, values.freeze_base, values.unfreeze
    )


def _made(run_dir: Path, group: Path | None) -> Path | None:
    """The run if it exists, else one of the same settings: of another seed."""
    others = seeds.find_runs(group).values() if group else ()
    return next((path for path in (run_dir, *others) if (path / "config.json").is_file()), None)


def _check_table(values: Flags, config: run_config.RunConfig) -> None:
    """Raises: DataError, with both values, if the latency table is for another shape; UsageError
    where the shape is still to be found."""
    if values.latency_table and _auto(values):
        raise UsageError(
            "--latency_table was measured with certain cutoffs, and --cutoffs=auto may find"
            " others: give the table's own --cutoffs"
        )
    if values.latency_table:
        table = latency_table.load(values.latency_table)
        table.check_fits(config.search.latency_of, config.latency_shape, values.latency_table)


def _auto(values: Flags) -> bool:
    """Whether to find the cutoffs. Raises: UsageError for `auto` beside what it decides."""
    if values.word(ModelConfig, "cutoffs") != "auto":
        return False
    if values.proj_dims:
        raise UsageError(
            "--cutoffs=auto decides how many clusters there are, so it can't keep --proj_dims"
            f" {values.proj_dims}: leave one out"
        )
    return True


def _work(values: Flags) -> int:
    config, data_dir, run_dir = configure(values)
    logging = values.read(LoggingConfig)
    if values.print_run:
        print(run_dir)
        return 0
    devices = _devices(values)
    job = _Job(
        data_dir,
        logging,
        _auto(values),
        run_dir if values.num_seeds is not None else None,
        _source(values),
        Path(values.base) if values.base else None,
        devices,
        values.quiet,
    )
    if line := _spelling(_blocks(values), config):
        job.tell(line)
    if values.num_seeds is not None:
        return _work_of_seeds(values, config, run_dir, job)
    if values.dry_run:
        return _dry_run(values, config, run_dir, job)
    if devices.distribute == "multi_worker":
        place, state = cluster.from_environment(), job.train(config, run_dir)
        return _report(values, config, run_dir, state) if place.is_chief else 0
    if _is_done(job.kept(config, run_dir), run_dir):
        return _report(values, config, run_dir, "already done")
    return _report(values, config, run_dir, job.train(config, run_dir))


def _devices(values: Flags) -> _Devices:
    """Where the run is trained. Raises: UsageError for flags that contradict each other."""
    if values.num_devices < 0 or (values.num_devices and values.distribute != "mirrored"):
        raise UsageError(
            "--num_devices must be 0, or a number of devices beside --distribute=mirrored, but is"
            f" {values.num_devices}"
        )
    if values.distribute == "multi_worker" and values.num_seeds is not None:
        raise UsageError(
            "--distribute=multi_worker trains one run: leave out --num_seeds, and start the"
            " workers once for each --seed"
        )
    return _Devices(values.distribute, values.num_devices)


def _work_of_seeds(values: Flags, config: run_config.RunConfig, group: Path, job: _Job) -> int:
    """A process a seed: what TensorFlow keeps in a process would pile up, and a seed trained after
    others must equal one trained alone."""
    planned = seeds.plan_runs(group, job.kept(config, group), values.num_seeds)
    done = {path: _is_done(job.kept(own, path), path) for path, own in planned.items()}
    if values.dry_run:
        return _dry_run(values, config, group, job)
    try:
        for path, own in planned.items():
            if done[path] and not all(done.values()):
                job.tell(f"already done: {path}")
            elif not done[path] and (code := processes.run(_train_apart, job, own, path)):
                return code  # the process has said why
    except KeyboardInterrupt:
        raise StoppedError("interrupted between two seeds: the same command continues") from None
    return _report_seeds(
        values, config, group, {path: "already done" if done[path] else "done" for path in planned}
    )


def _train_apart(
    asked_to_stop: Callable[[], bool], job: _Job, config: run_config.RunConfig, run_dir: Path
) -> int:
    """Trains one seed in a process of its own. Returns the exit code."""

    def work(_: Flags) -> int:
        job.train(config, run_dir, lambda step: asked_to_stop())
        return 0

    return run_command(Flags(""), work, [])


class _Devices(NamedTuple):
    """On what a run is trained: --distribute and --num_devices."""

    distribute: str
    num_devices: int


@dataclasses.dataclass(frozen=True)
class _Job:
    """What the runs of one command share."""

    data_dir: Path
    logging: LoggingConfig
    auto: bool  # the cutoffs are to be found
    group: Path | None  # of several seeds
    source: Path | None  # the run that the weights are from
    base_run: Path | None  # that of the base
    devices: _Devices
    quiet: bool  # no more than warnings are said

    def tell(self, line: str) -> None:
        """Announces a line that is not a warning, unless only warnings are wanted."""
        if not self.quiet:
            announce(line)

    def train(
        self,
        config: run_config.RunConfig,
        run_dir: Path,
        should_stop: Callable[[int], bool] = lambda step: False,
    ) -> str:
        """Starts or continues a run and trains it to its end. Returns `done` or `already done`."""
        strategy = start_tensorflow(*self.devices)
        from par.evaluate.training_hooks import training_hooks
        from par.report.epoch_picture import PiPicture
        from par.train import session
        from par.train.distributed import workers

        team = workers.Workers(strategy)
        with team.watched(), contextlib.ExitStack() as held:
            team.on_all(lambda: records.verify(self.data_dir, records.load(self.data_dir)))
            team.replicas.rows_each(config.data.batch_size)
            _check_same(team, config)

            def begin() -> dict[str, Any]:
                held.enter_context(run_directory.locked(run_dir, announce))
                kept = self.kept(config, run_dir)
                done = _is_done(kept, run_dir)  # another process may have worked in it since
                return {
                    "done": done,
                    "cutoffs": (kept if done else self.settled(config, run_dir)).model.cutoffs,
                }

            begun = team.from_chief(begin)
            if not begun["done"]:
                config = config.with_cutoffs(tuple(begun["cutoffs"]))
                session.train(
                    run_dir,
                    config,
                    self.data_dir,
                    self.logging,
                    hooks=training_hooks(PiPicture()),
                    announce=announce,
                    should_stop=should_stop,
                    source=self.source,
                    base_run=self.base_run,
                    team=team,
                    quiet=self.quiet,
                )
        return "already done" if begun["done"] else "done"

    def kept(self, config: run_config.RunConfig, run_dir: Path) -> run_config.RunConfig:
        """With --cutoffs=auto, a run that exists keeps its cutoffs, and other seeds take them:
        timing the machine again could find others."""
        made = _made(run_dir, self.group) if self.auto else None
        return config.with_cutoffs(run_config.load(made)[0].model.cutoffs) if made else config

    def settled(self, config: run_config.RunConfig, run_dir: Path) -> run_config.RunConfig:
        """With --cutoffs=auto, the run's cutoffs, or else the fastest for these counts."""
        if not self.auto or _made(run_dir, self.group):
            return self.kept(config, run_dir)
        from par.bench import softmax_speed

        counts = records.read_counts(self.data_dir, records.load(self.data_dir))
        found = softmax_speed.fastest_cutoffs(
            config.model,
            counts,
            config.data.batch_size * config.data.seq_len,
            config.training.seed,
            self.quiet,
        )
        self.tell(
            f"cutoffs: {found.flags if found.cutoffs else 'none, as plain softmax is faster'},"
            f" {found.cost:.2f} ms a step predicted for the softmax"
        )
        return config.with_cutoffs(found.cutoffs)


def _check_same(team: Any, config: run_config.RunConfig) -> None:
    """Raises: UsageError, on all workers, if one has other settings than the chief."""
    asked = json.loads(json.dumps(config.identity()))
    chief = team.from_chief(lambda: asked)
    differences = [
        f"{key}: {chief.get(key)} -> {asked.get(key)}"
        for key in sorted(chief | asked)
        if chief.get(key) != asked.get(key)
    ]

    def check() -> None:
        if differences:
            raise UsageError(
                f"it was started with other settings than the chief ({'; '.join(differences)}):"
                " start all workers with the same command"
            )

    team.on_all(check)


def _is_done(config: run_config.RunConfig, run_dir: Path) -> bool:
    """Whether the run has ended. Raises: UsageError if another run or other files are there."""
    if (run_dir / "config.json").is_file():
        old, _ = run_config.load(run_dir)
        if changed := run_config.differences(old, config):
            raise UsageError(
                f"run {run_dir} was made with other settings ({'; '.join(changed)}): repeat them,"
                " or give another --run=DIR"
            )
        if not (done := run_directory.is_finished(run_dir)):
            run_config.check_continues(old, run_dir)
        return done
    if seeds.find_runs(run_dir):
        raise UsageError(
            f"--run={run_dir} holds several seeds: add"
            f" --num_seeds={len(seeds.find_runs(run_dir))} or more, or give another --run=DIR"
        )
    own = ("lock", "flags.txt")  # all that is there when a run was killed before it was configured
    if run_dir.is_dir() and any(
        path.name not in own and not path.name.startswith(".") for path in run_dir.iterdir()
    ):
        raise UsageError(
            f"--run={run_dir} holds files but no config.json: give an empty or new directory"
        )
    return False


def _report(values: Flags, config: run_config.RunConfig, run_dir: Path, state: str) -> int:
    rows = history.read_rows(run_dir / "history.jsonl", config.contract)
    if not rows["train"] or not rows["valid"]:
        raise DataError(
            f"run {run_dir} is marked as finished but its history.jsonl is empty: put a whole"
            " copy in its place, or train again in another --run=DIR"
        )
    steps = run_directory.last_step(run_dir, config)
    costs, likeliest = (
        latency_table.costs_from_settings(config.search.latency_ms),
        derive.argmax(rows["train"][-1]["pi"]),
    )
    if values.json:
        last = {row["evaluate_as"]: row for row in rows["valid"][-2:]}
        facts = {"seconds": rows["train"][-1]["seconds"], "valid": last} | (
            {"latency": costs.figures(likeliest)} if costs else {}
        )
        print(
            schema.canonical_json({"run": str(run_dir), "state": state, "steps": steps, **facts})
        )
        return 0
    print("\n".join(history.table(rows, config.contract)))
    _compare_with_baseline(values.data, config, rows["valid"])
    if costs:
        print(costs.line(likeliest, config.search.latency_of))
    early = (
        f" of {config.total_steps}, where the search had settled"
        if steps < config.total_steps
        else ""
    )
    print(f"{state}: {steps} steps{early}; run: {run_dir}")
    return 0


def _compare_with_baseline(
    data_dir: str, config: run_config.RunConfig, valid: Sequence[dict[str, Any]]
) -> None:
    """Prints the valid scores of the models that a network of this objective must beat, if they
    are there, and warns of those that beat the run's last ones."""
    figure = config.contract.comparison[0]
    last = next(row for row in reversed(valid) if row["evaluate_as"] != "argmax")
    own = math.inf if last[figure.name] is None else last[figure.name]
    for baseline in store.load_all(data_dir, config.contract.yardsticks):
        figures = baseline.figures(records.load(data_dir), "valid")
        print(f"{baseline.name}: valid {baseline.summary(figures)}")
        scores = [("valid", own, figures[figure.name])]
        if warning := baseline.warning(config.architecture.short, figure, scores):
            announce(f"warning: {warning}")


def _report_seeds(
    values: Flags, config: run_config.RunConfig, group: Path, states: dict[Path, str]
) -> int:
    results = [seeds.result(history.read_run(path)) for path in states]
    state = "done" if "done" in states.values() else "already done"
    if values.json:
        listed = [
            {"run": str(path), "state": own} | result
            for (path, own), result in zip(states.items(), results)
        ]
        print(
            schema.canonical_json(
                {"run": str(group), "state": state, "seeds": listed}
                | seeds.mean_and_spread(results)
            )
        )
        return 0
    print("\n".join(seeds.table(results, config.contract)))
    print(f"{state}: {plural(len(results), 'seed')}; run: {group}; spread: standard deviation")
    return 0


def _dry_run(values: Flags, config: run_config.RunConfig, run_dir: Path, job: _Job) -> int:
    if config.warning:
        announce(f"warning: {config.warning}")
    start_tensorflow()
    from par.bench import dry_run

    manifest = records.load(job.data_dir)
    records.verify(job.data_dir, manifest)
    figures = dry_run.measure(
        job.settled(config, run_dir),
        records.read_counts(job.data_dir, manifest).tolist(),
        runs=values.num_seeds or 1,
    )
    if values.num_seeds is not None:
        figures["num_seeds"] = values.num_seeds
    if values.json:
        print(schema.canonical_json(figures))
    else:
        for name, value in figures.items():
            shown = value if isinstance(value, str) else f"{value:,}"
            print(f"{name.replace('_', ' '):<28}{shown}")
    return 0


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
