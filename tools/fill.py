r"""Fills in what is masked in a text: the pieces that a network expects, with probabilities.

    python tools/fill.py --run=logs/RUN --text="A [MASK] file" --k=5
    python tools/fill.py --run=logs/RUN --text_file=page.txt --seq_len=128 --json
    echo "A [MASK] file" | python tools/fill.py --run=logs/RUN --text_file=-
        from standard input
    python tools/fill.py --run=logs/SEARCH --text="A [MASK] file" --architecture=aaddid
        these blocks with the SuperNet's weights, untrained

It needs a run that predicts masked pieces (train --objective=masked_lm). Every [MASK] stands for
one piece, and for the space right before it; a word of several pieces is [MASK][MASK]. Each is
predicted from all that is written, as if the others stayed masked.

Prints the k most probable pieces of each [MASK] (▁ is a space), and the text with the best. A text
that is longer than a window is read in windows with memory, as in an evaluation: a [MASK] sees its
window and the memory before it.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import sys

from absl import flags

from par.core import schema
from par.core.config import FillConfig
from par.core.progress import announce
from par.core.text import escape, table
from par.evaluate.eval_config import EvalConfig
from par.objectives.masked_text import check_masked
from par.tools.cli import trained
from par.tools.cli.checks import inherited_blocks, load_run, refuse_idle
from par.tools.cli.flags import Flags, define_path
from par.tools.cli.tensorflow import start_tensorflow
from par.tools.cli.text_input import read_text, text_flags

FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        trained.RUN,
        trained.TOKENIZER,
        *text_flags("text", "the text, with [MASK] for each piece to fill in"),
        trained.CHECKPOINT,
        trained.EVALUATE_AS,
        (
            define_path,
            "architecture",
            "",
            "use these blocks, or an architecture.json, with the weights that the run has",
        ),
        (flags.DEFINE_bool, "json", False, "print one JSON line"),
    )
    .group(FillConfig, "Candidates")
    .group(EvalConfig, "How the text is read", only=("seq_len", "mem_len"))
)


def _work(values: Flags) -> None:
    reading, k = values.read(EvalConfig), values.read(FillConfig).k
    text = read_text(values, "text", "give the part around each [MASK]")
    run, data_dir, _ = load_run(values.run, values.data)
    run.contract.check_fills("fill", values.run)
    check_masked(text)
    if values.architecture:
        refuse_idle(values, ("evaluate_as",), beside="architecture")
    blocks = inherited_blocks(values.architecture, {values.run: run.architecture.blocks})
    start_tensorflow()
    from par.evaluate.trained_model import Model

    model = Model.load(
        values.run, values.checkpoint, data_dir, values.evaluate_as, announce, blocks
    )
    sizes = {"seq_len": reading.seq_len, "mem_len": reading.mem_len}
    filled = model.fill(text, k, show_progress=True, **sizes)
    if values.json:
        found = {
            "run": values.run,
            "blocks": model.architecture.blocks,
            "checkpoint": values.checkpoint,
            "text": text,
            **sizes,
            "filled": filled.text,
            "masks": [
                {"candidates": [found._asdict() for found in candidates]}
                for candidates in filled.masks
            ],
        }
        print(schema.canonical_json(found))
        return
    rows = [("mask", "piece", "probability")]
    rows += [
        (str(number), escape(found.piece), f"{found.probability:.4f}")
        for number, candidates in enumerate(filled.masks, 1)
        for found in candidates
    ]
    print("\n".join(table(rows, left=2)))
    print(f"\n{filled.text}")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
