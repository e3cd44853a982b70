"""The command tools/build_data.py: what it writes, what it says, what it leaves alone, and what it
refuses and leaves nothing of."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import documented
import killed_builds
from built import SMALL, contents, foreign, run, sentences
from par.bench import data_speed
from par.core import files, schema
from par.core.config import DataConfig
from par.core.errors import ResourceError
from par.data import build, corpus, encoding, named_corpora, records, tokenizer
from par.data.fetching.known_file import Known
from par.data.tokenizer import SPECIAL_PIECES, Tokenizer
from par.tools import build_data
from par.tools.cli.tensorflow import start_tensorflow
from project import ROOT


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The current directory, with text.txt of 401 lines."""
    (tmp_path / "text.txt").write_text("".join(f"{line}\n" for line in sentences(401)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_the_command_builds_says_what_it_did_and_does_it_once(here, run_tool):
    (here / "text.txt").write_bytes(
        b"\xef\xbb\xbf"
        + (here / "text.txt").read_bytes()[:-1].replace(b"\n", b"\r\n", 2)
        + b"\xff\x00"
    )
    first = run_tool("build_data", "--input_text=text.txt", *SMALL, "--shards=2", cwd=here)
    assert first.code == 0, first.err
    manifest = records.load(here / "data" / "text")
    for said in (
        (
            "1 byte order marks removed; 2 CRLF line ends turned into LF; 1 invalid UTF-8"
            " sequences turned into U+FFFD"
        ),
        "1 NUL characters turned into U+FFFD; 1 missing final newlines added",
        f"vocabulary: {manifest.vocab_size} pieces (char)",
        "sample: ",
        (
            "train        "
            f" 361{manifest.splits['train'].words:>13,}{manifest.splits['train'].bytes:>15,}"
            f"{manifest.splits['train'].tokens:>13,}"
        ),
        "unigram model, perplexity per word: valid ",
        "next: python tools/train.py --data=data/text",
    ):
        assert said in first.out
    before = contents(here)
    second = run_tool("build_data", "--input_text=text.txt", *SMALL, "--shards=2", cwd=here)
    assert (
        second.code == 0
        and second.out
        == "data/text is there already, of this text and these settings, and its files are whole\n"
        + first.out
    )
    assert contents(here) == before and sorted(os.listdir(here / "data")) == ["text"]


def test_what_is_built_is_the_text(here, capsys):
    run(
        capsys,
        "--input_text=text.txt",
        "--vocab_size=409",
        "--model_type=bpe",
        "--batch_size=3",
        "--seq_len=7",
    )
    data = here / "data" / "text"
    manifest, model = records.load(data), Tokenizer.load(data / "tokenizer.model")
    lines = {
        name: sentences(401)[start:stop]
        for name, start, stop in (("train", 0, 361), ("valid", 361, 381), ("test", 381, 401))
    }
    for name, split in manifest.splits.items():
        text = "".join(f"{line}\n" for line in lines[name])
        assert (split.words, split.bytes) == (
            sum(len(line.split()) + 1 for line in lines[name]),
            len(text.encode()),
        )
        decoded = model.decode(records.read_stream(data, manifest, name))
        assert (
            decoded == text
            if name != "train"
            else text.startswith(decoded.rstrip("\n")) and split.dropped < 21
        )
    counts = records.read_counts(data, manifest)
    assert (np.diff(counts[8:]) <= 0).all() and counts.sum() == manifest.splits["train"].tokens


def test_two_builds_are_byte_identical_wherever_they_are_and_wherever_the_text_is(here, capsys):
    (here / "elsewhere").mkdir()
    shutil.copy("text.txt", "elsewhere/text.txt")
    run(
        capsys,
        "--input_text=text.txt",
        "--vocab_size=367",
        "--batch_size=3",
        "--seq_len=7",
        "--output_dir=a",
    )
    run(
        capsys,
        f"--input_text={here}/elsewhere/text.txt",
        "--vocab_size=367",
        "--batch_size=3",
        "--seq_len=7",
        "--output_dir=deep/b",
    )
    assert contents(here / "a") == contents(here / "deep" / "b")
    assert str(here) not in (here / "a" / "manifest.json").read_text()


def test_json_is_one_line_with_plain_keys(here, capsys):
    flags = ("--input_text=text.txt", *SMALL, "--baseline=kneser_ney", "--json")
    value = json.loads(run(capsys, *flags))
    manifest = records.load(here / "data" / "text")
    assert (
        value["data"] == "data/text"
        and value["vocab_size"] == manifest.vocab_size
        and value["was_built_before"] is False
    )
    assert (
        value["splits"]["valid"]["tokens"] == manifest.splits["valid"].tokens
        and value["cleaning"]["crlf"] == 0
    )
    assert value["unigram_perplexity_per_word"]["valid"] > 1
    assert value["kneser_ney_perplexity_per_word"]["valid"] > 1
    assert json.loads(run(capsys, *flags)) == value | {"was_built_before": True}
    documented.check("build_data --json", value)
    documented.check(
        "manifest.json", json.loads((here / "data" / "text" / "manifest.json").read_text())
    )
    documented.check_files("Data set", here / "data" / "text")


def test_a_directory_with_splits_and_a_named_corpus_bring_theirs(here, capsys, monkeypatch):
    (here / "three").mkdir()
    for name, number in (("train", 101), ("valid", 7), ("test", 11)):
        (here / "three" / f"{name}.txt").write_text(
            "".join(f"{line} <unk>\n" for line in sentences(number))
        )
    value = json.loads(run(capsys, "--input_text=three", *SMALL, "--symbols=<unk>", "--json"))
    assert {name: split["lines"] for name, split in value["splits"].items()} == {
        "train": 101,
        "valid": 7,
        "test": 11,
    }
    assert "<unk>" in Tokenizer.load("data/three/tokenizer.model").pieces(
        range(value["vocab_size"])
    )
    digests = {
        name: f"sha256:{files.sha256(here / 'three' / f'{name}.txt')}" for name in records.SPLITS
    }
    monkeypatch.setattr(
        named_corpora,
        "WIKITEXT_2_SMALL",
        {name: Known(f"{name}.txt", 1, digest) for name, digest in digests.items()},
    )
    shutil.copytree("three", "data/raw/wikitext-2-small")
    run(capsys, "--corpus=wikitext-2-small", *SMALL)
    manifest = records.load("data/wikitext-2-small")
    assert manifest.settings["symbols"] == ["<unk>"] and manifest.name == "wikitext-2-small"
    assert "<unk>" in Tokenizer.load("data/wikitext-2-small/tokenizer.model").pieces(
        range(manifest.vocab_size)
    )


def test_a_model_type_beside_a_recipe_replaces_the_recipe_s_vocabulary_and_case(here, capsys):
    run(
        capsys,
        "--input_text=text.txt",
        "--recipe=base",
        "--model_type=word",
        "--batch_size=3",
        "--seq_len=7",
    )
    manifest = records.load("data/text")
    assert (
        manifest.vocab_size
        == 8 + len({word for line in sentences(401)[:361] for word in line.split()})
        and not manifest.lowercase
    )


def test_a_recipe_gives_the_settings_that_the_flags_do_not(here, capsys):
    (here / "own.flags").write_text(
        "--vocab_size=307\n--model_type=char\n--batch_size=5\n--seq_len=7\n--epochs=3\n"
    )
    run(capsys, "--input_text=text.txt", "--recipe=own.flags", "--batch_size=3")
    manifest = records.load("data/text")
    assert (manifest.batch_size, manifest.seq_len, manifest.settings["model_type"]) == (
        3,
        7,
        "char",
    )


def test_the_next_command_takes_the_recipe_s_cutoffs_away_where_they_do_not_lie_in_the_vocabulary(
    here, capsys, run_tool
):
    flags = ("--model_type=char", "--vocab_size=0", "--batch_size=3", "--seq_len=7")
    printed = run(capsys, "--input_text=text.txt", "--recipe=quick", *flags)
    manifest = records.load("data/text")
    following = printed.splitlines()[-1]
    assert (
        manifest.vocab_size < 500
        and following
        == "next: python tools/train.py --data=data/text --recipe=quick --cutoffs=none"
    )
    without = run_tool("train", "--print_run", "--data=data/text", "--recipe=quick", cwd=here)
    said = (
        f"--cutoffs must lie below the vocabulary size {manifest.vocab_size}, but are [500, 2000];"
        " --cutoffs=none for plain softmax"
    )
    assert (without.code, without.err) == (1, f"error: {said}\n")
    taken = run_tool("train", "--print_run", *following.split()[3:], cwd=here)
    assert (taken.code, taken.err) == (0, "") and taken.out.startswith("logs/text-6s-quick-seed0-")
    (here / "small.flags").write_text(f"--cutoffs=20\n--cutoffs={manifest.vocab_size - 1}\n")
    fits = run(capsys, "--input_text=text.txt", "--recipe=small.flags", *flags)
    assert (
        fits.splitlines()[-1]
        == "next: python tools/train.py --data=data/text --recipe=small.flags"
    )


# ---- what is there already ----


def test_other_settings_or_another_text_are_refused_with_the_differences_unless_overwritten(
    here, capsys
):
    run(capsys, "--input_text=text.txt", *SMALL)
    before = contents(here)
    assert build_data.main(["--input_text=text.txt", *SMALL, "--seq_len=11"]) == 1
    err = capsys.readouterr().err
    assert (
        "seq_len 7 there, 11 asked for" in err
        and "--overwrite" in err
        and contents(here) == before
    )
    with open("text.txt", "a") as file:
        file.write("one more line\n")
    assert build_data.main(["--input_text=text.txt", *SMALL]) == 1
    assert "text text " in capsys.readouterr().err
    run(capsys, "--input_text=text.txt", *SMALL, "--seq_len=11", "--overwrite")
    assert records.load("data/text").seq_len == 11 and os.listdir("data") == ["text"]


def test_a_damaged_data_set_is_built_again_to_the_same_bytes(here, capsys):
    run(capsys, "--input_text=text.txt", *SMALL)
    before = contents(here)
    path = here / "data/text/train/part-00000-of-00001.tfrecord"
    path.write_bytes(path.read_bytes()[:-1])
    capsys.readouterr()
    assert build_data.main(["--input_text=text.txt", *SMALL]) == 0
    assert "is damaged and is built again" in capsys.readouterr().err and contents(here) == before


@pytest.mark.parametrize("flags", [(), ("--overwrite",)])
def test_a_directory_that_is_no_data_set_is_never_touched(here, capsys, flags):
    for name in ("notes/mine.md", "train/mine.txt"):
        (here / name).parent.mkdir()
        (here / name).write_text("x")
        before = contents(here)
        for output_dir in {name.split("/")[0], "."}:
            assert (
                build_data.main(
                    ["--input_text=text.txt", *SMALL, f"--output_dir={output_dir}", *flags]
                )
                == 1
            )
            assert (
                "is not a data set, as it holds" in capsys.readouterr().err
                and contents(here) == before
            )


def test_a_build_that_fails_leaves_the_old_one_and_nothing_else(here, capsys, monkeypatch):
    run(capsys, "--input_text=text.txt", *SMALL)
    before = contents(here)
    write = schema.write_json

    def full(path, value):
        raise ResourceError(f"no space left to write {path}")

    monkeypatch.setattr(schema, "write_json", full)
    assert build_data.main(["--input_text=text.txt", *SMALL, "--seq_len=11", "--overwrite"]) == 6
    assert contents(here) == before and os.listdir("data") == ["text"]
    monkeypatch.setattr(schema, "write_json", write)
    (here / "data" / ".text.partial" / "train").mkdir(parents=True)
    run(capsys, "--input_text=text.txt", *SMALL, "--seq_len=11", "--overwrite")
    assert os.listdir("data") == ["text"]


# ---- a build is a transaction ----


@pytest.mark.slow
def test_a_build_killed_anywhere_and_run_again_equals_one_that_was_not(here, run_tool):
    text = "".join(f"{line}\n" for line in sentences(2000)) * 200
    (here / "text.txt").write_text(text)
    command = [
        "--input_text=text.txt",
        "--vocab_size=367",
        "--batch_size=3",
        "--seq_len=7",
        "--shards=2",
        "--tokenizer_sample_lines=3000",
    ]
    killed_builds.check(here, run_tool, command, workers=2, seed=17, scored=["kneser_ney.json"])


@pytest.mark.quick(1)
@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_build_that_is_told_to_stop_leaves_nothing_and_says_so_in_one_line(here, which):
    (here / "text.txt").write_text("".join(f"{line}\n" for line in sentences(2000)) * 200)
    build_process = subprocess.Popen(
        [
            sys.executable,
            str(ROOT / "tools" / "build_data.py"),
            "--input_text=text.txt",
            *SMALL,
            "--workers=2",
        ],
        cwd=here,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    while build_process.poll() is None and not list(here.glob("data/.text.partial/train.ids")):
        time.sleep(0.01)
    os.killpg(build_process.pid, which)  # as a terminal or a script does: the workers, too
    err = build_process.communicate(timeout=60)[1].decode().splitlines()
    assert (
        build_process.returncode == 5
        and err[-1] == "error: interrupted before there was anything to save"
        and "Traceback" not in str(err)
    )
    assert os.listdir(here) == ["text.txt"]


def test_a_data_set_that_a_killed_build_had_moved_aside_comes_back_before_anything_else(
    here, capsys
):
    run(capsys, "--input_text=text.txt", *SMALL, "--output_dir=x")
    before = contents(here / "x")
    (here / "x").rename(here / ".x.old")
    (here / ".x.y.old").mkdir()  # of another data set, x.y
    assert (
        build_data.main(["--input_text=text.txt", *SMALL, "--output_dir=x", "--seq_len=11"]) == 1
    )
    assert (
        "seq_len 7 there, 11 asked for" in capsys.readouterr().err
        and contents(here / "x") == before
    )
    assert sorted(os.listdir(here)) == [".x.y.old", "text.txt", "x"]


def test_two_builds_of_one_place_do_not_meet(here, capsys):
    with files.building(here / "data" / "text", "manifest.json", "output_dir") as partial:
        (partial / "something").write_text("x")
        before = contents(here)
        assert build_data.main(["--input_text=text.txt", *SMALL]) == 1
        assert (
            "data/text is being built by another process: wait for it" in capsys.readouterr().err
            and contents(here) == before
        )
    assert os.listdir(here) == ["text.txt"]  # it held no manifest in the end
    run(capsys, "--input_text=text.txt", *SMALL)


def test_the_result_does_not_depend_on_the_number_of_processes(here, capsys, monkeypatch):
    run(capsys, "--input_text=text.txt", *SMALL, "--output_dir=one", "--workers=1")
    for module in (corpus, encoding):
        monkeypatch.setattr(module, "BLOCK_BYTES", 997)
    run(capsys, "--input_text=text.txt", *SMALL, "--output_dir=three", "--workers=3")
    assert contents(here / "one") == contents(here / "three")


def test_threads_and_sample_of_the_trainer_are_settings(here, capsys):
    flags = ("--input_text=text.txt", "--vocab_size=331", "--batch_size=3", "--seq_len=7")
    run(capsys, *flags)
    for change, message in (
        ("--tokenizer_threads=3", "tokenizer_threads 2 there, 3"),
        ("--tokenizer_sample_lines=200", "tokenizer_sample_lines 0 there, 200"),
    ):
        assert build_data.main([*flags, change]) == 1 and message in capsys.readouterr().err
    run(capsys, *flags, "--tokenizer_sample_lines=200", "--output_dir=a")
    run(capsys, *flags, "--tokenizer_sample_lines=200", "--output_dir=b")
    assert contents(here / "a") == contents(here / "b")
    assert (here / "a" / "tokenizer.model").read_bytes() != (
        here / "data" / "text" / "tokenizer.model"
    ).read_bytes()


def test_a_sample_is_drawn_evenly_and_always_the_same():
    numbers = list(map(str, range(100_000)))
    drawn = [int(piece) for piece in build.sample(numbers, 0.03)]
    assert drawn == [
        int(piece) for piece in build.sample(iter(numbers), 0.03)
    ] and drawn == sorted(drawn)
    assert (
        abs(len(drawn) - 3000) < 5 * 3000**0.5
        and abs(np.mean(drawn) - 50_000) < 5 * 50_000 / 3000**0.5
    )
    assert list(build.sample(numbers, 1.0)) == numbers == list(build.sample(numbers, 7.5))


def test_verify_checks_every_file_and_changes_nothing(here, capsys):
    run(capsys, "--input_text=text.txt", *SMALL, "--baseline=kneser_ney", "--shards=2")
    assert (
        run(capsys, "--verify=data/text")
        == "data/text is whole: tokenizer, counts and 6 record files of"
        f" {sum(path.stat().st_size for path in here.rglob('*.tfrecord')):,} bytes are what the"
        " manifest says\n"
    )
    verified = json.loads(run(capsys, "--verify=data/text", "--json"))
    assert verified["record_files"] == 6
    documented.check("build_data --verify --json", verified)
    files_ = [
        path
        for path in (here / "data" / "text").rglob("*")
        if path.is_file() and path.name != "manifest.json"
    ]
    assert len(files_) == 6 + 4
    for path in files_:
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        before = contents(here)
        assert build_data.main(["--verify=data/text"]) == 3
        assert path.name in capsys.readouterr().err and contents(here) == before
        path.write_bytes(content)
    assert (
        build_data.main(["--verify=data"]) == 3
        and "has no manifest.json" in capsys.readouterr().err
    )


# ---- words and characters ----


def test_a_word_vocabulary_holds_every_word_of_train_and_a_token_is_a_word(here, capsys):
    lines = [f"{line} <unk>" if i % 3 else "" for i, line in enumerate(sentences(361))]
    (here / "three").mkdir()
    for name, content in (
        ("train", lines),
        ("valid", [*lines[:9], "never seen \t <unk>"]),
        ("test", lines[-7:]),
    ):
        (here / "three" / f"{name}.txt").write_text("".join(f"{line}\n" for line in content))
    out = run(
        capsys,
        "--input_text=three",
        "--model_type=word",
        "--symbols=<unk>",
        "--batch_size=3",
        "--seq_len=7",
    )
    manifest, model = records.load("data/three"), Tokenizer.load("data/three/tokenizer.model")
    words = [word for line in lines for word in line.split()]
    assert manifest.vocab_size == len(set(words)) + len(SPECIAL_PIECES)
    assert set(model.pieces(range(8, manifest.vocab_size))) == {f"▁{word}" for word in words}
    assert all(split.tokens == split.words for split in manifest.splits.values())
    counts = records.read_counts("data/three", manifest)
    assert counts[1] == 0 and counts[8] == max(map(words.count, set(words))) and counts[3] == 361
    share = 2 / (manifest.splits["valid"].tokens - 1)
    assert (
        f"words that are not in the vocabulary, and become [UNK]: valid {share:.2%}, test 0.00%"
        in out
    )


def test_a_word_that_no_piece_can_hold_is_unknown(here, capsys):
    with open("text.txt", "a") as file:
        file.write(f"{'x' * 9000} {'y' * 9000} known {'z' * 4096}\n" * 100)
    run(capsys, "--input_text=text.txt", "--model_type=word", "--batch_size=3", "--seq_len=7")
    counts, model = (
        records.read_counts("data/text", records.load("data/text")),
        Tokenizer.load("data/text/tokenizer.model"),
    )
    assert counts[1] == 2 * counts[model.pieces(range(len(counts))).index("▁known")] > 0


def test_a_character_is_a_token_and_bits_per_character_are_given(here, capsys):
    out = run(
        capsys, "--input_text=text.txt", "--model_type=char", "--batch_size=3", "--seq_len=7"
    )
    manifest = records.load("data/text")
    letters = set("".join(sentences(401)[:361]))
    assert manifest.vocab_size == 8 + 256 + len(letters)
    assert all(split.tokens == split.characters for split in manifest.splits.values())
    counts, targets = (
        records.read_counts("data/text", manifest),
        records.count_targets("data/text", manifest, "valid"),
    )
    bits = -(targets * np.log2((counts + 1) / (counts + 1).sum())).sum() / targets.sum()
    assert f"unigram model, bits per character: valid {bits:.4f}, test " in out


# ---- texts of any shape ----


@pytest.mark.slow
def test_a_line_of_a_quarter_of_a_gigabyte_is_built_in_bounded_memory(here, capsys):
    run(capsys, "--input_text=text.txt", *SMALL)
    (here / "long").mkdir()
    line = " ".join(sentences(4000))
    with open(here / "long" / "train.txt", "w") as file:
        for _ in range(2**28 // (len(line) + 1) + 1):
            file.write(f"{line} ")
    for name in ("valid", "test"):
        (here / "long" / f"{name}.txt").write_text(f"{line}\n")

    def peak_megabytes(text: str) -> float:
        settings = DataConfig(input_text=text, tokenizer_model="data/text/tokenizer.model")
        made = data_speed.build_timed(settings, here / f"built-{text}", 2, start_tensorflow)
        return made["peak_memory_megabytes"]

    alone = peak_megabytes("text.txt")  # of TensorFlow's process, and of what its packages load
    used = peak_megabytes("long")
    train = records.load("built-long").splits["train"]
    assert train.bytes > 2**28 and train.lines == 1
    assert used - alone < 100, (used, alone)  # to hold the line alone would take 268


@pytest.mark.parametrize(
    "text", ["x" * (3 << 20), "a b\n" + "\u4e2d" * (1 << 20), "a b\nc" + " " * (2 << 20) + "d\n"]
)
def test_more_than_a_mebibyte_in_which_a_line_can_not_be_cut_is_refused(here, capsys, text):
    (here / "text.txt").write_text(text)
    assert build_data.main(["--input_text=text.txt", *SMALL]) == 3
    err = capsys.readouterr().err.splitlines()[-1]
    assert (
        err.startswith(
            "error: text text.txt has more than 1 MiB without the end of a word or a line, from"
            " byte "
        )
        and "into lines" in err
    )
    assert os.listdir(here) == ["text.txt"]


# ---- an existing tokenizer ----


def test_a_tokenizer_of_ours_is_taken_byte_for_byte_with_the_settings_it_decides(here, capsys):
    run(
        capsys,
        "--input_text=text.txt",
        "--vocab_size=409",
        "--model_type=bpe",
        "--batch_size=3",
        "--seq_len=7",
    )
    (here / "other.txt").write_text("".join(f"{line}\n" for line in sentences(101, seed=2)))
    flags = ["--input_text=other.txt", *SMALL, "--tokenizer_model=data/text/tokenizer.model"]
    run(capsys, *flags)
    assert (
        Path("data/other/tokenizer.model").read_bytes()
        == Path("data/text/tokenizer.model").read_bytes()
    )
    manifest = records.load("data/other")
    assert (
        manifest.vocab_size,
        manifest.settings["vocab_size"],
        manifest.settings["model_type"],
    ) == (409, 409, "bpe")
    assert manifest.settings["tokenizer_model"] == f"sha256:{manifest.tokenizer_sha256}"
    records.verify("data/other", manifest)
    shutil.copy("data/text/tokenizer.model", "renamed.model")
    assert "is there already" in run(capsys, *flags[:-1], "--tokenizer_model=renamed.model")


def test_a_foreign_tokenizer_is_reordered(here, capsys):

    lines = sentences(361)
    raw = tokenizer.train(lines, vocab_size=367, model_type="unigram")
    Path("foreign.model").write_bytes(foreign(raw))
    run(capsys, "--input_text=text.txt", *SMALL, "--tokenizer_model=foreign.model")
    manifest, model = records.load("data/text"), Tokenizer.load("data/text/tokenizer.model")
    counts = records.read_counts("data/text", manifest)
    assert (
        (np.diff(counts[8:]) <= 0).all()
        and counts[8] > 0
        and manifest.settings["model_type"] == "unigram"
    )
    assert [model.pieces(ids) for ids in model.encode(lines)] == [
        Tokenizer(raw).pieces(ids) for ids in Tokenizer(raw).encode(lines)
    ]
    assert "is there already" in run(
        capsys, "--input_text=text.txt", *SMALL, "--tokenizer_model=foreign.model"
    )


# ---- wrong input: one line, the documented exit code, nothing left behind ----

WRONG = {
    "missing file": (["--input_text=no.txt"], 3, "no.txt does not exist"),
    "missing directory": (["--input_text=no/"], 3, "does not exist"),
    "empty text": (["--input_text=empty.txt"], 3, "train split of empty.txt is empty"),
    "blank text": (["--input_text=blank.txt"], 3, "train split of blank.txt holds only blanks"),
    "text too small": (
        ["--input_text=tiny.txt"],
        3,
        (
            "at most these tokens: train 90, valid 5, test 5; train needs batch_size * seq_len + 1"
            " = 1025"
        ),
    ),
    "batch too large": (
        [
            "--input_text=text.txt",
            "--model_type=word",
            "--batch_size=64",
            "--seq_len=64",
            "--vocab_size=80",
        ],
        3,
        "train needs batch_size * seq_len + 1 = 4097",
    ),
    "one line": (["--input_text=one.txt", *SMALL], 3, "valid 0, test 0"),
    "vocabulary too large": (
        ["--input_text=text.txt", "--vocab_size=400000"],
        1,
        "--vocab_size 400000 is too large for this text: the largest that works is",
    ),
    "vocabulary too small": (
        ["--input_text=text.txt", "--vocab_size=100"],
        1,
        "--vocab_size 100 is too small",
    ),
    "vocabulary below the bound": (
        ["--input_text=text.txt", "--vocab_size=3"],
        1,
        "vocab_size must be at least 16, or 0, but is 3",
    ),
    "unknown flag": (
        ["--input_text=text.txt", "--colour=red"],
        1,
        "Unknown command line flag 'colour'",
    ),
    "unknown model type": (["--input_text=text.txt", "--model_type=wordpiece"], 1, "model_type"),
    "no number": (["--input_text=text.txt", "--seq_len=long"], 1, "seq_len"),
    "both corpus and input": (
        ["--input_text=text.txt", "--corpus=python-docs"],
        1,
        "give either --corpus or --input_text",
    ),
    "neither": ([], 1, "give either --corpus or --input_text"),
    "unknown corpus": (
        ["--corpus=wikitext-9"],
        1,
        "choose one of python-docs, debian-changelogs, wikitext-2, wikitext-2-small, wikitext-103",
    ),
    "mirror": (
        ["--corpus=wikitext-2", "--mirror=ftp://h/"],
        1,
        "--mirror must be http://HOST/..., https://HOST/... or file:///PATH, but is 'ftp://h/'",
    ),
    "no time": (
        ["--corpus=wikitext-2", "--timeout=0"],
        1,
        "timeout must be from 1 to 600 seconds, but is 0",
    ),
    "shares": (
        ["--input_text=text.txt", "--split_fractions=0.9"],
        1,
        "split_fractions must be three positive shares",
    ),
    "symbol": (["--input_text=text.txt", "--symbols=a b"], 1, "symbol 'a b' can't stay one piece"),
    "missing tokenizer": (
        ["--input_text=text.txt", "--tokenizer_model=no.model"],
        3,
        "tokenizer no.model does not exist",
    ),
    "tokenizer that is none": (
        ["--input_text=text.txt", "--tokenizer_model=text.txt"],
        3,
        "tokenizer text.txt is not a SentencePiece model",
    ),
    "output is a file": (
        ["--input_text=text.txt", *SMALL, "--output_dir=tiny.txt"],
        1,
        "--output_dir=tiny.txt is a file",
    ),
    "output below a file": (
        ["--input_text=text.txt", *SMALL, "--output_dir=tiny.txt/x"],
        1,
        "can't be written",
    ),
}


def place_wrong_texts(here: Path) -> None:
    (here / "empty.txt").write_bytes(b"")
    (here / "blank.txt").write_bytes(b" \n\n\t\r\n" * 101)
    (here / "tiny.txt").write_text("abc\n" * 20)
    (here / "one.txt").write_text("word " * 1009)


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_refused_in_one_line_and_leaves_nothing(here, capsys, case):
    flags, code, message = WRONG[case]
    place_wrong_texts(here)
    before = contents(here)
    assert build_data.main(flags) == code
    captured = capsys.readouterr()
    errors = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and message in errors[0] and captured.err.endswith(errors[0] + "\n")
    assert captured.out == "" and "Traceback" not in captured.err
    assert contents(here) == before and not (here / "data").exists()


@pytest.mark.parametrize("case", ["empty text", "vocabulary too large", "unknown flag"])
def test_the_same_as_a_user_types_it(here, run_tool, case):
    flags, code, message = WRONG[case]
    place_wrong_texts(here)
    done = run_tool("build_data", *flags, cwd=here)
    assert (
        (done.code, done.out) == (code, "")
        and message in done.err.splitlines()[-1]
        and not (here / "data").exists()
    )


def test_marks_that_stand_often_in_own_text_are_said_with_the_flag_that_keeps_them(here, capsys):
    lines = [f"the <unk> {line} <unk> <eos> a<b>c" for line in sentences(201)]
    (here / "text.txt").write_text("".join(f"{line}\n" for line in lines))
    said = "--symbols='<unk>' --symbols='<eos>' keeps each of them one piece"
    build_data.main(["--input_text=text.txt", *SMALL, "--overwrite"])
    err = capsys.readouterr().err
    assert said in err and "<unk> (36" in err and "<b>" not in err
    build_data.main(["--input_text=text.txt", *SMALL, "--overwrite", "--symbols=<unk>"])
    assert "often has <eos> (1" in capsys.readouterr().err
    for given in (["--symbols=<unk>", "--symbols=<eos>"], ["--model_type=word"]):
        build_data.main(["--input_text=text.txt", *SMALL, "--overwrite", *given])
        assert "--symbols=" not in capsys.readouterr().err


def test_a_compressed_text_gives_the_data_set_of_the_plain_one(here, capsys):
    import gzip

    (here / "other").mkdir()
    (here / "other" / "text.txt.gz").write_bytes(gzip.compress((here / "text.txt").read_bytes()))
    run(capsys, "--input_text=text.txt", *SMALL, "--output_dir=a")
    run(capsys, "--input_text=other/text.txt.gz", *SMALL, "--output_dir=b")
    a, b = contents(here / "a"), contents(here / "b")
    assert a.pop("manifest.json") == b.pop("manifest.json").replace(b"text.txt.gz", b"text.txt")
    assert a == b and sorted(os.listdir(here)) == ["a", "b", "other", "text.txt"]
