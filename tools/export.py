"""Exports a trained network to run without this program, or a table of networks for Syne Tune.

    python tools/export.py --run=logs/RUN --output=exported
    python tools/export.py --run=logs/SEARCH --output=exported --evaluate_as=soft
        a SuperNet as its mixture, not its likeliest kinds
    python tools/export.py --run=logs/RUN --output=exported --checkpoint=best --overwrite
    python tools/export.py --run=logs/RUN --output=exported --format savedmodel safetensors
        exported/savedmodel and exported/safetensors
    python tools/export.py --run=logs/RUN --output=exported --format=onnx --quantize=int8
    python tools/export.py --run=logs/RUN --output=exported --format=page
    python tools/export.py --table=table.npz --output=blackbox
        a table of all networks (par.block_table), on which Syne Tune's searchers run

Formats: savedmodel, for TensorFlow, takes and gives texts: it contains its tokenizer; safetensors
is the weights, with a forward pass in NumPy to read or to port; onnx is graphs for onnxruntime,
with scripts that continue and score texts. To write it, pip install "par-transformer-xl[onnx]".
litert is a file for LiteRT with a script that continues texts; to write it, pip install
"par-transformer-xl[litert]". page is one HTML file that continues texts in a browser, and loads
nothing.

A network that predicts the next token scores texts, gives the log-probabilities of what follows
ids and memories (step), continues prompts, and embeds texts; one that predicts masked pieces fills
and embeds texts.

Writes the directory whole or not at all, and into it a model card, README.md: where the network
comes from, its data with their licence, its scores, and a few lines that load and call it. Before
that, what was written computes 1,000 tokens; where it differs from the library by more than 1e-5
nats, or is not finite, nothing is left. Prints the scores of valid and test, and what was written.

With --table the directory is a black box of Syne Tune, whose searchers then try networks in
simulated time, without training. It needs pyarrow: pip install "par-transformer-xl[syne-tune]".
Every spelling of a network is a configuration, a task is a table; --table may be repeated. Left
out are networks and seeds of which not all runs are finished.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from absl import flags

from par.core import files, metrics, schema
from par.core.errors import UsageError
from par.core.progress import announce
from par.core.text import plural
from par.data import records
from par.export import formats, syne_tune
from par.search import block_table_file
from par.search.block_table import BlockTable
from par.tools.cli import trained
from par.tools.cli.checks import load_run, refuse_idle
from par.tools.cli.flags import Flags, choice, define_path, define_paths
from par.tools.cli.tensorflow import silenced_stderr, start_tensorflow
from par.train import literal_path, run_config

if TYPE_CHECKING:
    from par.export.model_card import Measured
    from par.export.shipping import Shipped

SPLITS = ("valid", "test")
LARGE = 100_000_000  # bytes
OF_RUNS = ("run", "data", "format", "quantize", "checkpoint", "evaluate_as")
FLAGS = Flags(__doc__).own(
    "What",
    trained.RUN,
    trained.DATA,
    (
        define_paths,
        "table",
        [],
        "in the place of a run: a table of networks, by its name or its file",
    ),
    (define_path, "output", None, "directory to write"),
    (flags.DEFINE_bool, "overwrite", False, "replace an export that is there"),
    (
        choice(*formats.FORMATS, repeatable=True),
        "format",
        [formats.DEFAULT],
        "what to write; of several, each is a directory in --output",
    ),
    (
        choice(*formats.ROUNDED),
        "quantize",
        None,
        "rounds the weights; "
        + ", ".join(
            f"{kind}: of {' and '.join(names)}" for kind, names in formats.ROUNDED.items()
        ),
    ),
    trained.CHECKPOINT,
    (
        choice("soft", "argmax"),
        "evaluate_as",
        "argmax",
        "how a SuperNet is exported; without effect on a fixed network",
    ),
    (flags.DEFINE_bool, "json", False, "print one JSON line"),
)


def _work(values: Flags) -> None:
    if values.table:
        refuse_idle(values, OF_RUNS, beside="table")
        _work_on_tables(values)
    else:
        _work_on_run(values)


def _output(values: Flags) -> Path:
    """The directory to write. Raises: UsageError if it is not given."""
    if not values.output:
        raise UsageError("--output=DIR is required; see --help")
    return Path(values.output)


def _work_on_tables(values: Flags) -> None:
    tables: dict[str, BlockTable] = {}
    for name in values.table:
        if (task := Path(name).stem) in tables:
            raise UsageError(f"--table={name} is a second {task!r}, but every task needs a name")
        tables[task] = block_table_file.find(name)
    output = _output(values)
    files.check_replaceable(output, syne_tune.MARK, syne_tune.FILES, values.overwrite, "output")
    syne_tune.require_pyarrow()
    box = syne_tune.black_box(tables)
    with files.building(output, syne_tune.MARK, "output") as partial:
        syne_tune.write(box, partial)
        size = _bytes(partial)
    facts: dict[str, Any] = {
        "tables": values.table,
        "output": values.output,
        "tasks": list(box.tasks),
        "networks": box.networks,
        "configurations": len(box.configurations),
        "seeds": list(box.seeds),
        "epochs": box.num_epochs,
        "objectives": list(box.objectives),
        "bytes": size,
    }
    if values.json:
        print(schema.canonical_json(facts))
        return
    size_of_all = len(next(iter(tables.values())))
    print(
        f"{values.output}: {plural(len(box.tasks), 'task')}, {box.networks:,} of"
        f" {plural(size_of_all, 'network')} in {plural(len(box.configurations), 'spelling')},"
        f" {plural(len(box.seeds), 'seed')} ({', '.join(map(str, box.seeds))}),"
        f" {plural(box.num_epochs, 'epoch')}, {plural(len(box.objectives), 'objective')};"
        f" {size:,} bytes"
    )


def _bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def _work_on_run(values: Flags) -> None:
    config, data_dir, manifest = load_run(values.run, values.data)
    output, chosen = _output(values), _formats(values)
    for each in chosen:
        if each.generates:
            config.contract.check_generates(f"--format={each.name}", values.run)
        if config.base and not each.has_bases:
            others = [other.name for other in formats.FORMATS.values() if other.has_bases]
            raise UsageError(
                f"--format={each.name} has no networks that read a base, but {values.run} reads"
                f" {config.base.stack.text}: use {', '.join(others)}"
            )
    formats.check_output(output, chosen, values.overwrite)
    start_tensorflow()
    records.verify(data_dir, manifest, SPLITS)
    measured, shipped = _export(values, output, chosen, config, data_dir, manifest)
    sizes = {each.name: _bytes(formats.place(output, each.name, chosen)) for each in chosen}
    if formats.DEFAULT in values.format and not literal_path.tensorflow_reads(output.absolute()):
        announce(
            f"warning: TensorFlow takes the path of {output} as a pattern of file names and can't"
            " load it from there: move it to a path without [ and backslash"
        )
    if values.json:
        facts = {
            "run": values.run,
            "output": values.output,
            "blocks": config.network,
            "checkpoint": values.checkpoint,
            "step": measured.step,
            "evaluate_as": values.evaluate_as,
            "bytes": sum(sizes.values()),
            "scores": {split: metrics.finite(found) for split, found in measured.scores.items()},
            "formats": {
                each.format.name: {
                    "bytes": sizes[each.format.name],
                    "differences": each.differences,
                    "rounding": dict(each.written.rounding),
                }
                for each in shipped
            },
        }
        for each in shipped:
            if each.written.mismatches:
                facts["lines_with_other_ids"] = {
                    split: bad for split, (bad, _) in each.written.mismatches.items()
                }
        print(schema.canonical_json(facts))
        return
    for split, found in measured.scores.items():
        print(f"{split}: {_told(config, found)}")
    for each in shipped:
        where = formats.place(Path(values.output), each.format.name, chosen)
        names = ", ".join(each.written.names)
        for note in each.written.notes:
            print(f"{each.format.name}: {note}")
        print(f"{where}: {names} and {formats.CARD}; {sizes[each.format.name]:,} bytes")


def _told(config: run_config.RunConfig, found: dict[str, float]) -> str:
    """The scores of a split in words."""
    tabled = config.contract.tabled
    return ", ".join(f"{figure.label} {figure.text(found[figure.name])}" for figure in tabled)


def _formats(values: Flags) -> list[formats.Format]:
    """The formats to write. Raises: UsageError for one that is given twice, or that needs what is
    not installed."""
    if twice := {name for name in values.format if values.format.count(name) > 1}:
        raise UsageError(f"--format={min(twice)} is given twice: give it once")
    chosen = [formats.FORMATS[name] for name in values.format]
    for each in chosen:
        each.check_packages()
    if values.quantize and not any(values.quantize in each.quantizes for each in chosen):
        raise UsageError(
            f"--quantize={values.quantize} has no effect on {', '.join(values.format)}: add"
            f" --format={' or '.join(formats.ROUNDED[values.quantize])}, or leave it out"
        )
    return chosen


def _export(
    values: Flags,
    output: Path,
    chosen: list[formats.Format],
    config: run_config.RunConfig,
    data_dir: Path,
    manifest: records.Manifest,
) -> tuple[Measured, list[Shipped]]:
    """Writes the formats with their cards; returns what the cards have in common, and what was
    written."""
    from par.evaluate import evaluation
    from par.evaluate.trained_model import Model
    from par.export import model_card, shipping

    model = Model.load(values.run, values.checkpoint, data_dir, values.evaluate_as, announce)
    measured = model_card.Measured(
        checkpoint=values.checkpoint,
        step=int(model.learner.step.numpy()),
        evaluated_as=values.evaluate_as,
        scores={
            split: evaluation.score(model.learner, data_dir, manifest, split, values.evaluate_as)
            for split in (SPLITS if config.contract.predicts else ())
        },
        pi=model.learner.pi,
    )
    for each in chosen:
        size = int(
            each.bytes_a_weight * sum(v.shape.num_elements() for v in model.learner.weights)
        )
        if size > LARGE:
            announce(
                f"warning: --format={each.name} makes about {size / 1e6:,.0f} MB of this network,"
                " which browsers take long to open"
            )
    origin = model_card.find_origin(Path(values.run), config.architecture)
    name = output.resolve().name
    streams = {split: records.read_stream(data_dir, manifest, split) for split in SPLITS}
    told = {split: _told(config, found) for split, found in measured.scores.items()}
    source = shipping.Source(model, streams, manifest, told, values.quantize or "")

    def card(shipped: Shipped) -> str:
        of_format = name if len(chosen) == 1 else shipped.format.name
        return model_card.render(of_format, config, manifest, origin, measured, shipped)

    with (
        files.building(output, formats.mark_of(output, chosen), "output") as partial,
        silenced_stderr(),
    ):
        shipped = shipping.ship(source, chosen, partial, card)
    return measured, shipped


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
