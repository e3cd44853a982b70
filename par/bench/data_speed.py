"""How fast a data set is built and how much memory that takes, beside what SentencePiece alone
encodes on the same cores."""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import sentencepiece

from par.core import files
from par.core.config import DataConfig
from par.core.machine import core_count
from par.data import build
from par.data.corpus import Text

MEGABYTE = 1_000_000
BASELINE_BYTES = 32 * MEGABYTE  # of text that SentencePiece alone encodes
# in one call; from 200 to a million were tried, and differ by less than the machine from minute to
# minute
BASELINE_LINES = 5000


def write_text(path: Path, source: Text, size: int) -> None:
    """A text of `size` bytes: a source, again and again."""
    with open(path, "wb") as file:
        left = size
        for block in itertools.cycle(source.blocks()):
            data = block.encode("utf-8")
            file.write(data[:left])
            left -= len(data)
            if left <= 0:
                break


def build_timed(settings: DataConfig, root: Path, workers: int) -> dict[str, float]:
    """Builds a data set in a process of its own: seconds of each stage, and the peak memory (MB)
    of that process and its workers."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_build, args=(sender, settings, root, workers))
    process.start()
    sender.close()
    peak, done = [0], threading.Event()
    watcher = threading.Thread(target=_watch, args=(process.pid, peak, done))
    watcher.start()
    try:
        stages = receiver.recv()
        if isinstance(stages, Exception):
            raise stages
    finally:
        process.join()
        done.set()
        watcher.join()
    return stages | {"peak_memory_megabytes": peak[0] / MEGABYTE}


def _build(
    sender: multiprocessing.connection.Connection, settings: DataConfig, root: Path, workers: int
) -> None:
    try:
        sender.send(_stages(settings, root, workers))
    except Exception as error:
        sender.send(error)


def _stages(settings: DataConfig, root: Path, workers: int) -> dict[str, float]:
    """What tools/build_data.py does, by the clock."""
    times, engine = [time.perf_counter()], build.Local(workers)
    source = build.load_source(settings)
    times.append(time.perf_counter())
    with files.building(root, "manifest.json", "output_dir") as partial:
        model = build.train(source)
        times.append(time.perf_counter())
        tokenizer, encoded = build.encode(partial, source, model, _silent, engine)
        times.append(time.perf_counter())
        import tensorflow as tf

        tf.constant(0)
        times.append(time.perf_counter())
        build.write(partial, source, tokenizer, encoded, _silent, engine)
    times.append(time.perf_counter())
    names = ("reading", "training", "encoding", "starting_tensorflow", "writing")
    return {name: after - before for name, before, after in zip(names, times, times[1:])}


@contextlib.contextmanager
def _silent(what: str, unit: str, total: int) -> Iterator:
    yield lambda made, text="": None


def _watch(process: int, peak: list[int], done: threading.Event) -> None:
    """Notes the most memory that a process and its children have at once; pages that they share
    count once."""
    while not done.wait(0.2):
        peak[0] = max(peak[0], sum(map(_memory, _family(process))))


def _family(process: int) -> list[int]:
    found = [process]
    with contextlib.suppress(OSError):
        for child in Path(f"/proc/{process}/task/{process}/children").read_text().split():
            found += _family(int(child))
    return found


def _memory(process: int) -> int:
    """Proportional set size in bytes; 0 if the process has ended."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


class Baseline:
    """SentencePiece alone: text in memory to lists of ids."""

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
        """Megabytes of text a second."""
        start = time.perf_counter()
        for i in range(0, len(self._lines), BASELINE_LINES):
            self._processor.encode(
                self._lines[i : i + BASELINE_LINES], add_eos=True, num_threads=self._threads
            )
        return self._bytes / MEGABYTE / (time.perf_counter() - start)
