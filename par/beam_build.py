"""A build on an Apache Beam runner: on processes of this machine, or on Dataflow, Spark or Flink. Needs the extra `beam`.

    text ──shards──▶ ids, counts ──▶ order of the ids, prefix sums of the lengths ──▶ record files ──▶ manifest
          driver      pipeline 1                    driver                              pipeline 2       driver

The tokenizer is trained by the driver, as in any build. The result is that of `build.Local`, byte for byte. Beam is not asked to pass text or ids
on: its elements are places, and the files that they name are read and written by the workers (par/beam_work.py).
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import os
import shlex
import signal
import sys
import tempfile
import threading
import time
import typing
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import apache_beam as beam
import numpy as np
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

from par import beam_files, beam_work, errors, files
from par.beam_work import EncodeShard, Fingerprint, SaveCounts, Shard, WritePiece
from par.build import Progress, Source
from par.config import DataConfig
from par.corpus import Text
from par.encoding import Encoded, id_type
from par.errors import ParError, ResourceError, UsageError
from par.records import Piece, RecordFile, WriteFiles
from par.sharding import ShardedTokens, shards, starts

SHARD_BYTES = 32 << 20  # of text, one element of a pipeline
MAX_SHARDS = 10_000  # of a larger text they are larger: a job's description has a limit, 10 MB on Dataflow
PROCESSES = "FnApiRunner"  # what DirectRunner comes down to here; by that name, Beam 2.77 first downloads a binary of another runner, and runs that
LAST_WORDS = 2.0  # seconds that Beam's threads have to end, when a job is broken off
JOB_SERVER = "--job_endpoint"  # behind it is a server that may have options of its own


class Beam:
    """Workers of an Apache Beam runner. To be used in a `with`.

    options: Beam's own, each text one or several as on a command line. work_dir: a directory or URL where workers and driver put what they share; by
    default it is beside the data set that is built. The text must lie where the workers can read it, too.
    Raises: UsageError for options that Beam or its runner does not take.
    """

    def __init__(self, options: Sequence[str] = (), work_dir: str = ""):
        with logged(Path(os.devnull)):
            self._options = read_options(options)
        self._work_dir = work_dir
        self._log = Path(tempfile.gettempdir()) / f"par-beam-{uuid.uuid4().hex[:12]}.log"
        self._work, self._failed = "", False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._work:
            beam_files.remove(self._work)
        if not self._failed:
            self._log.unlink(missing_ok=True)

    def encode(self, partial: Path, source: Source, model: bytes, progress: Progress) -> dict[str, Encoded]:
        """Encodes each split in shards, and takes its SHA-256.

        Raises: DataError and ResourceError as a worker does; ResourceError of a job that did not come to its end.
        """
        place = self._work_dir.rstrip("/") if beam_files.is_url(self._work_dir) else str(Path(self._work_dir).resolve())
        self._work = f"{place}/par-{uuid.uuid4().hex}" if self._work_dir else str(partial / "work")
        beam_files.write(f"{self._work}/tokenizer.model", model)
        texts = {}
        for split, text in source.corpus.texts.items():
            parts = (part._replace(source=beam_work.on_disk(part.source, f"{self._work}/text/{split}-{i}")) for i, part in enumerate(text.parts))
            texts[split] = Text(tuple(parts))
        size = max(SHARD_BYTES, source.raw_bytes // MAX_SHARDS)
        cut = [Shard(split, i, part) for split, text in texts.items() for i, part in enumerate(shards(text, size))]

        def build(pipeline: beam.Pipeline) -> None:
            lines, counts = outcomes(pipeline, "Encode", cut, EncodeShard(self._work))
            fingerprints, _ = outcomes(pipeline, "Fingerprint", list(texts.items()), Fingerprint())
            save_lines((lines, fingerprints) | beam.Flatten(), f"{self._work}/encoded")
            _ = counts | "Sum" >> beam.CombineGlobally(beam_work.summed).without_defaults() | "Save" >> beam.Map(SaveCounts(self._work))

        found = self._run(build, f"encoding {source.raw_bytes:,} bytes in {len(cut)} shards", "encoded", progress)
        counts = np.load(io.BytesIO(beam_files.read(f"{self._work}/counts.npy")), allow_pickle=False)
        return {split: self._joined(split, found, counts) for split in texts}

    @contextlib.contextmanager
    def write_files(self, partial: Path, steps: int, progress: Progress) -> Iterator[WriteFiles]:
        """Writes them side by side. Raises: as `encode`."""

        def write(root: Path, pieces: list[Piece], tokens: dict[str, ShardedTokens], settings: DataConfig, vocab_size: int) -> list[RecordFile]:
            beam_work.save_ids(self._work, tokens, vocab_size)

            def build(pipeline: beam.Pipeline) -> None:
                lines, _ = outcomes(pipeline, "Write", pieces, WritePiece(self._work, settings))
                save_lines(lines, f"{self._work}/written")

            found = self._run(build, f"writing {steps:,} steps to {len(pieces)} record files", "written", progress)
            written = {line["name"]: RecordFile(**line) for line in found}
            for file in written.values():
                beam_files.fetch(f"{self._work}/records/{file.name}", root / file.name, file.sha256)
            return [written[piece.name] for piece in pieces]

        yield write
        beam_files.remove(self._work)

    def _joined(self, split: str, found: list[dict[str, Any]], counts: np.ndarray) -> Encoded:
        """A split from what was found of its shards."""
        mine = sorted((line for line in found if line["split"] == split and "index" in line), key=lambda line: line["index"])
        sha256 = next(line["sha256"] for line in found if line["split"] == split and "sha256" in line)
        sums = {name: sum(line[name] for line in mine) for name in ("lines", "words", "characters", "bytes")}
        cleaned = sum((Counter(line["cleaned"]) for line in mine), Counter())
        read = functools.partial(beam_work.read_ids, self._work, split, id_type(len(counts)))
        tokens = ShardedTokens(starts([line["tokens"] for line in mine]), read)
        return Encoded(tokens, counts, **sums, sha256=sha256, cleaned=cleaned)

    def _run(self, build: Callable[[beam.Pipeline], None], what: str, result: str, progress: Progress) -> list[dict[str, Any]]:
        """Runs a pipeline to its end; the lines of JSON that it saved as `result`."""
        with progress(f"{what} with Beam, whose log is in {self._log}", "job", 1) as made, logged(self._log):
            try:
                run(build, self._options)
            except (Exception, SystemExit) as error:
                found = f"{last_line(error)}; its log is in {self._log}"
                self._failed = True
                raise ResourceError(f"Beam's job failed ({found}): mend the cause and run the same command again") from None
        made(1, "")
        lines = [json.loads(line) for line in beam_files.read(f"{self._work}/{result}.jsonl").splitlines()]
        for line in lines:
            if "refused" in line:
                raise getattr(errors, line["refused"])(line["message"])
        return lines


class _Outcome(beam.DoFn):
    """Calls `work` with each element: (what goes into the result, counts or None).

    What this program refuses goes into the result, too: a runner would try it again, and show it in the midst of a traceback.
    """

    def __init__(self, work: Callable[[Any], tuple[dict[str, Any], np.ndarray | None]]):
        self._work = work

    def process(self, element: Any) -> Iterator[Any]:
        """The line of a result, and counts beside it."""
        try:
            line, counts = self._work(element)
        except ParError as error:
            line, counts = {"refused": _kind(error), "message": str(error)}, None
        except OSError as error:
            if error.errno not in files.FULL:
                raise
            line, counts = {"refused": "ResourceError", "message": str(files.refused(Path(str(error.filename)), 0, error))}, None
        yield json.dumps(line)
        if counts is not None:
            yield beam.pvalue.TaggedOutput("counts", counts)


def _kind(error: ParError) -> str:
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)


def outcomes(pipeline: beam.Pipeline, name: str, elements: list[Any], work: Callable) -> tuple[beam.PCollection, beam.PCollection]:
    """The lines and the counts that `work` makes of elements, which are dealt out to the workers."""
    dealt = pipeline | f"{name}: elements" >> beam.Create(elements).with_output_types(typing.Any) | f"{name}: deal" >> beam.Reshuffle()
    made = dealt | name >> beam.ParDo(_Outcome(work)).with_outputs("counts", main="lines")
    return made.lines, made.counts


def save_lines(lines: beam.PCollection, place: str) -> None:
    """One file with all lines."""
    _ = lines | "Lines" >> beam.io.WriteToText(place, file_name_suffix=".jsonl", num_shards=1, shard_name_template="")


def read_options(texts: Sequence[str]) -> PipelineOptions:
    """Options as Beam takes them. Raises: UsageError for one that neither Beam nor its runner has, or a value that it does not take."""
    try:
        arguments = [argument for text in texts for argument in shlex.split(text)]
    except ValueError as error:
        raise UsageError(f"runner_options can't be split into words ({error}): quote them as on a command line") from None
    parsers = []

    def refuse(message: str) -> typing.NoReturn:
        raise UsageError(f"runner_options: {message}")

    def keep(parser: Any) -> None:
        parser.error = refuse
        parsers.append(parser)

    options = PipelineOptions(arguments)
    options.get_all_options(add_extra_args_fn=keep)
    unknown = parsers[0].parse_known_args(arguments)[1]
    if unknown and not any(argument.split("=")[0] == JOB_SERVER for argument in arguments):
        raise UsageError(f"runner_options: Beam {beam.__version__} has no option {unknown[0]!r}: give it options of Beam or of its runner")
    if options.view_as(StandardOptions).runner in (None, "DirectRunner"):
        options.view_as(StandardOptions).runner = PROCESSES
    try:
        beam.Pipeline(options=options)
    except (ValueError, ImportError, AttributeError) as error:
        raise UsageError(f"runner_options: {' '.join(str(error).split())}") from None
    return options


def run(build: Callable[[beam.Pipeline], None], options: PipelineOptions) -> None:
    """Runs a pipeline to its end. To be called from the main thread.

    Beam 2.77 waits for ever for a worker process that the system ended, which only a thread of its own notices, and for a busy one when it is told to
    stop. So both are noticed here, and end the worker processes of this machine first.
    Raises: what the runner raises; ResourceError if a worker process was ended.
    """
    is_here, others = options.view_as(StandardOptions).runner == PROCESSES, processes_below()
    asked, lost, result, hook = [], [], None, threading.excepthook

    def stop(number: int, _frame: Any) -> typing.NoReturn:
        asked.append(number)
        if is_here:
            for process in processes_below() - others:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
        raise KeyboardInterrupt

    def notice(failure: threading.ExceptHookArgs) -> None:
        hook(failure)
        if "subprocess exited" in str(failure.exc_value) and not asked and not lost:
            lost.append(failure.exc_value)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGTERM)  # wakes it from a lock, which _thread.interrupt_main does not

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN or number == signal.SIGTERM:
            signal.signal(number, stop)
    threading.excepthook = notice
    try:
        pipeline = beam.Pipeline(options=options)
        build(pipeline)
        result = pipeline.run()
        result.wait_until_finish()
    except KeyboardInterrupt:
        if result is not None:
            result.cancel()
        if lost:
            raise ResourceError("a worker process was ended by the system, out of memory as a rule: give fewer workers") from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if asked:
            end = time.monotonic() + LAST_WORDS
            for thread in set(threading.enumerate()) - {threading.current_thread()}:
                thread.join(max(end - time.monotonic(), 0))  # what they say belongs into the log
        threading.excepthook = hook


def processes_below() -> set[int]:
    """The processes that this one started, and those that they did."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    found, last = set(), {os.getpid()}
    while last:
        last = {process for process, parent in parents.items() if parent in last} - found
        found |= last
    return found


def last_line(error: BaseException) -> str:
    """The end of what a runner says: a worker's error, without the traceback before it."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()[:500]


@contextlib.contextmanager
def logged(log: Path) -> Iterator[None]:
    """What Beam and its worker processes say goes to a file, in place of file descriptor 2."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    sys.stderr.flush()
    saved = os.dup(2)
    try:
        with open(log, "ab") as file:
            os.dup2(file.fileno(), 2)
        root.setLevel(logging.INFO)  # a runner tells there where its job can be watched
        yield
    finally:
        sys.stderr.flush()
        os.dup2(saved, 2)
        os.close(saved)
        root.handlers[:] = handlers
        root.setLevel(level)
