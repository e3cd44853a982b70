"""Faults that are injected for real, met by the commands: refused in one line with the documented
exit code, nothing overwritten or half-written.

A disk that is full or takes no more, records, tokenizers and settings that are damaged or another
run's, and files that can't be what they claim.
What a module refuses by itself is in its own test file; here is what reaches the user.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

import final_state
from faults import SmallDisk, change_json, limited, measured, small_disk, why_no_small_disk
from forged_records import forge
from par.core import files
from par.core.errors import ResourceError, StoppedError
from par.data import manifest, sentencepiece_proto
from par.data.tokenizer import Tokenizer
from par.search.architecture import Architecture
from par.train import checkpoints, run_config
from par.train.learner import Learner
from project import ROOT, Finished
from recorded_run import make_run
from small import NETWORK, small_config, trainer
from synthetic import make_data
from tables import make_latencies

SAVING = {"log_every": 13, "record_every": 2, "save_every": 20}
HALF_WRITTEN = re.compile(r"partial|_temp|tempstate|\.tmp")
MEGABYTE = 1024  # in KiB
Call = Callable[..., Finished]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    """A data set of 31 train steps, 4 x 8, in two files a split, 40 pieces; not to be changed."""
    from small import copies

    draw = np.random.default_rng(0)
    tokens = [copies(length, draw) for length in (1_000, 200, 200)]
    return make_data(
        tmp_path_factory.mktemp("data") / "copies",
        *tokens,
        vocab_size=40,
        batch_size=4,
        seq_len=8,
        shards=2,
    )


@pytest.fixture(scope="module")
def whole(tmp_path_factory, data_dir) -> Any:
    """The trainer of a finished search that met no fault; not to be changed."""
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    config = small_config(data_dir, "sd")
    config.save(run_dir, data_dir)
    made = trainer(run_dir, config, data_dir, **SAVING)
    made.run()
    return made


@pytest.fixture
def finished(whole, data_dir, tmp_path) -> Path:
    """A copy of the finished search and of its data, to be damaged: tmp_path/data, and the run's
    path."""
    shutil.copytree(data_dir, tmp_path / "data")
    config = json.loads((whole.run_dir / "config.json").read_text())
    shutil.copytree(whole.run_dir, tmp_path / "run")
    config["data"]["path"] = "../data"
    (tmp_path / "run" / "config.json").write_text(json.dumps(config))
    return tmp_path / "run"


@pytest.fixture(scope="session")
def no_small_disk(tmp_path_factory) -> str:
    return why_no_small_disk(tmp_path_factory.mktemp("disk") / "tried")


@pytest.fixture
def disk(no_small_disk) -> Callable[[Path, str], AbstractContextManager[SmallDisk]]:
    """small_disk, where the system lets a test have one."""
    if no_small_disk:
        pytest.skip(no_small_disk)
    return small_disk


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def refused(done: Finished, code: int, *words: str) -> None:
    """The last line on stderr is the only error; it has these words. Nothing is on stdout."""
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert (
        (done.code, done.out, len(errors)) == (code, "", 1)
        and done.err.endswith(errors[0] + "\n")
        and "Traceback" not in done.err
    ), done
    for word in words:
        assert word in errors[0], (word, errors[0])


def told(message: str, path: str, reason: str = "No space left on device") -> None:
    """The message names what could not be written, why, what it needs and what is free."""
    assert re.search(
        rf"can't write \S*{path}\S* \({reason}; it needs [1-9][\d,]* bytes, [\d,]+ are free\)",
        message,
    ), message


def nothing_half_written(root: Path) -> None:
    assert not [path for path in root.rglob("*") if HALF_WRITTEN.search(path.name)]
    for index in (root / "checkpoints").rglob("*.index"):
        reader = tf.train.load_checkpoint(str(index.with_suffix("")))
        assert all(
            reader.get_tensor(name) is not None for name in reader.get_variable_to_shape_map()
        )


def equal(run_dir: Path, whole: Any) -> None:
    """The run that met a fault ended as the one that met none, to the last bit: state, history,
    log, TensorBoard."""
    assert (
        final_state.differences(run_dir, whole.run_dir) == []
        and len(final_state.tensors(run_dir)) > 30
    )


# ---- the disk is full, or takes no more ----


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "size", "victim"),
    [
        ("checkpoints", "100k", "checkpoints/best/ckpt-31"),
        ("tensorboard", "16k", "tensorboard/train"),
    ],
)
def test_a_disk_that_fills_up_while_training_is_said_and_the_run_goes_on_bit_for_bit(
    disk, tmp_path, data_dir, whole, place, size, victim
):
    with disk(tmp_path / "run" / place, size) as small:
        run_dir = small.seen.parent
        with pytest.raises(ResourceError) as caught:
            trainer(run_dir, whole.config, data_dir, **SAVING).run()
        told(str(caught.value), victim)
        assert (
            place == "tensorboard"
            or "; checkpoint ckpt-20 is whole: free some disk space and run the same command again"
            in str(caught.value)
        )
        nothing_half_written(run_dir)
        small.change("size=64m")
        again = trainer(run_dir, whole.config, data_dir, **SAVING)
        assert again.step == (20 if place == "checkpoints" else 0)
        again.run()
        equal(run_dir, whole)


@pytest.mark.slow  # a training and a half for each size
@pytest.mark.parametrize("kilobytes", [16, 24, 40, 64, 104, 128, 200, 264])
def test_wherever_a_disk_of_the_run_is_full_the_run_goes_on_bit_for_bit_once_there_is_room(
    disk, tmp_path, data_dir, whole, kilobytes
):
    with disk(tmp_path / "disk", f"{kilobytes}k") as small:
        run_dir = small.seen / "run"
        with pytest.raises(ResourceError) as caught:
            trainer(run_dir, whole.config, data_dir, **SAVING).run()
        told(str(caught.value), "run/")
        nothing_half_written(run_dir)
        small.change("size=64m")
        trainer(run_dir, whole.config, data_dir, **SAVING).run()
        equal(run_dir, whole)


@pytest.mark.slow
def test_checkpoints_on_a_disk_that_turns_read_only_are_said_and_the_run_goes_on_bit_for_bit(
    disk, tmp_path, data_dir, whole
):
    with disk(tmp_path / "run" / "checkpoints", "64m") as small:
        run_dir = small.seen.parent
        run = trainer(run_dir, whole.config, data_dir, **SAVING)
        with pytest.raises(ResourceError) as caught:
            run.run(progress=lambda made, text: small.change("ro") if run.step == 30 else None)
        told(str(caught.value), "checkpoints/best/ckpt-31", "Read-only file system")
        assert "make the file system writable and run the same command again" in str(caught.value)
        small.change("rw")
        nothing_half_written(run_dir)
        again = trainer(run_dir, whole.config, data_dir, **SAVING)
        assert again.step == 20
        again.run()
        equal(run_dir, whole)


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
@pytest.mark.parametrize("name", ["history.jsonl", "training_log.log"])
def test_a_log_that_can_not_grow_is_said_and_the_run_goes_on_bit_for_bit(
    tmp_path, data_dir, whole, name
):
    run_dir = tmp_path / "run"
    with pytest.raises(StoppedError):
        trainer(run_dir, whole.config, data_dir, **SAVING).run(should_stop=lambda step: step >= 20)
    (run_dir / name).rename(tmp_path / "aside")
    (run_dir / name).symlink_to("/dev/full")
    with pytest.raises(ResourceError) as caught:
        trainer(run_dir, whole.config, data_dir, **SAVING).run()
    told(str(caught.value), name)
    (tmp_path / "aside").replace(run_dir / name)
    trainer(run_dir, whole.config, data_dir, **SAVING).run()
    equal(run_dir, whole)


@pytest.mark.parametrize("kind", ["read-only", "below a file"])
def test_a_run_directory_that_can_not_be_written_is_refused_before_any_work(
    disk, tmp_path, data_dir, call, kind
):
    with disk(tmp_path / "disk", "64k") as small:
        (small.seen / "file").write_text("something else")
        run_dir, reason = small.seen / "file" / "run", "Not a directory"
        if kind == "read-only":
            small.change("ro")
            run_dir, reason = small.seen / "new" / "run", "Read-only file system"
        refused(
            call("train", f"--data={data_dir}", f"--run={run_dir}", "--architecture=d", *NETWORK),
            1,
            str(run_dir),
            reason,
        )
        assert contents(small.seen) == {"file": b"something else"}


def test_a_line_that_does_not_fit_leaves_the_file_as_it_was(disk, tmp_path):
    with disk(tmp_path / "disk", "16k") as small:
        path = small.seen / "history.jsonl"
        files.append_text(path, "x" * 15_000)
        with pytest.raises(
            ResourceError,
            match=(
                r"can't write .*history\.jsonl \(No space left on device; it needs 9,000 bytes, 0"
                r" are free\)"
            ),
        ):
            files.append_text(path, "y" * 9_000)
        assert path.read_text() == "x" * 15_000


@pytest.mark.slow
@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("filler", "victim"),
    [
        (4, "run/lock"),
        (3, "run/flags.txt"),
        (2, "run/config.json"),
        (1, "run/environment.json"),
        (0, "run/t"),
    ],
    ids=["lock", "flags.txt", "config.json", "environment.json", "logs"],
)
def test_a_disk_that_is_full_when_a_run_starts_is_said_and_the_same_command_works_with_room(
    disk, tmp_path, data_dir, call, filler, victim
):
    command = (
        "train",
        f"--data={data_dir}",
        "--architecture=d",
        *NETWORK,
        "--epochs=1",
        "--record_every=1",
    )
    with disk(tmp_path / "disk", "16k") as small:  # every file takes 4 kB at least
        (small.seen / "filler").write_bytes(bytes(4096 * filler))
        run_dir = small.seen / "run"
        done = call(*command, f"--run={run_dir}")
        refused(done, 6, "No space left on device", "free some disk space")
        told(done.err, victim)
        nothing_half_written(run_dir)
        small.change("size=64m")
        again = call(*command, f"--run={run_dir}")
        assert again.code == 0 and f"done: 31 steps; run: {run_dir}" in again.out


@pytest.mark.slow  # two trainings as commands
def test_a_limit_on_the_size_of_files_is_met_as_a_full_disk_by_train(tmp_path, data_dir, run_tool):
    flags = (
        f"--data={data_dir}",
        f"--run={tmp_path / 'run'}",
        "--architecture=d",
        *NETWORK,
        "--d_model=64",
        "--epochs=1",
    )
    done = run_tool("train", *flags, prefix=limited(1 << 16))
    refused(done, 6, "raise the limit of a file's size (ulimit -f) and run the same command again")
    told(done.err, "run/checkpoints/best/ckpt-31", "File too large")
    nothing_half_written(tmp_path / "run")
    assert run_tool("train", *flags).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["build_data", "train", "evaluate"])
def test_no_room_for_temporary_files_is_said_before_any_work(finished, run_tool, tool):
    root = finished.parent
    (root / "text.txt").write_text("the cat sees the dog\n" * 900)
    flags = {
        "train": (f"--data={root / 'data'}", f"--run={root / 'new'}", *NETWORK),
        "evaluate": (f"--run={finished}",),
        "build_data": (
            f"--input_text={root / 'text.txt'}",
            "--model_type=char",
            "--batch_size=2",
            "--seq_len=4",
            f"--output_dir={root / 'new'}",
        ),
    }[tool]
    before = contents(root)
    done = run_tool(tool, *flags, prefix=limited(0))
    refused(
        done,
        6,
        "No usable temporary directory found in",
        "each must take 65,536 bytes: free some disk space, or name one by TMPDIR",
    )
    done = run_tool(tool, *flags, prefix=limited(1 << 15))
    refused(done, 6)
    assert "temporary files (File too large; it needs 65,536 bytes" in done.err
    assert contents(root) == before and not (root / "new").exists()


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("tool", "flags", "victim"),
    [
        ("derive", (), "architecture.json"),
        ("plot_pi", (), "plots/pi.gif"),
        ("plot_pi", ("--curves_only",), "plots/curves.png"),
        ("report", (), "report.html"),
    ],
    ids=["derive", "plot_pi", "curves", "report"],
)
def test_results_that_can_not_be_written_leave_the_old_ones(
    tmp_path, run_tool, tool, flags, victim
):
    run = make_run(tmp_path / "logs" / "search", "ss")
    (run / victim).parent.mkdir(exist_ok=True)
    (run / victim).write_text("the old one")
    before = contents(run)
    done = run_tool(tool, f"--run={run}", *flags, prefix=limited(100))
    refused(done, 6, "raise the limit of a file's size (ulimit -f)")
    told(done.err, victim, "File too large")
    assert contents(run) == before
    assert run_tool(tool, f"--run={run}", *flags).code == 0 and contents(run) != before


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "number", range(4), ids=["pi.gif", "pi.png", "pi_over_time.png", "curves.png"]
)
def test_every_picture_is_whole_or_not_there_on_a_full_disk(disk, tmp_path, call, number):
    names = ("pi.gif", "pi.png", "pi_over_time.png", "curves.png")
    run = make_run(tmp_path / "search", "ss", count=3)
    assert call("plot_pi", f"--run={run}").code == 0
    pages = [-(-(run / "plots" / name).stat().st_size // 4096) for name in names]
    with disk(tmp_path / "disk", f"{4 * (sum(pages[: number + 1]) - 1)}k") as small:
        done = call("plot_pi", f"--run={run}", f"--output_dir={small.seen}")
        assert done.code == 6 and done.err.count("\n") == 1
        told(done.err, names[number])
        assert contents(small.seen) == {
            name: (run / "plots" / name).read_bytes() for name in names[:number]
        }


BUILD = ("--vocab_size=300", "--batch_size=2", "--seq_len=4", "--shards=2")


@pytest.mark.slow  # three builds for each size
@pytest.mark.parametrize("kilobytes", [4, 8, 12, 20, 48, 80])
def test_a_data_set_that_does_not_fit_leaves_the_old_one_and_nothing_else(
    disk, tmp_path, run_tool, kilobytes
):
    draw = np.random.default_rng(0)
    words = ["".join(draw.choice(list("abcdefghij"), 4)) for _ in range(50)]
    (tmp_path / "text.txt").write_text(
        "".join(" ".join(draw.choice(words, 9)) + "\n" for _ in range(200))
    )
    flags = (f"--input_text={tmp_path / 'text.txt'}", *BUILD)
    with disk(tmp_path / "disk", f"{kilobytes}k") as small:
        target = small.seen / "own"
        target.mkdir()
        done = run_tool(
            "build_data", *flags, f"--output_dir={small.path / 'own'}", prefix=small.prefix
        )
        refused(
            done, 6, str(small.path / "own"), "No space left on device", "free some disk space"
        )
        assert re.search(r"[1-9][\d,]* bytes", done.err) and ".partial" not in done.err
        assert [str(path.relative_to(small.seen)) for path in small.seen.rglob("*")] == ["own"]
        small.change("size=64m")
        assert (
            run_tool(
                "build_data", *flags, f"--output_dir={small.path / 'own'}", prefix=small.prefix
            ).code
            == 0
        )
        built = contents(target)
        room = -(-sum(-(-len(content) // 4096) for content in built.values()) * 4) + kilobytes
        small.change(f"size={room}k")
        done = run_tool(
            "build_data",
            *flags,
            "--lowercase",
            "--overwrite",
            f"--output_dir={small.path / 'own'}",
            prefix=small.prefix,
        )
        assert (
            done.code == 6
            and contents(target) == built
            and [path.name for path in small.seen.iterdir()] == ["own"]
        )


# ---- record files are not those that were built ----


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_at(end: int | float) -> Callable[[Path], None]:
    """Cuts a file at a byte, or at a share of its bytes."""
    return lambda path: os.truncate(
        path, int(end if isinstance(end, int) else end * path.stat().st_size)
    )


def cut_between_records(path: Path) -> None:
    with open(path, "rb") as file:
        os.truncate(path, int.from_bytes(file.read(8), "little") + 16)


RECORDS = {
    "a flipped byte": (
        flip,
        (
            r"is not the file that was built: damaged in the record at byte \d+: SHA-256"
            r" [0-9a-f]{64}, but the manifest says [0-9a-f]"
        ),
    ),
    "cut inside a record": (
        cut_at(0.6),
        r"ends at byte \d+: it has \d+ bytes, but the manifest says \d+",
    ),
    "cut at a record boundary": (
        cut_between_records,
        r"ends at byte \d+: it has \d+ bytes, but the manifest says \d+",
    ),
    "empty": (cut_at(0), r"ends at byte 0: it has 0 bytes, but the manifest says \d+"),
    "missing": (Path.unlink, "is missing: run tools/build_data.py again"),
    "too long": (
        lambda path: path.write_bytes(path.read_bytes() * 2),
        r"continues at byte \d+: it has \d+ bytes, but the manifest says \d+",
    ),
    "a directory": (lambda path: (path.unlink(), path.mkdir()), "is missing"),
    "one more": (
        lambda path: shutil.copy(path, path.with_name("part-00009-of-00010.tfrecord")),
        r"is not in the manifest: remove it",
    ),
}


@pytest.mark.parametrize("fault", RECORDS)
def test_records_that_are_not_those_that_were_built_are_found_before_training_and_evaluation(
    finished, call, fault
):
    damage, said = RECORDS[fault]
    data, run_dir = finished.parent / "data", finished.parent / "new"
    for split in ("train", "valid"):
        damage(data / split / "part-00001-of-00002.tfrecord")
    before = contents(finished)
    for done, split in (
        (call("train", f"--data={data}", f"--run={run_dir}", *NETWORK), "train"),
        (call("evaluate", f"--run={finished}", "--split=valid"), "valid"),
    ):
        refused(done, 3)
        assert re.search(
            rf"/data/{split}/part-0000[19]-of-000\d\d?\d?\.tfrecord {said}", done.err
        ), done.err
    assert not run_dir.exists() and contents(finished) == before


# ---- data of another vocabulary, tokenizer, B or T than the run's ----


def other_tokenizer(data: Path) -> str:
    """Gives a data set another tokenizer of the same size, consistently; returns its hash."""
    model = sentencepiece_proto.ModelProto.FromString((data / "tokenizer.model").read_bytes())
    model.pieces[20].piece += "x"
    (data / "tokenizer.model").write_bytes(model.SerializeToString(deterministic=True))
    (data / "tokenizer.vocab").write_text(Tokenizer.load(data / "tokenizer.model").vocab)
    whole = json.loads((data / "manifest.json").read_text())
    whole["tokenizer_sha256"] = files.sha256(data / "tokenizer.model")
    (data / "manifest.json").write_text(json.dumps(whole))
    return whole["tokenizer_sha256"]


@pytest.mark.parametrize(
    ("name", "was", "now"),
    [
        ("vocab_size", 40, 41),
        ("batch_size", 4, 5),
        ("seq_len", 8, 9),
        ("tokenizer_sha256", "", ""),
    ],
    ids=lambda value: str(value),
)
def test_a_run_is_continued_only_with_data_of_its_vocabulary_tokenizer_batch_and_window(
    finished, call, name, was, now
):
    sizes = {"vocab_size": 40, "batch_size": 4, "seq_len": 8}
    data = finished.parent / "data"
    if name in sizes:
        draw = np.random.default_rng(0)
        data = make_data(
            finished.parent / "other",
            *(draw.integers(8, 40, n) for n in (1_000, 200, 200)),
            **sizes | {name: now},
            shards=2,
        )
    else:
        was, now = manifest.load(data).tokenizer_sha256, other_tokenizer(data)
    os.remove(finished / "summary.json")  # it would go on
    before = contents(finished)
    done = call("train", f"--data={data}", f"--run={finished}", "--architecture=sd", *NETWORK)
    refused(done, 1, "was made with other settings", f"data.{name}: {was} -> {now}", "--run=DIR")
    assert contents(finished) == before


def test_a_run_is_evaluated_only_with_its_tokenizer_and_vocabulary(finished, call):
    data, before = finished.parent / "data", contents(finished)
    was, now = manifest.load(data).tokenizer_sha256, other_tokenizer(data)
    refused(call("evaluate", f"--run={finished}"), 3, "another tokenizer", was, now)
    assert contents(finished) == before
    config = json.loads((finished / "config.json").read_text())
    config["data"] |= {"tokenizer_sha256": now, "vocab_size": 41}
    (finished / "config.json").write_text(json.dumps(config))
    refused(call("evaluate", f"--run={finished}"), 3, "has 40 pieces", "config.json says 41")


def test_a_run_is_evaluated_with_data_of_another_batch_and_window(finished, data_dir, call):
    draw = np.random.default_rng(0)
    tokens = [draw.integers(8, 40, n) for n in (1_000, 200, 200)]
    other = make_data(finished.parent / "other", *tokens, vocab_size=40, batch_size=3, seq_len=5)
    done = call("evaluate", f"--run={finished}", f"--data={other}", "--split=test", "--json")
    assert done.code == 0 and json.loads(done.out)["results"][0]["tokens"] == 199


@pytest.mark.parametrize("tool", ["train", "evaluate"])
def test_a_token_outside_the_vocabulary_is_found_though_every_hash_is_right(
    tmp_path, finished, call, tool
):
    tokens = [np.arange(length) % 32 + 8 for length in (1_000, 200, 200)]
    data = make_data(tmp_path / "one", *tokens, vocab_size=40, batch_size=4, seq_len=8)
    forge(data, np.full([4, 9], 40, np.int32))
    flags = (
        ("--architecture=d", f"--run={tmp_path / 'new'}")
        if tool == "train"
        else (f"--run={finished}", "--split=valid")
    )
    refused(
        call(tool, f"--data={data}", *flags),
        3,
        "/part-00000-of-00001.tfrecord holds token id 40, outside the vocabulary of 40",
    )
    assert not (tmp_path / "new").exists()


CUTOFFS = {
    "unsorted": ([30, 20], "cutoffs must increase strictly, but are [30, 20]"),
    "repeated": ([20, 20], "cutoffs must increase strictly, but are [20, 20]"),
    "zero": ([0, 20], "cutoffs must be at least 1, but is 0"),
    "negative": ([-5], "cutoffs must be at least 1, but is -5"),
    "the vocabulary itself": (
        [20, 40],
        "cutoffs must lie below the vocabulary size 40, but are [20, 40]",
    ),
    "beyond the vocabulary": (
        [10**12],
        "cutoffs must lie below the vocabulary size 40, but are [1000000000000]",
    ),
}


@pytest.mark.parametrize("fault", CUTOFFS)
def test_cutoffs_that_can_not_be_are_refused_as_flags_and_in_a_run(finished, call, fault):
    cutoffs, said = CUTOFFS[fault]
    new = finished.parent / "new"
    flags = (
        f"--data={finished.parent / 'data'}",
        *NETWORK,
        *(f"--cutoffs={cutoff}" for cutoff in cutoffs),
    )
    refused(call("train", *flags, f"--run={new}"), 1, said)
    config = json.loads((finished / "config.json").read_text())
    config["model"]["cutoffs"] = cutoffs
    (finished / "config.json").write_text(json.dumps(config))
    before = contents(finished)
    for tool in ("evaluate", "derive", "plot_pi"):
        refused(call(tool, f"--run={finished}"), 3, "config.json is not valid", said)
    refused(call("train", *flags[:-2], f"--run={finished}"), 3, "config.json is not valid", said)
    assert not new.exists() and contents(finished) == before


@pytest.mark.parametrize("fault", ["missing", "truncated", "another"])
def test_a_tokenizer_that_is_not_the_manifest_s_is_refused_with_both_hashes(finished, call, fault):
    data, new = finished.parent / "data", finished.parent / "new"
    path, built = (
        data / "tokenizer.model",
        manifest.load(finished.parent / "data").tokenizer_sha256,
    )
    (
        path.unlink()
        if fault == "missing"
        else (
            cut_at(0.5)(path)
            if fault == "truncated"
            else path.write_bytes(path.read_bytes() + b"\x00")
        )
    )
    words = (
        ("tokenizer.model is missing",)
        if fault == "missing"
        else ("tokenizer.model is not", f"SHA-256 {files.sha256(path)}", f"says {built}")
    )
    before = contents(finished.parent)
    refused(call("train", f"--data={data}", f"--run={new}", *NETWORK), 3, *words)
    refused(call("evaluate", f"--run={finished}"), 3, *words)
    assert contents(finished.parent) == before


# ---- artefacts that are damaged, another's, or can't be what they claim ----


def test_a_tokenizer_that_is_not_the_checkpoint_s_is_refused_with_both_hashes(finished, call):
    data = finished.parent / "data"
    was, now = manifest.load(data).tokenizer_sha256, other_tokenizer(data)
    change_json(finished / "config.json", "data.tokenizer_sha256", now)
    refused(
        call("evaluate", f"--run={finished}"),
        3,
        "checkpoints/ckpt-62",
        f"data.tokenizer_sha256: {now} -> {was}",
    )


@pytest.mark.quick(3)
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_heads", 1),
        ("num_heads", 8),
        ("norm", "post"),
        ("mem_len", 1 << 20),
        ("d_ffn", 1 << 20),
        ("d_model", 1 << 16),
        ("init_std", 0.5),
    ],
    ids=str,
)
def test_settings_that_are_not_the_checkpoint_s_are_refused_before_anything_is_allocated(
    finished, call, name, value
):
    change_json(finished / "config.json", f"model.{name}", value)
    os.remove(finished / "summary.json")
    before = contents(finished)
    was = json.loads((finished / "config.json").read_text())["model"][name]
    difference = f"model.{name}: {was} -> {runs_value(name)}"
    refused(
        call("evaluate", f"--run={finished}"),
        3,
        "the settings are not those of checkpoint",
        "checkpoints/ckpt-62",
        difference,
    )
    flags = (
        f"--data={finished.parent / 'data'}",
        f"--run={finished}",
        "--architecture=sd",
        *NETWORK,
        f"--{name}={value}",
    )
    refused(call("train", *flags), 3, "the settings are not those of checkpoint", difference)
    changed = contents(finished)
    assert {
        key: content for key, content in changed.items() if key not in ("lock", "environment.json")
    } == {
        key: content for key, content in before.items() if key not in ("lock", "environment.json")
    }


def runs_value(name: str) -> Any:
    """What the network of these tests has."""
    return {
        "num_heads": 2,
        "norm": "pre",
        "mem_len": 5,
        "d_ffn": 24,
        "d_model": 16,
        "init_std": 0.02,
    }[name]


def first_number(path: Path, number: bytes) -> bytes:
    """The content of a JSON file with its first whole number replaced."""
    content, changes = re.subn(rb": \d+,", b": " + number + b",", path.read_bytes(), count=1)
    assert changes
    return content


FOREIGN = {
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut_at(0.5),
    "no text": lambda path: path.write_bytes(b"\x80\x04\x95" + path.read_bytes()),
    "a list": lambda path: path.write_text("[1, 2]"),
    "nested 100,000 deep": lambda path: path.write_bytes(b'{"schema":' + b"[" * 100_000),
    "an integer of 10,000 digits": lambda path: path.write_bytes(
        first_number(path, b"1" * 10_000)
    ),
    "not a number": lambda path: path.write_bytes(first_number(path, b"NaN")),
    "an infinite number": lambda path: path.write_bytes(first_number(path, b"-Infinity")),
    "a key twice": lambda path: path.write_bytes(
        path.read_bytes().replace(b"{", b'{"schema": 1, ', 1)
    ),
    "an unknown key": lambda path: path.write_bytes(
        path.read_bytes().replace(b"{", b'{"colour": 1, ', 1)
    ),
    "a million keys": lambda path: path.write_text(
        json.dumps({str(i): i for i in range(100_000)})
    ),
    "2 GB of nothing": lambda path: os.truncate(path, 2 << 30),
    "2 GB of brackets": lambda path: (
        path.write_bytes(b"{},\n" * 10_000_000),
        os.truncate(path, 2 << 30),
    ),
}
# Python with NumPy, matplotlib and what is read; a file of 2 GB or a matrix of a billion is beyond
# it
LARGEST = 350 * MEGABYTE


@pytest.mark.quick(3)
@pytest.mark.parametrize("fault", FOREIGN)
def test_a_foreign_or_damaged_artefact_is_refused_in_little_memory(
    tmp_path, finished, run_tool, fault
):
    data, new = finished.parent / "data", finished.parent / "new"
    Architecture("ad").save(finished / "architecture.json")
    make_latencies(run_config.load(finished)[0].model).save(finished / "latency.json")
    training = (f"--data={data}", f"--run={new}")
    places = (
        (finished / "config.json", "derive", (f"--run={finished}",)),
        (data / "manifest.json", "train", training),
        (
            finished / "architecture.json",
            "train",
            (*training, f"--architecture={finished}/architecture.json"),
        ),
        (finished / "history.jsonl", "plot_pi", (f"--run={finished}",)),
        (
            finished / "latency.json",
            "train",
            (*training, f"--latency_table={finished}/latency.json"),
        ),
    )
    for path, tool, flags in places:
        sound = path.read_bytes()
        if path.suffix == ".jsonl" and fault in ("empty", "cut"):
            continue  # a run that has just begun, and one that is being written: both are sound
        FOREIGN[fault](path)
        if path.suffix == ".jsonl" and path.stat().st_size < 1 << 20:
            files.append_text(path, "\n")  # else it is a line that is still being written
        done = run_tool(tool, *flags, prefix=measured(tmp_path / "memory"))
        refused(done, 3, str(path))
        assert int((tmp_path / "memory").read_text()) < LARGEST
        path.write_bytes(sound)
    assert not new.exists()


HUGE = [
    ("config.json", "model.d_model", 10**9, "d_model must be at most 65536"),
    ("config.json", "model.mem_len", 10**12, "mem_len must be at most"),
    ("config.json", "model.d_ffn", -1, "d_ffn must be at least 1"),
    ("config.json", "model.dropout_rate", "0.1", "dropout_rate must be of type float"),
    (
        "config.json",
        "data.vocab_size",
        10**12,
        "vocab_size must be at most 4000000, but is 1000000000000",
    ),
    ("config.json", "data.batch_size", 10**9, "batch_size must be at most 1048576"),
    ("config.json", "data.seq_len", True, "seq_len must be of type int, but is True"),
    (
        "config.json",
        "data.colour",
        "red",
        "data must have exactly the keys name, vocab_size, batch_size",
    ),
    (
        "config.json",
        "init",
        {"run": "../../etc", "step": 10**30},
        "init must have exactly the keys run, checkpoint, step, sha256",
    ),
    ("config.json", "data.path", ["x"], "data must have a path"),
    ("config.json", "architecture", "s" * 10**5, "blocks must be at most 1024 letters"),
    ("config.json", "training.epochs", 10**300, "epochs must be at most"),
    (
        "manifest.json",
        "vocab_size",
        10**12,
        "vocab_size is 1000000000000, more than the 40 of settings",
    ),
    ("manifest.json", "batch_size", 10**12, "batch_size is 1000000000000, but 4 in settings"),
    ("manifest.json", "splits.train.steps", 10**15, "train has 1000 tokens, which make 31 steps"),
    ("manifest.json", "splits.train.tokens", 10**15, "train has 1000000000000000 tokens"),
    ("manifest.json", "settings.shards", 10**9, "shards must be at most 99999"),
]


@pytest.mark.parametrize(
    ("name", "place", "value", "said"),
    HUGE,
    ids=[f"{place} {str(value)[:20]}" for _, place, value, _ in HUGE],
)
def test_a_value_that_nothing_can_have_is_refused_before_anything_is_allocated(
    finished, call, name, place, value, said
):
    data = finished.parent / "data"
    change_json((finished if name == "config.json" else data) / name, place, value)
    before = contents(finished.parent)
    for tool, flags in (
        ("evaluate", ()),
        ("train", (f"--data={data}", "--architecture=sd", *NETWORK)),
        *((tool, ()) for tool in ("derive", "plot_pi") if name == "config.json"),
    ):
        done = call(tool, f"--run={finished}", *flags)
        refused(done, 3, said)
        assert len(done.err) < 4_100
    assert contents(finished.parent) == before


HISTORY = {
    "an unknown key": {"colour": 1},
    "a huge step": {"step": 10**300},
    "a huge rate": {"learning_rate": 10**400},
    "a rate of text": {"arch_lr": "x"},
    "an endless loss": {"nll_per_token": 1e300},
    "a true tau": {"tau": True},
    "an epoch of text": {"epoch": "one"},
    "probabilities of 20 digits": {"pi": [[10**20, 0, 0], [0, 1, 0]]},
    "probabilities nested": {"pi": [[[1], [0], [0]]] * 2},
}


@pytest.mark.parametrize("fault", HISTORY)
def test_a_row_that_no_run_records_is_refused_by_line(finished, call, fault):
    path = finished / "history.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    row = json.loads(lines[-3])
    assert row["kind"] == "train"
    path.write_text("".join([*lines[:-3], json.dumps(row | HISTORY[fault]) + "\n", *lines[-2:]]))
    before = contents(finished)
    for tool, flags in (
        ("derive", ()),
        ("plot_pi", ()),
        ("train", (f"--data={finished.parent / 'data'}", "--architecture=sd", *NETWORK)),
    ):
        refused(
            call(tool, f"--run={finished}", *flags),
            3,
            f"history.jsonl line {len(lines) - 2} is not a row of this program",
        )
    assert contents(finished) == before


NOTES = {
    "another's": {"epoch": 3},
    "an unknown key": {"colour": 1},
    "no sums": {"sums": {}},
    "a negative length": {"files": {"history.jsonl": -1}},
    "a length of text": {"files": {"history.jsonl": "12"}},
    "endless seconds": {"seconds": 10**400},
    "lists": {"best": [1, 2]},
    "an empty best": {"best": {}},
    "a watch over other kinds": {"watch": {"choice": "x", "unchanged": [1], "warned": []}},
}


@pytest.mark.quick(3)
@pytest.mark.parametrize("fault", NOTES)
def test_a_checkpoint_whose_note_is_foreign_is_named_and_the_one_before_is_used(
    finished, whole, call, fault
):
    kept = checkpoints.Checkpoints(finished / "checkpoints", Learner(whole.config).state, keep=9)
    note = kept.restore()
    foreign = NOTES[fault] if fault == "another's" else note | NOTES[fault]
    kept.save(62, foreign)
    announced: list[str] = []
    learner = Learner(whole.config)
    checkpoints.Checkpoints(finished / "checkpoints", learner.state).restore(warn=announced.append)
    assert int(learner.step.numpy()) < 62 and len(announced) == 1
    assert re.search(
        r"ckpt-62 can't be used \(the checkpoint's note is not one of this program: .*\); trying"
        r" the one before$",
        announced[0],
    )
    for path in (finished / "checkpoints").glob("ckpt-*"):
        if not path.name.startswith("ckpt-62."):
            path.unlink()
    refused(call("evaluate", f"--run={finished}"), 3, "none of the 1 checkpoints in", "run")


SOURCES = sorted(
    path for folder in ("par", "tools", "tests") for path in (ROOT / folder).rglob("*.py")
)
# PyTorch makes a fixture of the tests, once; NumPy reads it without pickle; the pages' and a model
# card's own examples are run; two tools run an export, whose help says to trust it
ALLOWED = {
    "tests/reader.py": {"exec"},
    "tests/fixtures/make_torch_adaptive_softmax.py": {"torch"},
    "tests/nn/test_adaptive_softmax.py": {"np.load"},
    "tests/nn/test_composition.py": {"keras.models.load_model"},
    "tests/search/test_block_table_file.py": {"allow_pickle=True", "np.load"},
    "par/export/shipped_speed.py": {"tf.saved_model.load"},
    "tests/export/test_composed.py": {"tf.saved_model.load"},
    "tests/export/test_saved_model.py": {"exec", "tf.saved_model.load"},
    "tests/shipped_run.py": {"exec"},
    "tests/export/test_syne_tune.py": {"np.load"},
    "tests/evaluate/test_detection.py": {"exec"},
    "tools/discriminate.py": {"tf.saved_model.load"},
    "tests/export/test_exported_functions.py": {"exec", "tf.saved_model.load"},
    "tests/data/test_documents.py": {"np.load"},
}
UNPICKLING = {
    "pickle",
    "cPickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "yaml",
    "torch",
    "h5py",
}


def test_nothing_is_unpickled_and_no_text_is_run():
    found = {str(path.relative_to(ROOT)): unsafe_calls(path) for path in SOURCES}
    assert {name: names for name, names in found.items() if names} == ALLOWED


def unsafe_calls(path: Path) -> set[str]:
    """What a file imports or calls that unpickles, or that runs text."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + (
                [node.module] if isinstance(node, ast.ImportFrom) else []
            )
            found |= {name.split(".")[0] for name in names} & UNPICKLING
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("eval", "exec", "compile", "__import__"):
                found.add(called)
            if re.search(
                r"(np|numpy)\.(load|loadtxt)$|load_model$|load_weights$|saved_model\.load$", called
            ):
                found.add(called)
            given = [each for each in node.keywords if each.arg in ("allow_pickle", "shell")]
            values = {each.arg: ast.unparse(each.value) for each in given}
            found |= {f"{name}={value}" for name, value in values.items() if value != "False"}
    return found
