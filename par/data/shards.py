"""A text in shards that are encoded apart, and their token streams joined to one stream again.

text     |---- shard 0 ----|---- shard 1 ----|-- shard 2 --|      cut at line ends
ids       t0 ........ t417  t418 ...... t803  t804 .... t990
starts    0                 418               804            991  prefix sums of the lengths
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from par.core.errors import DataError
from par.data.corpus import Part, Text, open_source, size_of

# (shard, first, stop) -> its ids [stop - first], as they were written
ReadIds = Callable[[int, int, int], np.ndarray]


def shards(text: Text, size: int) -> list[Part]:
    """The parts of a text in pieces that end at the first line end from `size` bytes on, or where
    their part does.

    Encoded one by one they give the ids of the whole. Raises: DataError if a file can't be read.
    """
    return [piece for part in text.parts for piece in _pieces(part, size)]


def _pieces(part: Part, size: int) -> list[Part]:
    source, at, stop = part
    end, found = size_of(source) if stop is None else stop, []
    try:
        with open_source(source) as file:
            while end - at > size:
                file.seek(at + size - 1)
                cut = at + size - 1
                while (line := file.readline(min(1 << 20, end - cut))) and not line.endswith(
                    b"\n"
                ):
                    cut += len(line)
                cut += len(line)
                if cut >= end:
                    break
                found.append(Part(source, at, cut))
                at = cut
    except OSError as error:
        raise DataError(f"text {source} can't be read ({error.strerror})") from None
    return [*found, Part(source, at, stop)]


def starts(lengths: list[int]) -> np.ndarray:
    """[K] lengths -> [K+1] int64: where each shard begins in the one stream, and its length."""
    return np.concatenate([[0], np.cumsum(np.array(lengths, np.int64))]).astype(np.int64)


def spans(starts: np.ndarray, first: int, stop: int) -> list[tuple[int, int, int]]:
    """Where the ids `first` to `stop` (exclusive) of the stream are: (shard, first, stop) each,
    counted within that shard."""
    found = []
    for k in range(int(np.searchsorted(starts, first, side="right")) - 1, len(starts) - 1):
        begin, end = int(starts[k]), int(starts[k + 1])
        if begin >= stop:
            break
        if max(first, begin) < min(stop, end):
            found.append((k, max(first, begin) - begin, min(stop, end) - begin))
    return found


class ShardedTokens:
    """The token stream [N] of shards, read slice by slice; `new_ids` [V] renumbers what is
    read."""

    def __init__(self, starts: np.ndarray, read: ReadIds, new_ids: np.ndarray | None = None):
        self.starts, self._read, self.new_ids = starts, read, new_ids

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __getitem__(self, part: slice) -> np.ndarray:
        """Ids [stop - start] int32."""
        start, stop, _ = part.indices(len(self))
        found = [self._read(*span) for span in spans(self.starts, start, stop)]
        ids = np.concatenate(found) if found else np.zeros([0], np.int32)
        return ids.astype(np.int32) if self.new_ids is None else self.new_ids[ids]

    def renumbered(self, new_ids: np.ndarray) -> ShardedTokens:
        """The same stream with id i called `new_ids[i]`."""
        return ShardedTokens(self.starts, self._read, new_ids)
