"""Text to ids on disk: the same whatever the number of processes, in the order of the text, gone
when the parent is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from par.core import signals
from par.core.errors import ResourceError
from par.data import corpus, encoding, tokenizer
from par.data.corpus import Text
from par.data.encoding import Encoder, TokenFile
from par.data.tokenizer import Tokenizer

LINES = [f"{'rare ' * (i % 7)}word{i % 13} \u00e9\u4e2d {i}" for i in range(401)] + [
    "",
    "  ",
    "tail\ttab ",
    *[" lead"] * 40,
    "a line of several blocks " * 12,
]
RAW = b"\xef\xbb\xbf" + "\n".join(LINES).encode().replace(b"word3", b"w\xffrd\x00\r\n", 3)


@pytest.fixture(scope="module")
def model() -> bytes:
    return tokenizer.train(LINES, vocab_size=400, model_type="bpe")


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of 97 bytes."""
    monkeypatch.setattr(corpus, "BLOCK_BYTES", 97)
    monkeypatch.setattr(encoding, "BLOCK_BYTES", 97)


def encode(model: bytes, text: Text, path: Path, workers: int) -> encoding.Encoded:
    with Encoder(model, len(RAW), workers) as encoder:
        return encoder.encode(text, path)


@pytest.mark.parametrize("workers", [1, 3])
def test_ids_and_counts_are_those_of_the_lines_whatever_the_number_of_processes(
    model, small_blocks, tmp_path, workers
):
    text, tally = Text.of(RAW, b"another\r\npart"), Counter()
    lines = "".join(text.blocks(tally)).split("\n")[:-1]
    expected = np.concatenate(Tokenizer(model).encode(lines))
    found = encode(model, text, tmp_path / "ids", workers)
    np.testing.assert_array_equal(found.tokens[:], expected)
    np.testing.assert_array_equal(found.counts, np.bincount(expected, minlength=400))
    joined = "".join(f"{line}\n" for line in lines)
    assert (found.lines, found.words, found.characters) == (
        len(lines),
        sum(len(line.split()) + 1 for line in lines),
        len(joined),
    )
    assert (found.bytes, found.sha256) == (
        len(joined.encode()),
        corpus.measure(text).sha256,
    ) and found.cleaned == tally
    assert found.tokens.dtype == np.uint16 and set(tally) == {
        "byte_order_marks",
        "crlf",
        "invalid_utf8",
        "nul",
        "final_newlines",
    }


def test_a_token_file_is_an_array_in_slices_and_renumbers(model, tmp_path):
    found = encode(model, Text.of(RAW), tmp_path / "ids", 1)
    whole, n = found.tokens[:], len(found.tokens)
    for start, stop in (
        (0, 0),
        (0, 5),
        (7, 8),
        (n - 2, n),
        (n - 2, n + 9),
        (n, n + 1),
        (n + 5, n + 9),
        (9, 3),
    ):
        np.testing.assert_array_equal(found.tokens[start:stop], whole[start:stop])
    old_ids = np.random.default_rng(3).permutation(400)
    again = found.renumbered(old_ids)
    np.testing.assert_array_equal(old_ids[again.tokens[:]], whole)
    np.testing.assert_array_equal(again.counts, np.bincount(again.tokens[:], minlength=400))
    assert again.tokens[:].dtype == np.int32 and len(again.tokens) == n


def test_a_large_vocabulary_is_kept_whole(tmp_path):
    (tmp_path / "ids").write_bytes(np.array([0, 70_000, 267_734], np.uint32).tobytes())
    assert TokenFile(tmp_path / "ids", np.dtype(np.min_scalar_type(267_734)))[:].tolist() == [
        0,
        70_000,
        267_734,
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a",
        "a b",
        " a  b ",
        "\n\n",
        "a\u00a0b\u3000c\x85d\x1ce\u200bf",
        "x\ty\n z\u2028",
        "\U0001f600 \U0001f600",
    ],
)
def test_words_are_counted_as_split_counts_them(text):
    if text:
        assert encoding.count_words(text) == len(text.split())
    every = "".join(f"{chr(code)}x" for code in range(0x3100) if not 0xD800 <= code < 0xE000)
    assert encoding.count_words(every + text) == len((every + text).split())


def test_few_blocks_are_under_way_at_once(model, small_blocks, tmp_path):
    read, ahead = [], []

    class Watched(Text):
        def raw_blocks(self):
            for block in super().raw_blocks():
                read.append(len(block.data))
                yield block

    def progress(made: int, what: str) -> None:
        ahead.append(len(read) - len(ahead))

    with Encoder(model, len(RAW), 2) as encoder:
        encoder.encode(Watched(Text.of(RAW).parts), tmp_path / "ids", progress)
    assert max(ahead) == 2 * 2 and len(ahead) == len(read) > 50


def test_a_worker_that_the_system_ends_is_said_in_one_line(model, small_blocks, tmp_path):
    def kill_all(made: int, what: str) -> None:
        for child in encoder._pool._processes.values():
            with contextlib.suppress(ProcessLookupError):  # gone already
                os.kill(child.pid, signal.SIGKILL)

    with (
        Encoder(model, len(RAW), 2) as encoder,
        pytest.raises(
            ResourceError, match=r"a worker process was ended by the system.* fewer --workers"
        ),
    ):
        encoder.encode(Text.of(RAW * 20), tmp_path / "ids", kill_all)


def test_signals_of_the_terminal_are_blocked_in_every_worker(model, small_blocks, tmp_path):
    masks = {}

    def note(made: int, what: str) -> None:
        for process in encoder._pool._processes:
            status = Path(f"/proc/{process}/status").read_text()
            masks[process] = int(status.split("SigBlk:")[1].split()[0], 16)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    with Encoder(model, len(RAW), 3) as encoder:
        encoder.encode(Text.of(RAW), tmp_path / "ids", note)
    blocked = sum(1 << (number - 1) for number in signals.SIGNALS)
    assert len(masks) == 3 and all(mask & blocked == blocked for mask in masks.values())
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


PARENT = """
import sys, time
from pathlib import Path
from par.data.corpus import Text
from par.data.encoding import Encoder
if __name__ == "__main__":
    with Encoder(Path(sys.argv[1]).read_bytes(), 1 << 40, 2) as encoder:
        def wait(made, what):
            print("up", flush=True)
            time.sleep(60)
        encoder.encode(Text.of(b"some text\\n" * 1_000_000), Path(sys.argv[2]), wait)
"""


def test_workers_end_when_their_parent_is_killed(model, tmp_path):
    (tmp_path / "model").write_bytes(model)
    (tmp_path / "parent.py").write_text(PARENT)
    parent = subprocess.Popen(
        [sys.executable, "parent.py", "model", "ids"], cwd=tmp_path, stdout=subprocess.PIPE
    )
    assert parent.stdout.readline() == b"up\n"
    children = [
        int(child)
        for child in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
    ]
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert len(children) >= 2
    for _ in range(200):
        if not any(
            Path(f"/proc/{child}").exists()
            and Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
            for child in children
        ):
            break
        time.sleep(0.1)
    else:
        pytest.fail(
            f"processes {children} are still there 20 seconds after their parent was killed"
        )
