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
from pathlib import Path

from absl import flags

from par.core import schema
from par.core.config import SamplingConfig
from par.core.errors import DataError, UsageError
from par.core.progress import announce
from par.data.cleaning import clean_text
from par.data.text_formats import plain_bytes
from par.evaluate.eval_config import EvalConfig, check_memory
from par.tools.cli.checks import load_run
from par.tools.cli.flags import Flags, choice, define_path
from par.tools.cli.tensorflow import start_tensorflow

MAX_PROMPT_BYTES = 1 << 20
FLAGS = (
    Flags(__doc__)
    .own(
        "What",
        (define_path, "run", None, "run directory"),
        (
            define_path,
            "data",
            None,
            ("data set, if it has moved since the training; only its tokenizer is used"),
        ),
        (flags.DEFINE_string, "prompt", None, "the text to continue"),
        (
            define_path,
            "prompt_file",
            None,
            (
                "the same from a file, decoded as --input_text of build_data is; - is standard"
                " input. A line end at its end is removed"
            ),
        ),
        (
            choice("last", "best"),
            "checkpoint",
            "last",
            "the last, or the best by valid nll",
        ),
        (
            choice("soft", "argmax"),
            "evaluate_as",
            "soft",
            "how a SuperNet is used; without effect on a fixed network",
        ),
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
    config, prompt = values.read(SamplingConfig), _prompt(values)
    EvalConfig(mem_len=values.mem_len)  # checks the bounds before TensorFlow starts
    run, data_dir, _ = load_run(values.run, values.data)
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


def _prompt(values: Flags) -> str:
    """The prompt, decoded and cleaned as a corpus is.

    Raises: UsageError if it is given twice or too long; DataError if a file is not text.
    """
    if values.prompt is not None and values.prompt_file is not None:
        raise UsageError("give --prompt or --prompt_file, not both")
    if values.prompt_file is None:
        text = (values.prompt or "").encode("utf-8")
    elif values.prompt_file == "-":
        text = sys.stdin.buffer.read(MAX_PROMPT_BYTES + 1)
    else:
        with open(Path(values.prompt_file), "rb") as file:
            text = file.read(MAX_PROMPT_BYTES + 1)
    if len(text) <= MAX_PROMPT_BYTES and values.prompt_file is not None:
        name = "of standard input" if values.prompt_file == "-" else values.prompt_file
        text = plain_bytes(name, text, MAX_PROMPT_BYTES)
    if len(text) > MAX_PROMPT_BYTES:
        raise UsageError(
            f"a prompt must have at most {MAX_PROMPT_BYTES:,} bytes, but this one has more: give"
            " its end"
        )
    try:
        text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"the prompt is not UTF-8: byte {error.start:,} is 0x{text[error.start]:02x}; convert"
            " it, with iconv for example"
        ) from None
    cleaned = clean_text(text)
    return cleaned.removesuffix("\n") if values.prompt_file else cleaned


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return run_command(FLAGS, _work, argv)


if __name__ == "__main__":
    sys.exit(main())
