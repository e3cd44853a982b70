r"""Continues a text: a trained network writes it token by token, with its memory carried along.

    python tools/generate.py --run=logs/RUN --prompt="The list"
    python tools/generate.py --run=logs/RUN --prompt_file=start.txt --length=200 \
        --temperature=0.8 --top_p=0.9 --num_samples=3
    echo "The list" | python tools/generate.py --run=logs/RUN --prompt_file=-
        from standard input

Prints the prompt, as the tokenizer reads it, and what follows, as it is written; several samples
are printed when all are done, each under a line with its number. The same seed gives the same
text. Without a prompt the text begins at the start of a line. The time of writing and tokens per
second go to stderr; reading the prompt is not counted.
"""

from __future__ import annotations

from par.tools.cli.main import run_command  # first: Ctrl-C during the other imports is one line

# isort: split

import sys
import time

from absl import flags

from par.core import schema
from par.core.config import SamplingConfig
from par.core.progress import announce
from par.evaluate.eval_config import EvalConfig, check_memory
from par.tools.cli import trained
from par.tools.cli.checks import load_run
from par.tools.cli.flags import Flags
from par.tools.cli.tensorflow import start_tensorflow
from par.tools.cli.text_input import read_text, text_flags

FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        trained.RUN,
        trained.TOKENIZER,
        *text_flags("prompt", "the text to continue"),
        trained.CHECKPOINT,
        trained.EVALUATE_AS,
        (
            flags.DEFINE_integer,
            "mem_len",
            None,
            (
                "memory length M in tokens; the default is the longest context in"
                " training, M + T - 1"
            ),
        ),
        (flags.DEFINE_bool, "json", False, "print one JSON line"),
    )
    .group(SamplingConfig, "Sampling")
)


def _work(values: Flags) -> None:
    config = values.read(SamplingConfig)
    prompt = read_text(values, "prompt", "give its end")
    EvalConfig(mem_len=values.mem_len)  # checks the bounds before TensorFlow starts
    run, data_dir, _ = load_run(values.run, values.data)
    run.contract.check_generates("generate", values.run)
    mem_len = run.trained_context
    if values.mem_len is not None:
        # a token has at least a byte, and more memory than tokens stays empty
        longest = len(prompt.encode()) + 1 + config.length
        mem_len = min(values.mem_len, max(longest, mem_len))
    check_memory(run, config.num_samples, 1, mem_len, flags="--num_samples or --mem_len")
    start_tensorflow()
    from par.evaluate.trained_model import Model

    model = Model.load(values.run, values.checkpoint, data_dir, values.evaluate_as, announce)
    settings = config.to_json() | {"mem_len": values.mem_len}
    continuation = model.continuation(prompt, show_progress=True, **settings)
    continuation.trace()
    is_streamed, texts = not values.json and config.num_samples == 1, []
    if is_streamed:
        print(continuation.prompt_text, end="", flush=True)
    start = time.perf_counter()
    if not is_streamed:
        texts = continuation.texts()
    else:
        for text in continuation.stream():
            print(text, end="", flush=True)
        print()
    seconds = time.perf_counter() - start
    speed = config.length * config.num_samples / seconds
    if values.json:
        about = {
            "run": values.run,
            "blocks": model.architecture.blocks,
            "prompt": prompt,
            **settings,
        }
        print(
            schema.canonical_json(
                about | {"texts": texts, "seconds": seconds, "tokens_per_second": speed}
            )
        )
        return
    if config.num_samples > 1:
        print(
            "\n".join(
                f"--- {number} of {len(texts)}\n{text}" for number, text in enumerate(texts, 1)
            )
        )
    announce(
        f"{config.length * config.num_samples:,} tokens in {seconds:.2f} s: {speed:.0f} tokens/s"
    )


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
