"""How large exports of a network are, and how fast each continues a text, beside the library.

python tools/benchmark.py shipping --run=logs/derived --export=shipped

--export is a directory that tools/export.py wrote, of one format or of several. Each format is
timed in the runtime that its user has, a page in headless Chromium; all write the most probable
tokens, one text, from its beginning, in turn.
"""

from __future__ import annotations

import contextlib
import statistics
from pathlib import Path
from typing import Any

from absl import flags

from par.bench import in_turn
from par.core.errors import DataError, UsageError
from par.core.progress import Progress
from par.core.text import plural
from par.export.formats import FORMATS
from par.tools.benchmarks import output, settings
from par.tools.cli import trained
from par.tools.cli.checks import load_run
from par.tools.cli.flags import Flags, define_path
from par.tools.cli.tensorflow import silenced_stderr, start_tensorflow

FLAGS = Flags(__doc__).own(
    "shipping",
    trained.RUN,
    trained.DATA,
    (
        define_path,
        "export",
        None,
        "directory that tools/export.py wrote of the run; load only what you trust",
    ),
    (flags.DEFINE_integer, "tokens", 200, "tokens of one measurement"),
    (flags.DEFINE_integer, "repeats", 7, "measurements of each, in turn"),
    settings.OUTPUT,
)
COLUMNS = [
    ("format", "{format}"),
    ("MB", "{megabytes}"),
    ("ms a token", "{milliseconds:.2f}"),
    ("tokens/s", "{tokens_per_second:,.0f}"),
    ("ratio", "{ratio:.2f}"),
    ("least", "{least_ratio:.2f}"),
    ("most", "{most_ratio:.2f}"),
]


def work(values: Flags) -> int:
    """Times what is there of an export in turn with the library, and prints the table."""
    settings.check_at_least(1, values, "tokens", "repeats")
    config, data_dir, _ = load_run(values.run, values.data)
    config.contract.check_generates("benchmark shipping", values.run)
    exports = _exports(values.export)
    start_tensorflow()
    from par.evaluate.trained_model import Model
    from par.export import shipped_speed

    model = Model.load(values.run, data=data_dir)
    with contextlib.ExitStack() as held:
        with silenced_stderr():
            writers, left_out = shipped_speed.writers(model, exports, held)
        total = len(writers) * (values.repeats + 1)
        progress = held.enter_context(Progress("benchmark", "measurement", total))

        def measured(tokens: int, rounds: int) -> dict[str, list[float]]:
            return in_turn.measure(
                {name: lambda write=write: write(tokens) for name, write in writers.items()},
                rounds,
                lambda name: progress(1, name),
            )

        measured(values.tokens, 1)  # traces, warms up
        found = measured(values.tokens, values.repeats)
    rows = []
    for name, times in found.items():
        size = sum(file.stat().st_size for file in _files(exports.get(name)))
        rows.append({"format": name, "bytes": size or None} | _timed(times, found["library"]))
    figures = {
        "run": values.run,
        "architecture": config.architecture.blocks,
        "tokens": values.tokens,
        "shipping": rows,
        "left_out": left_out,
    }
    shown = [
        row | {"megabytes": f"{row['bytes'] / 1e6:.2f}" if row["bytes"] else ""} for row in rows
    ]
    return output.show(
        values,
        figures,
        lambda: [
            *output.table(COLUMNS, shown),
            f"{config.architecture.short}: medians of {plural(values.repeats, 'round')} of"
            f" {plural(values.tokens, 'token')}; ratio: of the times to the library's",
            *(f"{name}: left out, {why}" for name, why in left_out.items()),
        ],
    )


def _exports(root: str | None) -> dict[str, Path]:
    """The directory of each format that is there. Raises: UsageError if none is given; DataError
    if there is none."""
    if not root:
        raise UsageError("--export=DIR is required: a directory that tools/export.py wrote")
    found = {}
    for name, each in FORMATS.items():
        for directory in (Path(root), Path(root) / name):
            if (directory / each.mark).is_file():
                found[name] = directory
    if not found:
        raise DataError(f"--export={root} holds no export: give a directory of tools/export.py")
    return found


def _files(directory: Path | None) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file()] if directory else []


def _timed(times: list[float], library: list[float]) -> dict[str, Any]:
    ratios = [one / other for one, other in zip(times, library, strict=True)]
    median = statistics.median(times)
    return {
        "milliseconds": median,
        "fastest": min(times),
        "slowest": max(times),
        "tokens_per_second": 1e3 / median,
        "ratio": statistics.median(ratios),
        "least_ratio": min(ratios),
        "most_ratio": max(ratios),
    }
