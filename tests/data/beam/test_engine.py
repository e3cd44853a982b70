"""build_data --runner=beam: the bytes of the local build, whatever the text, the settings, the
shards and the workers; and what goes wrong there.

Apache Beam is an extra: tests/test_packaging.py installs it in an environment of its own, and runs
this file there.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip(
    "apache_beam",
    reason=(
        "Apache Beam is not installed here; tests/test_packaging.py installs it and runs this file"
    ),
)

from apache_beam.io.filesystem import FileMetadata, FileSystem
from apache_beam.io.localfilesystem import LocalFileSystem

from built import AWKWARD, SMALL, contents, run, sentences
from made_documents import threads, write_lines
from par.data import corpus, encoding
from par.data.beam import engine, runner
from par.data.beam import files as beam_files
from par.tools import build_data
from project import ROOT

PROCESSES = "--direct_num_workers=2 --direct_running_mode=multi_processing"
pytestmark = pytest.mark.filterwarnings("ignore")  # of Beam's own code and of what it imports


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    """The current directory, with text.txt of 401 lines."""
    (tmp_path / "text.txt").write_text("".join(f"{line}\n" for line in sentences(401)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def lines_of(number: int, seed: int, end: str = "\n") -> bytes:
    return "".join(f"{line}{end}" for line in sentences(number, seed)).encode()


def place_awkward(here: Path) -> str:
    """Several files behind a glob, with all that is cleaned, and lines longer than a block and
    than a piece."""
    (here / "books" / "more").mkdir(parents=True)
    (here / "books" / "a.txt").write_bytes(AWKWARD + b"\n" + lines_of(150, 1, "\r\n"))
    (here / "books" / "b.txt").write_bytes(b"")
    (here / "books" / "c.txt").write_bytes(b" ".join(lines_of(3, 2, " ").split() * 3000))
    (here / "books" / "more" / "d.txt").write_bytes(lines_of(150, 3) + AWKWARD)
    return "books/**/*.txt"


def place_splits(here: Path) -> str:
    (here / "three").mkdir()
    for name, number in (("train", 301), ("valid", 7), ("test", 11)):
        (here / "three" / f"{name}.txt").write_bytes(lines_of(number, number) + AWKWARD)
    return "three"


def place_documents(here: Path) -> str:
    write_lines(here / "made.jsonl", threads(301))
    return "made.jsonl"


def place_model(here: Path) -> str:
    assert (
        build_data.main(
            [
                "--input_text=text.txt",
                "--vocab_size=367",
                "--batch_size=3",
                "--seq_len=7",
                "--output_dir=before",
            ]
        )
        == 0
    )
    return "text.txt"


CASES = {
    "unigram": (None, ["--vocab_size=367", "--batch_size=3", "--seq_len=7"]),
    "bpe of a sample, sharded": (
        None,
        [
            "--model_type=bpe",
            "--vocab_size=331",
            "--tokenizer_sample_lines=200",
            "--shards=5",
            "--seq_len=7",
        ],
    ),
    "char, several files": (
        place_awkward,
        ["--model_type=char", "--batch_size=5", "--seq_len=11", "--shards=2"],
    ),
    "word, splits, lower-cased": (
        place_splits,
        ["--model_type=word", "--lowercase", "--symbols=<unk>", "--batch_size=3", "--shards=3"],
    ),
    "documents, sharded": (
        place_documents,
        [
            *("--vocab_size=367", "--batch_size=3", "--seq_len=7", "--shards=2"),
            *("--split_fractions=0.6", "--split_fractions=0.2", "--split_fractions=0.2"),
        ],
    ),
    "a given tokenizer": (
        place_model,
        ["--tokenizer_model=before/tokenizer.model", "--batch_size=1", "--seq_len=5"],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_bytes_are_those_of_the_local_build(here, capsys, monkeypatch, case):
    place, flags = CASES[case]
    text = place(here) if place else "text.txt"
    kind = "input_documents" if text.endswith(".jsonl") else "input_text"
    flags = [f"--{kind}={text}", *flags]
    printed = run(capsys, *flags, "--output_dir=local")
    for module in (corpus, encoding):
        monkeypatch.setattr(module, "BLOCK_BYTES", 997)
    for shard_bytes in (701, 1 << 20):
        monkeypatch.setattr(engine, "SHARD_BYTES", shard_bytes)
        assert (
            run(capsys, *flags, "--output_dir=beam", "--runner=beam", "--overwrite").replace(
                "beam", "local"
            )
            == printed
        )
        assert contents(here / "beam") == contents(here / "local")
        shutil.rmtree(here / "beam")
    assert not list(Path(here).glob(".*"))


def test_the_default_runner_downloads_no_other(here, capsys, caplog):
    run(
        capsys,
        "--input_text=text.txt",
        *SMALL,
        "--runner=beam",
        "--runner_options=--runner=DirectRunner",
    )
    assert (
        "FnApiRunner" in runner.PROCESSES
        and "apache_beam" in str(caplog.records)
        and "prism" not in str(caplog.records).lower()
    )


def test_a_build_that_is_there_is_the_local_one_s_too(here, capsys):
    run(capsys, "--input_text=text.txt", *SMALL)
    assert "is there already, of this text and these settings" in run(
        capsys, "--input_text=text.txt", *SMALL, "--runner=beam"
    )


def test_a_named_corpus_in_memory_is_put_where_the_workers_are(here, capsys, monkeypatch):
    texts = dict.fromkeys(corpus.SPLITS, corpus.Text.of(AWKWARD * 9))
    monkeypatch.setattr(
        build_data.build.named_corpora,
        "named",
        lambda name, *_, **__: corpus.Corpus(name, texts),
    )
    for engine_name in ("local", "beam"):
        run(
            capsys,
            "--corpus=python-docs",
            "--model_type=char",
            "--batch_size=3",
            "--seq_len=7",
            f"--runner={engine_name}",
            f"--output_dir={engine_name}",
        )
    assert contents(here / "beam") == contents(here / "local")


# ---- text and work behind a URL ----


class Elsewhere(FileSystem):
    """test://DIR/FILE: what no open() of this machine finds, kept below the environment's
    ELSEWHERE."""

    local = LocalFileSystem(None)

    @classmethod
    def scheme(cls):
        return "test"

    def inside(self, url):
        return url.replace("test://", f"{os.environ['ELSEWHERE']}/", 1)

    def join(self, base, *paths):
        return "/".join([base.rstrip("/"), *paths])

    def split(self, path):
        return tuple(path.rsplit("/", 1))

    def mkdirs(self, path):
        os.makedirs(self.inside(path))

    def has_dirs(self):
        return True

    def _list(self, path):
        for found in self.local._list(self.inside(path)):
            yield FileMetadata(
                found.path.replace(f"{os.environ['ELSEWHERE']}/", "test://", 1),
                found.size_in_bytes,
                found.last_updated_in_seconds,
            )

    def create(self, path, mime_type="", compression_type="auto"):
        return self.local.create(self.inside(path), mime_type, compression_type)

    def open(self, path, mime_type="", compression_type="auto"):
        return self.local.open(self.inside(path), mime_type, compression_type)

    def copy(self, sources, targets):
        self.local.copy([*map(self.inside, sources)], [*map(self.inside, targets)])

    def rename(self, sources, targets):
        self.local.rename([*map(self.inside, sources)], [*map(self.inside, targets)])

    def exists(self, path):
        return self.local.exists(self.inside(path))

    def size(self, path):
        return self.local.size(self.inside(path))

    def last_updated(self, path):
        return self.local.last_updated(self.inside(path))

    def checksum(self, path):
        return self.local.checksum(self.inside(path))

    def metadata(self, path):
        return FileMetadata(path, self.size(path), self.last_updated(path))

    def delete(self, paths):
        self.local.delete([*map(self.inside, paths)])

    def report_lineage(self, path, lineage):
        pass


@pytest.fixture
def elsewhere(tmp_path_factory, monkeypatch) -> Path:
    """Where test:// is."""
    folder = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.setenv("ELSEWHERE", str(folder))
    (folder / "here").mkdir()
    return folder / "here"


