"""Exports a trained network as a TensorFlow SavedModel that contains its tokenizer.

    python tools/export.py --run=logs/RUN --output=exported
    python tools/export.py --run=logs/SEARCH --output=exported --evaluate_as=soft
        a SuperNet as its mixture, not its likeliest kinds
    python tools/export.py --run=logs/RUN --output=exported --checkpoint=best --overwrite

Text goes in, scores or generated text come out, without this program: the export needs tensorflow
and tensorflow-text alone. Its signatures: score (texts), step (ids and memories), generate
(prompts).

Writes the directory whole or not at all, and into it a model card, README.md: where the network
comes from, its scores, and how to load and call it. Prints the scores of valid and test, and what
was written.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from absl import flags

from par.core import files, metrics, schema
from par.core.errors import UsageError
from par.core.progress import announce
from par.core.text import number
from par.data import records
from par.tools.cli.checks import load_run
from par.tools.cli.flags import Flags, choice, define_path
from par.tools.cli.tensorflow import silenced_stderr, start_tensorflow
from par.train import literal_path, run_config

if TYPE_CHECKING:
    from par.export import model_card

SPLITS = ("valid", "test")
MARK = "saved_model.pb"  # what every SavedModel has
FILES = (MARK, "README.md", "fingerprint.pb", "variables/variables.*", "assets/*")
FLAGS = Flags(__doc__).own(
    "What",
    (define_path, "run", None, "run directory"),
    (
        define_path,
        "data",
        None,
        "data set, if it has moved since the training",
    ),
    (define_path, "output", None, "directory to write"),
    (flags.DEFINE_bool, "overwrite", False, "replace an export that is there"),
    (choice("last", "best"), "checkpoint", "last", "the last, or the best by valid nll"),
    (
        choice("soft", "argmax"),
        "evaluate_as",
        "argmax",
        "how a SuperNet is exported; without effect on a fixed network",
    ),
    (flags.DEFINE_bool, "json", False, "print one JSON line"),
)


def _work(values: Flags) -> None:
    config, data_dir, manifest = load_run(values.run, values.data)
    if not values.output:
        raise UsageError("--output=DIR is required; see --help")
    output = Path(values.output)
    files.check_replaceable(output, MARK, FILES, values.overwrite, "output")
    start_tensorflow()
    records.verify(data_dir, manifest, SPLITS)
    measured, size = _export(values, output, config, data_dir, manifest)
    if not literal_path.tensorflow_reads(output.absolute()):
        announce(
            f"warning: TensorFlow takes the path of {output} as a pattern of file names and can't"
            " load it from there: move it to a path without [ and backslash"
        )
    if values.json:
        facts = {
            "run": values.run,
            "output": values.output,
            "blocks": config.architecture.blocks,
            "checkpoint": values.checkpoint,
            "step": measured.step,
            "evaluate_as": values.evaluate_as,
            "bytes": size,
            "scores": {split: metrics.finite(found) for split, found in measured.scores.items()},
            "lines_with_other_ids": {
                split: bad for split, (bad, _) in measured.mismatches.items()
            },
        }
        print(schema.canonical_json(facts))
        return
    for split, found in measured.scores.items():
        print(
            f"{split}: perplexity per word {number(found['perplexity_per_word'], 2)}, per token"
            f" {number(found['perplexity_per_token'], 2)}"
        )
    print(f"{values.output}: score, step, generate and README.md; {size:,} bytes")


def _export(
    values: Flags,
    output: Path,
    config: run_config.RunConfig,
    data_dir: Path,
    manifest: records.Manifest,
) -> tuple[model_card.Measured, int]:
    """Writes the SavedModel and its model card; returns the figures of the card, and bytes."""
    from par.evaluate import evaluation
    from par.evaluate.trained_model import Model
    from par.export import model_card, saved_model

    model = Model.load(values.run, values.checkpoint, data_dir, values.evaluate_as, announce)
    scores = {
        split: evaluation.score(model.learner, data_dir, manifest, split, values.evaluate_as)
        for split in SPLITS
    }
    with files.building(output, MARK, "output") as partial:
        with silenced_stderr():
            exported = saved_model.save(model, partial)
            mismatches = {
                split: saved_model.mismatches(
                    model, exported, records.read_stream(data_dir, manifest, split)
                )
                for split in SPLITS
            }
        origin = model_card.find_origin(Path(values.run), config.architecture)
        measured = model_card.Measured(
            checkpoint=values.checkpoint,
            step=int(model.learner.step.numpy()),
            evaluated_as=values.evaluate_as,
            scores=scores,
            mismatches=mismatches,
            pi=model.learner.pi,
            memory_shape=exported.memory_shape,
        )
        card = model_card.render(output.resolve().name, config, manifest, origin, measured)
        files.write_text(partial / "README.md", card)
        size = sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())
    return measured, size


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
