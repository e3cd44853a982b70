"""A text in shards: their ids, one after the other, are those of the whole; where a stream's ids
are; which ids a step needs."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import pytest

from built import AWKWARD, sentences
from par.core.errors import DataError
from par.data import windows
from par.data.corpus import Part, Text
from par.data.encoding import Encoder
from par.data.shards import ShardedTokens, shards, spans, starts
from par.data.tokenizer import train


def naive_shards(data: bytes, start: int, stop: int, size: int) -> list[bytes]:
    """Line by line: a shard ends with the line in which it reaches its size."""
    found, held = [], b""
    for line in io.BytesIO(data[start:stop]):
        held += line
        if len(held) >= size:
            found.append(held)
            held = b""
    return found + [held] * bool(held)


@pytest.mark.parametrize("size", [1, 2, 13, 29, 97, 211, 1000])
@pytest.mark.parametrize(("start", "stop"), [(0, None), (16, None), (0, 31), (16, 31), (7, 7)])
def test_shards_are_whole_lines_and_together_the_text(tmp_path, size, start, stop):
    (tmp_path / "text").write_bytes(AWKWARD)
    for source in (tmp_path / "text", AWKWARD):
        found = shards(Text((Part(source, start, stop),)), size)
        ends = [len(AWKWARD) if part.stop is None else part.stop for part in found]
        assert [part.start for part in found[1:]] == ends[:-1] and (
            found[0].start,
            found[-1].stop,
        ) == (start, stop)
        cut = [AWKWARD[part.start : end] for part, end in zip(found, ends)]
        assert all(cut) or len(cut) == 1
        assert [piece for piece in cut if piece] == naive_shards(
            AWKWARD, start, len(AWKWARD) if stop is None else stop, size
        )


@pytest.mark.parametrize(("kind", "size"), [("unigram", 347), ("word", 0)])
def test_shards_encoded_apart_give_the_ids_and_the_counts_of_the_whole(tmp_path, kind, size):
    model = train(
        [*sentences(101), "a first line", "two  spaces"], vocab_size=size, model_type=kind
    )
    (tmp_path / "text").write_bytes(AWKWARD)
    text = Text((Part(tmp_path / "text"), Part(AWKWARD, 16, 31)))
    with Encoder(model, 0, workers=1) as encoder:
        whole = encoder.encode(text, tmp_path / "whole")
        for size in (1, 29, 97):
            apart = [
                encoder.encode(Text((part,)), tmp_path / str(i))
                for i, part in enumerate(shards(text, size))
            ]
            assert np.array_equal(
                np.concatenate([found.tokens[:] for found in apart]), whole.tokens[:]
            )
            assert (
                sum((found.cleaned for found in apart), Counter()) == whole.cleaned
                and len(whole.cleaned) == 6
            )
            for name in ("lines", "words", "characters", "bytes"):
                assert sum(getattr(found, name) for found in apart) == getattr(whole, name)


def test_a_text_that_can_not_be_read_is_refused(tmp_path):
    (tmp_path / "text").mkdir()
    with pytest.raises(DataError, match=r"text .*text can't be read \(Is a directory\)"):
        shards(Text.of(tmp_path / "text"), 1)


@pytest.mark.parametrize("lengths", [[5], [0], [3, 0, 0, 4, 1], [0, 2, 7, 0]])
def test_spans_are_where_each_id_is(lengths):
    begin, places = (
        starts(lengths),
        [(k, i) for k, length in enumerate(lengths) for i in range(length)],
    )
    assert begin.tolist() == [sum(lengths[:k]) for k in range(len(lengths) + 1)]
    for first in range(len(places) + 1):
        for stop in range(first, len(places) + 1):
            assert [
                (k, i) for k, a, b in spans(begin, first, stop) for i in range(a, b)
            ] == places[first:stop]
            assert all(a < b for _, a, b in spans(begin, first, stop))


def test_a_sharded_stream_is_sliced_and_renumbered_like_an_array():
    draw = np.random.default_rng(3)
    parts = [draw.integers(0, 11, length).astype(np.uint8) for length in (7, 0, 1, 23, 5)]
    whole, new_ids = np.concatenate(parts), draw.permutation(11).astype(np.int32)
    stream = ShardedTokens(
        starts([len(part) for part in parts]), lambda k, first, stop: parts[k][first:stop]
    )
    assert len(stream) == 36 and stream[:].dtype == np.int32
    for first, stop in ((0, 36), (6, 9), (8, 8), (30, 99), (36, 40)):
        assert np.array_equal(stream[first:stop], whole[first:stop])
        assert np.array_equal(stream.renumbered(new_ids)[first:stop], new_ids[whole[first:stop]])


@pytest.mark.parametrize("pad_id", [None, 0])
def test_the_steps_of_a_file_need_only_their_rows_ids(pad_id):
    tokens, asked = np.arange(1, 102), []

    class Watched:
        def __len__(self):
            return len(tokens)

        def __getitem__(self, part):
            asked.append((part.start, part.stop))
            return tokens[part]

    whole = windows.windows(tokens, 3, 5, pad_id)
    for first, stop in ((0, 1), (2, 5), (5, len(whole)), (3, 3)):
        asked.clear()
        found = list(
            windows.window_chunks(
                Watched(), 3, 5, pad_id, chunk_tokens=30, start_step=first, stop_step=stop
            )
        )
        assert np.array_equal(np.concatenate(found) if found else whole[:0], whole[first:stop])
        assert sum(b - a for a, b in asked) <= 3 * ((stop - first) * 5 + len(found))