@pytest.mark.parametrize("case", ["text.txt", "three/", "books/*.txt"])
def test_text_and_work_behind_a_url_give_the_same_bytes(
    here, elsewhere, capsys, monkeypatch, case
):
    place_splits(here)
    place_awkward(here)
    for name in ("text.txt", "three", "books"):
        (shutil.copytree if (here / name).is_dir() else shutil.copy)(here / name, elsewhere / name)
    monkeypatch.setattr(engine, "SHARD_BYTES", 2003)
    run(capsys, f"--input_text={case}", *SMALL, "--shards=2", "--output_dir=local")
    run(
        capsys,
        f"--input_text=test://here/{case}",
        *SMALL,
        "--shards=2",
        "--output_dir=beam",
        "--runner=beam",
        "--work_dir=test://here/work",
    )
    local, beam = contents(here / "local"), contents(here / "beam")
    assert beam == local
    assert [*(elsewhere / "work").glob("*")] == []


def test_what_is_wrong_with_a_url_is_said(here, elsewhere, capsys):
    (elsewhere / "half").mkdir()
    (elsewhere / "half" / "train.txt").write_text("x\n")
    for text, said in (
        (
            "test://here/no.txt",
            "--input_text=test://here/no.txt does not exist: give the URL of a file",
        ),
        ("test://here/half/", "has train.txt, but not valid.txt, test.txt"),
        (
            "nowhere://x.txt",
            "--input_text=nowhere://x.txt can't be read (ValueError: Unable to get filesystem",
        ),
    ):
        assert build_data.main([f"--input_text={text}", *SMALL, "--runner=beam"]) == 3
        assert said in capsys.readouterr().err
    with pytest.raises(OSError, match="it ends at byte 2, before byte 5"):
        beam_files.read_range("test://here/half/train.txt", 1, 4)


