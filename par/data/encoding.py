"""Text -> token ids on disk, on all cores, in bounded memory.

This process reads the text block by block; worker processes clean and encode blocks, and the
results are written in order, so they do not depend on the number of workers. At most two blocks a
worker are in progress at once.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from par.core import files, processes, signals
from par.core.errors import ResourceError
from par.core.machine import core_count
from par.data.corpus import BLOCK_BYTES, RawBlock, Text
from par.data.shards import ShardedTokens
from par.data.tokenizer import Tokenizer

# U+3000 is the last white space of Unicode
_IS_SPACE = np.array([chr(code).isspace() for code in range(0x3001)] + [False])
BLOCKS_PER_WORKER = 4  # fewer are not worth the start of a process


def id_type(vocab_size: int) -> np.dtype:
    """The smallest integer type that holds every id of a vocabulary."""
    return np.dtype(np.min_scalar_type(vocab_size - 1))


class TokenFile:
    """A token stream [N] in a file, read slice by slice; `new_ids` [V] renumbers what is read."""

    def __init__(self, path: Path, dtype: np.dtype, new_ids: np.ndarray | None = None):
        self.path, self.dtype, self.new_ids = path, dtype, new_ids
        self._length = path.stat().st_size // dtype.itemsize

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> np.ndarray:
        """Ids [stop - start] int32."""
        start, stop, _ = part.indices(self._length)
        ids = np.fromfile(
            self.path, self.dtype, count=max(stop - start, 0), offset=start * self.dtype.itemsize
        )
        return ids.astype(np.int32) if self.new_ids is None else self.new_ids[ids]

    def renumbered(self, new_ids: np.ndarray) -> TokenFile:
        """The same stream with id i called `new_ids[i]`."""
        return TokenFile(self.path, self.dtype, new_ids)


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A split as ids: the stream, how often each id occurs in it [V], and the counts (line ends
    included) and SHA-256 of its cleaned text."""

    tokens: TokenFile | ShardedTokens
    counts: np.ndarray
    lines: int
    words: int
    characters: int
    bytes: int
    sha256: str
    cleaned: Counter

    def renumbered(self, old_ids: np.ndarray) -> Encoded:
        """The same stream with id `old_ids[i]` called i."""
        new_ids = np.argsort(old_ids).astype(np.int32)
        return dataclasses.replace(
            self, tokens=self.tokens.renumbered(new_ids), counts=self.counts[old_ids]
        )


class Encoder:
    """Encodes text in at most `workers` processes (0: one a core), fewer for a text of few bytes
    (`size`). To be used in a `with`."""

    def __init__(self, model: bytes, size: int, workers: int = 0):
        wanted = min(workers or core_count(), -(-size // (BLOCKS_PER_WORKER * BLOCK_BYTES)))
        self._workers, self._pool, self._tokenizer = max(wanted, 1), None, Tokenizer(model)
        self._dtype = id_type(self._tokenizer.vocab_size)
        if wanted > 1:
            context = multiprocessing.get_context("spawn")
            with signals.blocked():  # in workers: Ctrl-C reaches them, too
                self._pool = concurrent.futures.ProcessPoolExecutor(
                    wanted, context, _start_worker, (model,)
                )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def encode(
        self,
        text: Text,
        path: Path,
        progress: Callable[[int, str], None] = lambda bytes_, what: None,
    ) -> Encoded:
        """Writes the ids of a text to `path`. Raises: ResourceError if the disk is full, or a
        worker was ended by the system."""
        digest, counts, totals, cleaned = (
            hashlib.sha256(),
            np.zeros([self._tokenizer.vocab_size], np.int64),
            np.zeros([4], np.int64),
            Counter(),
        )
        with open(path, "wb", buffering=0) as file:
            for raw, result in self._results(text.raw_blocks()):
                digest.update(raw if result.cleaned is None else result.cleaned)
                counts += np.bincount(result.ids, minlength=len(counts))
                totals += result.sizes
                cleaned += result.tally
                ids = memoryview(result.ids.astype(self._dtype)).cast("B")
                try:
                    while ids:
                        ids = ids[file.write(ids) :]
                except OSError as error:
                    raise files.write_error(
                        path, int(counts.sum()) * self._dtype.itemsize, error
                    ) from None
                progress(len(raw), "")
        return Encoded(
            TokenFile(path, self._dtype), counts, *totals.tolist(), digest.hexdigest(), cleaned
        )

    def _results(self, blocks: Iterator[RawBlock]) -> Iterator[tuple[bytes, EncodedBlock]]:
        """The bytes of each block with what `encode_block` makes of it, in order."""
        continues, under_way = False, deque()
        try:
            for block in blocks:
                under_way.append((block.data, self._submit(block, continues)))
                continues = not (block.ends_part or block.data.endswith(b"\n"))
                if len(under_way) >= 2 * self._workers:
                    data, result = under_way.popleft()
                    yield data, result()
            while under_way:
                data, result = under_way.popleft()
                yield data, result()
        except BrokenProcessPool:
            raise ResourceError(
                "a worker process was ended by the system, out of memory as a rule: give fewer"
                " --workers"
            ) from None

    def _submit(self, block: RawBlock, continues: bool) -> Callable[[], EncodedBlock]:
        if self._pool is None:
            return lambda: encode_block(self._tokenizer, block, continues)
        # each of the first calls starts a worker, which inherits the mask: only the parent ends it
        with signals.blocked():
            return self._pool.submit(_work, block, continues).result


class EncodedBlock(NamedTuple):
    """Ids [N] int32; lines, words, characters and bytes; the cleaned bytes, None if nothing was
    cleaned; what was."""

    ids: np.ndarray
    sizes: tuple[int, int, int, int]
    cleaned: bytes | None
    tally: Counter


def encode_block(tokenizer: Tokenizer, block: RawBlock, continues: bool) -> EncodedBlock:
    """Cleans and encodes a block, which `continues` a line or not."""
    tally: Counter = Counter()
    text = block.clean(tally)
    cleaned = text.encode("utf-8") if tally else None
    data = block.data if cleaned is None else cleaned
    lines = data.count(b"\n")
    sizes = (lines, count_words(text) + lines, len(text), len(data))
    return EncodedBlock(tokenizer.encode_block(text, continues), sizes, cleaned, tally)


def count_words(text: str) -> int:
    """`len(text.split())`, several times as fast."""
    is_space = np.take(_IS_SPACE, np.frombuffer(text.encode("utf-32-le"), np.uint32), mode="clip")
    return int(np.count_nonzero(~is_space[1:] & is_space[:-1])) + int(not is_space[:1].all())


_tokenizer: Tokenizer  # the tokenizer of a worker process


def _start_worker(model: bytes) -> None:
    """Prepares a worker process, which ends when its parent is gone, even killed."""
    global _tokenizer
    processes.end_with_parent()
    _tokenizer = Tokenizer(model)


def _work(block: RawBlock, continues: bool) -> EncodedBlock:
    return encode_block(_tokenizer, block, continues)
