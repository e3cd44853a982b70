"""A build on an Apache Beam runner: on processes of this machine, or on Dataflow, Spark or Flink.
Needs the extra `beam`.

    driver      cuts the text into shards
    pipeline 1  shards -> ids, counts
    driver      order of the ids, prefix sums of the lengths
    pipeline 2  ids -> record files
    driver      manifest

The driver trains the tokenizer, as in any build. The result is that of `build.Local`, byte for
byte. Beam's elements are the places of files, not text or ids: workers read and write these files
(par/data/beam/worker.py).
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import tempfile
import typing
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import apache_beam as beam
import numpy as np

from par.core import errors, files
from par.core.config import DataConfig
from par.core.errors import ParError, ResourceError
from par.data.beam import files as beam_files
from par.data.beam import runner, worker
from par.data.beam.worker import EncodeShard, Fingerprint, SaveCounts, Shard, WritePiece
from par.data.build import Progress, Source
from par.data.corpus import Text
from par.data.encoding import Encoded, id_type
from par.data.manifest import RecordFile
from par.data.record_file import Piece, WriteFiles
from par.data.shards import ShardedTokens, shards, starts

SHARD_BYTES = 32 << 20  # of text, one element of a pipeline
# of a larger text they are larger: a job's description has a limit, 10 MB on Dataflow
MAX_SHARDS = 10_000


class Beam:
    """A build by the workers of an Apache Beam runner. To be used in a `with`. The workers must be
    able to read the text.

    Args:
      options: Beam's own; each text holds one or several, as on a command line.
      work_dir: a directory or URL for what workers and driver share; by default beside the data
        set that is built.

    Raises: UsageError for options that Beam or its runner does not take.
    """

    def __init__(self, options: Sequence[str] = (), work_dir: str = ""):
        with runner.logged(Path(os.devnull)):
            self._options = runner.read_options(options)
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

    def encode(
        self, partial: Path, source: Source, model: bytes, progress: Progress
    ) -> dict[str, Encoded]:
        """Encodes each split in shards, and takes its SHA-256.

        Raises: DataError and ResourceError as a worker does; ResourceError if a job fails.
        """
        place = (
            self._work_dir.rstrip("/")
            if beam_files.is_url(self._work_dir)
            else str(Path(self._work_dir).resolve())
        )
        self._work = f"{place}/par-{uuid.uuid4().hex}" if self._work_dir else str(partial / "work")
        beam_files.write(f"{self._work}/tokenizer.model", model)
        shared = {  # a source once, though several splits may have parts of it
            id(part.source): part.source
            for text in source.corpus.texts.values()
            for part in text.parts
        }
        on_disk = {
            key: worker.on_disk(text, f"{self._work}/text/{i}")
            for i, (key, text) in enumerate(shared.items())
        }
        texts = {
            split: Text(
                tuple(part._replace(source=on_disk[id(part.source)]) for part in text.parts)
            )
            for split, text in source.corpus.texts.items()
        }
        size = max(SHARD_BYTES, source.raw_bytes // MAX_SHARDS)
        cut = [
            Shard(split, i, part)
            for split, text in texts.items()
            for i, part in enumerate(shards(text, size))
        ]

        def build(pipeline: beam.Pipeline) -> None:
            lines, counts = outcomes(pipeline, "Encode", cut, EncodeShard(self._work))
            fingerprints, _ = outcomes(pipeline, "Fingerprint", list(texts.items()), Fingerprint())
            save_lines((lines, fingerprints) | beam.Flatten(), f"{self._work}/encoded")
            _ = (
                counts
                | "Sum" >> beam.CombineGlobally(worker.summed).without_defaults()
                | "Save" >> beam.Map(SaveCounts(self._work))
            )

        found = self._run(
            build, f"encoding {source.raw_bytes:,} bytes in {len(cut)} shards", "encoded", progress
        )
        counts = worker.load_counts(self._work)
        return {split: self._joined(split, found, counts) for split in texts}

    @contextlib.contextmanager
    def write_files(self, partial: Path, steps: int, progress: Progress) -> Iterator[WriteFiles]:
        """Yields what writes them in parallel. Raises: as `encode`."""

        def write(
            root: Path,
            pieces: list[Piece],
            tokens: dict[str, ShardedTokens],
            settings: DataConfig,
            vocab_size: int,
        ) -> list[RecordFile]:
            worker.save_ids(self._work, tokens, vocab_size)

            def build(pipeline: beam.Pipeline) -> None:
                lines, _ = outcomes(pipeline, "Write", pieces, WritePiece(self._work, settings))
                save_lines(lines, f"{self._work}/written")

            found = self._run(
                build,
                f"writing {steps:,} steps to {len(pieces)} record files",
                "written",
                progress,
            )
            written = {line["name"]: RecordFile(**line) for line in found}
            for file in written.values():
                beam_files.fetch(
                    f"{self._work}/records/{file.name}", root / file.name, file.sha256
                )
            return [written[piece.name] for piece in pieces]

        yield write
        beam_files.remove(self._work)

    def _joined(self, split: str, found: list[dict[str, Any]], counts: np.ndarray) -> Encoded:
        """A split from the results of its shards."""
        mine = sorted(
            (line for line in found if line["split"] == split and "index" in line),
            key=lambda line: line["index"],
        )
        sha256 = next(
            line["sha256"] for line in found if line["split"] == split and "sha256" in line
        )
        sums = {
            name: sum(line[name] for line in mine)
            for name in ("lines", "words", "characters", "bytes")
        }
        cleaned = sum((Counter(line["cleaned"]) for line in mine), Counter())
        read = functools.partial(worker.read_ids, self._work, split, id_type(len(counts)))
        tokens = ShardedTokens(starts([line["tokens"] for line in mine]), read)
        return Encoded(tokens, counts, **sums, sha256=sha256, cleaned=cleaned)

    def _run(
        self, build: Callable[[beam.Pipeline], None], what: str, result: str, progress: Progress
    ) -> list[dict[str, Any]]:
        """Runs a pipeline to its end; the lines of JSON that it saved as `result`."""
        with (
            progress(f"{what} with Beam, whose log is in {self._log}", "job", 1) as made,
            runner.logged(self._log),
        ):
            try:
                runner.run(build, self._options)
            except (Exception, SystemExit) as error:
                found = f"{runner.last_line(error)}; its log is in {self._log}"
                self._failed = True
                raise ResourceError(
                    f"Beam's job failed ({found}): mend the cause and run the same command again"
                ) from None
        made(1, "")
        lines = [
            json.loads(line)
            for line in beam_files.read(f"{self._work}/{result}.jsonl").splitlines()
        ]
        for line in lines:
            if "refused" in line:
                raise getattr(errors, line["refused"])(line["message"])
        return lines


class _Outcome(beam.DoFn):
    """Calls `work` with each element: (what goes into the result, counts or None).

    This program's own errors go into the result, too: a runner would try again, and show them
    inside a traceback.
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
            if error.errno not in files.DISK_FULL:
                raise
            line, counts = (
                {
                    "refused": "ResourceError",
                    "message": str(files.write_error(Path(str(error.filename)), 0, error)),
                },
                None,
            )
        yield json.dumps(line)
        if counts is not None:
            yield beam.pvalue.TaggedOutput("counts", counts)


def _kind(error: ParError) -> str:
    return next(
        kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__
    )


def outcomes(
    pipeline: beam.Pipeline, name: str, elements: list[Any], work: Callable
) -> tuple[beam.PCollection, beam.PCollection]:
    """The lines and the counts that `work` makes of elements, which are distributed over the
    workers."""
    distributed = (
        pipeline
        | f"{name}: elements" >> beam.Create(elements).with_output_types(typing.Any)
        | f"{name}: distribute" >> beam.Reshuffle()
    )
    made = distributed | name >> beam.ParDo(_Outcome(work)).with_outputs("counts", main="lines")
    return made.lines, made.counts


def save_lines(lines: beam.PCollection, place: str) -> None:
    """One file with all lines."""
    _ = lines | "Lines" >> beam.io.WriteToText(
        place, file_name_suffix=".jsonl", num_shards=1, shard_name_template=""
    )