# ---- what goes wrong ----


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--colour=red", "has no option '--colour=red': give it options of Beam or of its runner"),
        (
            "--direct_num_workers=many",
            "--runner_options: argument --direct_num_workers: invalid int value: 'many'",
        ),
        (
            "--runner=Bicycle",
            (
                "--runner_options: Unexpected pipeline runner: Bicycle. Valid values are"
                " DataflowRunner,"
            ),
        ),
        ("--runner=DataflowRunner", "Missing required option: project."),
        ("'", "--runner_options can't be split into words (No closing quotation)"),
    ],
)
def test_options_that_beam_does_not_take_are_one_line_before_anything_is_read(
    here, capsys, options, said
):
    given = [
        "--runner=beam",
        "--runner_options=--direct_num_workers=1",
        f"--runner_options={options}",
    ]
    assert build_data.main(["--input_text=no.txt", *SMALL, *given]) == 1
    err = capsys.readouterr().err.splitlines()
    assert (
        len(err) == 1
        and err[0].startswith("error: --runner_options")
        and said in err[0]
        and os.listdir(here) == ["text.txt"]
    )


def test_what_a_worker_refuses_is_one_line_and_nothing_is_left(here, capsys):
    place_model(here)
    before = contents(here)
    (here / "text.txt").write_bytes(lines_of(99, 1) + b"x" * (3 << 20) + b"\n")
    capsys.readouterr()
    flags = [
        "--input_text=text.txt",
        "--tokenizer_model=before/tokenizer.model",
        "--batch_size=1",
        "--split_fractions=0.5",
        "--split_fractions=0.2",
    ]
    assert (
        build_data.main([*flags, "--split_fractions=0.3", "--output_dir=after", "--runner=beam"])
        == 3
    )
    err = capsys.readouterr().err.splitlines()
    assert (
        "error: text" in err[-1]
        and "more than 1 MiB without the end of a word or a line" in err[-1]
        and "Traceback" not in str(err)
    )
    assert contents(here) | {"text.txt": b""} == before | {"text.txt": b""} and sorted(
        os.listdir(here)
    ) == ["before", "text.txt"]


