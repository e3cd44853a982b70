"""How fast a data set is built and how much memory that needs, compared with SentencePiece alone
on the same cores."""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sentencepiece

from par.bench import peak_memory
from par.core import files, processes
from par.core.config import DataConfig
from par.core.machine import core_count
from par.data import build
from par.data.corpus import Text

MEGABYTE = 1_000_000
BASELINE_BYTES = 32 * MEGABYTE  # of text that SentencePiece alone encodes
# in one call; 200 to a million were tried: no difference beyond the machine's own fluctuation
BASELINE_LINES = 5000


def write_text(path: Path, source: Text, size: int) -> None:
    """Writes a text of `size` bytes: a source, repeated."""
    with open(path, "wb") as file:
        left = size
        for block in itertools.cycle(source.blocks()):
            data = block.encode("utf-8")
            file.write(data[:left])
            left -= len(data)
            if left <= 0:
                break


def build_timed(
    settings: DataConfig, root: Path, workers: int, start_tensorflow: Callable[[], Any]
) -> dict[str, float]:
    """Builds a data set in a process of its own: seconds of each stage, and the peak memory (MB)
    of that process and its workers.

    start_tensorflow: called in that process before records are written; a function of a module.
    Raises: what the build raises; ResourceError if the process was killed, as by a lack of memory.
    """
    call = processes.Call(_build, settings, root, workers, start_tensorflow)
    return call.result("the process that built the data set")


def _build(
    settings: DataConfig, root: Path, workers: int, start_tensorflow: Callable[[], Any]
) -> dict[str, float]:
    with peak_memory.watched(os.getpid()) as peak:
        stages = _stages(settings, root, workers, start_tensorflow)
    return stages | {"peak_memory_megabytes": peak.bytes / MEGABYTE}


def _stages(
    settings: DataConfig, root: Path, workers: int, start_tensorflow: Callable[[], Any]
) -> dict[str, float]:
    """The seconds of each stage of a build, as tools/build_data.py runs them."""
    times, engine = [time.perf_counter()], build.Local(workers)
    source = build.load_source(settings)
    times.append(time.perf_counter())
    with files.building(root, "manifest.json", "output_dir") as partial:
        model = build.train(source)
        times.append(time.perf_counter())
        tokenizer, encoded = build.encode(partial, source, model, _silent, engine)
        times.append(time.perf_counter())
        start_tensorflow()
        times.append(time.perf_counter())
        build.write(partial, source, tokenizer, encoded, _silent, engine)
    times.append(time.perf_counter())
    names = ("reading", "training", "encoding", "starting_tensorflow", "writing")
    return {name: after - before for name, before, after in zip(names, times, times[1:])}


@contextlib.contextmanager
def _silent(what: str, unit: str, total: int) -> Iterator:
    yield lambda made, text="": None


class Baseline:
    """SentencePiece alone: encodes text in memory to lists of ids."""

    def __init__(self, model: Path, text: Path, workers: int):
        self._processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
        self._threads = workers or core_count()
        self._lines, self._bytes = [], 0
        for line in Text.of(text).pieces():
            self._lines.append(line)
            self._bytes += len(line.encode()) + 1
            if self._bytes >= BASELINE_BYTES:
                break

    def rate(self) -> float:
        """Megabytes of text per second."""
        start = time.perf_counter()
        for i in range(0, len(self._lines), BASELINE_LINES):
            self._processor.encode(
                self._lines[i : i + BASELINE_LINES], add_eos=True, num_threads=self._threads
            )
        return self._bytes / MEGABYTE / (time.perf_counter() - start)
