"""A search, and what is derived from it: with its weights, fine-tuned, and from scratch."""

from __future__ import annotations

import dataclasses

from par.core import schema
from par.core.progress import announce
from par.core.text import plural
from par.data import records
from par.evaluate.compare import supernet_ablation
from par.evaluate.compare.supernet_ablation import AblationPlan
from par.tools.cli.flags import Flags
from par.tools.cli.tensorflow import start_tensorflow
from par.tools.comparisons.source import read_search
from par.tools.comparisons.work import alone_in, train_jobs
from par.train import warm_start


def work(values: Flags) -> int:
    """Scores the SuperNet, trains what is derived from it, and prints the table."""
    plan = _plan(values)
    todo, total = plan.unfinished(), 2 * len(plan.seeds)
    if values.dry_run:
        figures = {
            "unfinished": len(todo),
            "runs": total,
            "steps": sum(job.config.total_steps for job in todo),
        }
        about = {
            "directory": str(plan.directory),
            "search": plan.init.run,
            "blocks": plan.blocks,
            "seeds": list(plan.seeds),
        }
        said = (
            "{unfinished} of {runs} runs of {blocks}, {steps:,} steps in all, are to be trained in"
            " {directory}"
        )
        print(
            schema.canonical_json(about | figures)
            if values.json
            else said.format(**about, **figures)
        )
        return 0
    if values.report_only:
        return _report(values, plan)
    with alone_in(plan.directory, ("truth.json",)):
        if not plan.untrained():
            start_tensorflow()
            from par.evaluate.compare import runner

            records.verify(plan.data_dir, records.load(plan.data_dir))
            plan.write_untrained(
                runner.score_untrained(
                    plan.search, plan.init, plan.data_dir, plan.blocks, plan.seconds, announce
                )
            )
        train_jobs(todo, total, plan.data_dir, plan.search, is_source=True)
        return _report(values, plan)


def _plan(values: Flags) -> AblationPlan:
    """The table that --truth asks for. Raises: UsageError, DataError before anything is done."""
    search = read_search(values)
    record, training = search.record, search.config.training
    warm_start.check_blocks(search.derived.blocks, record.blocks, record.name)
    lr = training.max_lr if values.fine_tune_lr is None else values.fine_tune_lr
    # checks the bounds as a run would
    dataclasses.replace(training, epochs=values.fine_tune_epochs, max_lr=lr)
    return AblationPlan(
        search=search.run_dir,
        search_blocks=record.blocks,
        seconds=record.rows["train"][-1]["seconds"],
        config=search.config,
        data_dir=search.data_dir,
        directory=search.directory,
        blocks=search.derived.blocks,
        init=warm_start.newest_origin(search.run_dir, "last"),
        seeds=search.seeds,
        epochs=values.fine_tune_epochs,
        max_lr=lr,
    )


def _report(values: Flags, plan: AblationPlan) -> int:
    found, path = plan.report(), plan.directory / "truth.json"
    schema.write_json(path, found.to_json())
    if values.json:
        print(schema.canonical_json({"directory": str(plan.directory)} | found.to_json()))
        return 0
    trained = (
        f"{plural(plan.config.training.epochs, 'epoch')} from scratch, {plan.epochs} of"
        f" fine-tuning at a peak of {plan.max_lr:g}"
    )
    seeds = f"{plural(len(plan.seeds), 'seed')} ({', '.join(map(str, plan.seeds))})"
    print(
        "\n".join(
            [
                f"{plan.init.run}: {trained}, {seeds}",
                "",
                *supernet_ablation.lines(found),
                f"written: {path}",
            ]
        )
    )
    return 0
