"""Writes a small corpus of documents made by rule, and prints the best that a network can reach.

    python tools/synth.py --task=dialects --output=data/raw/dialects.jsonl
        each author has a fresh choice of synonyms: other texts of the author tell which
    python tools/synth.py --task=threads --output=data/raw/threads.jsonl --replies=40
        a reply repeats the rare word of an ancestor, and says how far back that is
    python tools/synth.py --task=two_latents --output=data/raw/two_latents.jsonl --seed=1
        some words are the author's, others the group's

The file has one JSON object a line: id, text, author, group, and parent where there is one, as
`build_data --input_documents` reads them. The bounds are exact, for one masked word with the rest
of its text visible: how often the most probable word is right, and nats a word, by the number of
other texts that the network reads and what these have in common with the text.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import json
import sys
from pathlib import Path

from absl import flags

from par.core import files, schema
from par.core.errors import UsageError
from par.core.progress import Progress
from par.core.setting_group import fields
from par.core.text import plural, table
from par.data.synthetic.settings import Bound, SyntheticConfig
from par.data.synthetic.tasks import TASKS
from par.tools.cli.command_line import tool_command
from par.tools.cli.flags import Flags, choice, define_path

FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        (choice(*TASKS), "task", None, "the rule by which the texts are made"),
        (define_path, "output", None, "the file to write, a .jsonl"),
        (flags.DEFINE_integer, "seed", 0, "seed of the texts; without effect on the bounds"),
        (flags.DEFINE_bool, "json", False, "print one JSON line"),
    )
    .group(SyntheticConfig, "Sizes")
)


def _work(values: Flags) -> None:
    if not (values.task and values.output):
        raise UsageError("--task=NAME and --output=FILE are required; see --help")
    output = Path(values.output)
    if output.suffix != ".jsonl":
        raise UsageError(f"--output must end with .jsonl, but is {values.output!r}")
    if values.seed < 0:
        raise UsageError(f"--seed must be at least 0, but is {values.seed}")
    task = TASKS[values.task]
    for field, _ in fields(SyntheticConfig):
        if values[field.name].present and field.name not in task.uses:
            raise UsageError(
                f"--{field.name} has no effect with --task={values.task}: leave it out"
            )
    config = values.read(SyntheticConfig)
    bounds, count = task.bounds(config), task.count(config)
    files.check_writable(output)
    with (
        files.replacing(output) as partial,
        open(partial, "w", encoding="utf-8") as file,
        Progress(output.name, "text", count) as progress,
    ):
        for document in task.documents(config, values.seed):
            file.write(f"{json.dumps(document.to_json())}\n")
            progress(1)
    if values.json:
        value = {
            "task": values.task,
            "output": str(output),
            "documents": count,
            "seed": values.seed,
            "settings": {name: getattr(config, name) for name in task.uses},
            "bounds": [bound.to_json() for bound in bounds],
        }
        print(schema.canonical_json(value))
        return
    print(f"written: {output}, {plural(count, 'text')}\n")
    print("\n".join(_lines(bounds)))
    command = tool_command(
        "build_data", input_documents=output, model_type="word", split_by=task.split_by
    )
    print(f"\nnext:    {command}")


def _lines(bounds: list[Bound]) -> list[str]:
    """A table of the bounds: a row for each number of contexts, a column for each kind and
    target."""
    columns = list(dict.fromkeys((bound.kind, bound.targets) for bound in bounds))
    found = {(bound.kind, bound.targets, bound.contexts): bound for bound in bounds}
    rows = [["contexts", *(f"{kind}: {targets}" for kind, targets in columns)]]
    for n in sorted({bound.contexts for bound in bounds}):
        own = [found[(*column, n)] for column in columns]
        rows.append([f"{n}", *(f"{bound.accuracy:.4f} ({bound.nll:.4f})" for bound in own)])
    return [
        "bounds by the kind of the contexts and the words that are predicted: accuracy (nats a"
        " word)",
        *table(rows),
    ]


def main(argv: list[str] | None = None) -> int:
    """Runs the command; `argv` without the program's name. Returns the exit code."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