def test_a_job_that_fails_is_one_line_that_names_its_log(
    here, capsys, monkeypatch, tmp_path_factory
):
    logs = tmp_path_factory.mktemp("logs")
    monkeypatch.setattr(engine.tempfile, "gettempdir", lambda: str(logs))
    monkeypatch.setattr(engine.worker, "summed", lambda counts: 1 // 0)
    assert build_data.main(["--input_text=text.txt", *SMALL, "--runner=beam"]) == 6
    err = capsys.readouterr().err.splitlines()
    assert err[-1].startswith(
        "error: Beam's job failed (integer division or modulo by zero"
    ) and "Traceback" not in str(err)
    (log,) = logs.glob("*.log")
    assert str(log) in err[-1] and os.listdir(here) == ["text.txt"]


@pytest.fixture
def large(here, tmp_path_factory) -> list[str]:
    """Flags of a build that keeps workers busy for many seconds, over a data set that is there."""
    place_model(here)
    (here / "text.txt").write_bytes(lines_of(2000, 1) * 400)
    flags = [
        "--input_text=text.txt",
        "--tokenizer_model=before/tokenizer.model",
        "--shards=4",
        "--output_dir=before",
        "--overwrite",
        "--runner=beam",
    ]
    return [
        "env",
        f"TMPDIR={tmp_path_factory.mktemp('logs')}",
        sys.executable,
        str(ROOT / "tools" / "build_data.py"),
        *flags,
        f"--runner_options={PROCESSES}",
    ]


def workers_of(session: int) -> list[int]:
    """The processes of Beam's in a session."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            is_of_session = (
                int((entry / "stat").read_text().rpartition(")")[2].split()[3]) == session
            )
            if is_of_session and b"apache_beam.runners.worker.sdk_worker_main" in (
                entry / "cmdline"
            ).read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("what", ["worker killed", "SIGTERM", "SIGINT to all"])
def test_a_build_that_loses_a_worker_or_is_told_to_stop_leaves_the_old_one_in_bounded_time(
    here, large, what
):
    before = contents(here)
    driver = subprocess.Popen(
        large,
        cwd=here,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while driver.poll() is None and not list(here.glob(".before.partial/work/ids/.par-*/file")):
        time.sleep(0.05)
    start = time.monotonic()
    if what == "worker killed":
        os.kill(workers_of(driver.pid)[0], signal.SIGKILL)
    elif what == "SIGTERM":
        os.kill(driver.pid, signal.SIGTERM)
    else:
        os.killpg(driver.pid, signal.SIGINT)
    err = driver.communicate(timeout=120)[1].decode().splitlines()
    assert time.monotonic() - start < 60 and "Traceback" not in str(err)
    if what == "worker killed":
        assert driver.returncode == 6 and "a worker process was ended by the system" in err[-1]
    else:
        assert (
            driver.returncode == 5
            and err[-1] == "error: interrupted before there was anything to save"
        )
    assert (
        contents(here) == before
        and sorted(os.listdir(here)) == ["before", "text.txt"]
        and workers_of(driver.pid) == []
    )


@pytest.mark.slow
def test_several_processes_write_the_same_bytes_also_after_a_build_that_was_killed(here, run_tool):
    (here / "text.txt").write_bytes(lines_of(2000, 1) * 10)
    flags = ["--input_text=text.txt", *SMALL, "--shards=4"]
    assert run_tool("build_data", *flags, "--output_dir=local", cwd=here).code == 0
    command = [
        sys.executable,
        str(ROOT / "tools" / "build_data.py"),
        *flags,
        "--output_dir=beam",
        "--runner=beam",
        f"--runner_options={PROCESSES}",
    ]
    driver = subprocess.Popen(
        command,
        cwd=here,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while driver.poll() is None and not list(here.glob(".beam.partial/work/ids/train-*")):
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    assert not (here / "beam").exists()
    done = run_tool(
        "build_data",
        *flags,
        "--output_dir=beam",
        "--runner=beam",
        "--runner_options",
        PROCESSES,
        cwd=here,
    )
    assert done.code == 0 and contents(here / "beam") == contents(here / "local")
    assert sorted(os.listdir(here)) == ["beam", "local", "text.txt"]
