"""A directory takes another's place whole or not at all, and only where that is wanted; what is
read has bounds."""

from __future__ import annotations

import errno
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest

from par.core import files
from par.core.errors import DataError, ResourceError, UsageError


def test_a_directory_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    for content in ("one", "two"):
        with files.building(tmp_path / "out", "mark", "output") as partial:
            (partial / content).write_text(content)
            (partial / "mark").touch()
            assert not (tmp_path / "out" / content).exists()
        assert {path.name for path in (tmp_path / "out").iterdir()} == {content, "mark"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), ValueError("broken"), OSError(errno.ENOSPC, "full")], ids=repr
)
def test_what_was_there_stays_when_the_work_fails(tmp_path, error):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    with pytest.raises(type(error)), files.building(tmp_path / "out", "mark", "output") as partial:
        (partial / "mark").write_text("half")
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and (
        tmp_path / "out" / "old"
    ).read_text() == "old"


def test_what_was_there_comes_back_when_the_new_one_can_not_take_its_place(tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("old")
    rename = Path.rename

    def failing(source, target):
        if source.name.endswith(".partial"):
            raise OSError(errno.EACCES, "refused", str(target))
        return rename(source, target)

    monkeypatch.setattr(Path, "rename", failing)
    with (
        pytest.raises(OSError, match="refused"),
        files.building(tmp_path / "out", "mark", "output") as partial,
    ):
        (partial / "mark").touch()
    assert [path.name for path in tmp_path.iterdir()] == ["out"] and (
        tmp_path / "out" / "old"
    ).read_text() == "old"


def test_only_a_directory_of_the_kind_may_be_overwritten(tmp_path):
    for name in ("empty", "foreign", "kind/part", "mixed/part"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("foreign/notes", "kind/mark", "kind/part/a", "mixed/mark", "mixed/part/b"):
        (tmp_path / name).touch()
    own = ("mark", "part/a*")
    (tmp_path / "file").touch()
    for name in ("missing", "empty", "deep/er/missing"):
        files.check_replaceable(tmp_path / name, "mark", own, False, "output")
    files.check_replaceable(tmp_path / "kind", "mark", own, True, "output")
    for name, overwrite, words in (
        ("kind", False, "--overwrite"),
        ("mixed", True, "also holds part/b"),
        ("foreign", True, "no mark"),
        ("file", True, "no mark"),
    ):
        with pytest.raises(UsageError, match=words):
            files.check_replaceable(tmp_path / name, "mark", own, overwrite, "output")


def test_no_more_of_a_file_is_allocated_than_it_has(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    tracemalloc.start()
    try:
        assert files.read_bytes(tmp_path / "file", "file", 1 << 30) == b"abc"
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()
    with pytest.raises(DataError, match=r"file .*/file has more than the 2 bytes"):
        files.read_bytes(tmp_path / "file", "file", 2)


def test_text_that_is_not_utf8_is_refused_and_leaves_what_was_there(tmp_path):
    (tmp_path / "file").write_text("old")
    for write in (files.write_text, files.append_text):
        with pytest.raises(UsageError, match=r"can't hold 'caf\\udce9', which is not UTF-8"):
            write(tmp_path / "file", "caf\udce9")
    assert (tmp_path / "file").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_no_other_build_starts_before_the_first_has_removed_what_it_left_beside_its_result(
    tmp_path, monkeypatch
):
    rename, refused = Path.rename, []

    def renaming(source, target):
        rename(source, target)
        if Path(target) == tmp_path / "out":
            with (
                pytest.raises(UsageError, match="is being built by another process"),
                files.building(tmp_path / "out", "mark", "output"),
            ):
                pass
            refused.append(source.name)

    monkeypatch.setattr(Path, "rename", renaming)
    for _ in range(2):
        with files.building(tmp_path / "out", "mark", "output") as partial:
            (partial / "mark").touch()
    assert refused == [".out.partial"] * 2 and [path.name for path in tmp_path.iterdir()] == [
        "out"
    ]


def test_what_a_killed_build_left_is_removed_and_what_it_moved_aside_comes_back(tmp_path):
    (tmp_path / ".out.partial" / "half").mkdir(parents=True)
    (tmp_path / ".out.old").mkdir()
    (tmp_path / ".out.old" / "old").touch()
    (tmp_path / ".out.lock").touch()
    with files.building(tmp_path / "out", "mark", "output") as partial:
        assert not list(partial.iterdir()) and (tmp_path / "out" / "old").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old"]


def test_a_build_makes_its_parent_directories_and_removes_them_when_nothing_came_of_it(tmp_path):
    with files.building(tmp_path / "a" / "b" / "out", "mark", "output"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_mount_point_is_refused_before_the_work(monkeypatch):
    for _ in range(2):  # by its device, and by the system's list
        with (
            pytest.raises(UsageError, match="/proc is a mount point"),
            files.building(Path("/proc"), "mark", "output"),
        ):
            pytest.fail("the work has begun")
        monkeypatch.setattr(files.os.path, "ismount", lambda path: False)


def test_a_file_is_replaced_when_the_block_ends_and_left_when_it_fails(tmp_path):
    path = tmp_path / "new" / "file"
    for content in ("one", "two"):
        with files.replacing(path) as partial:
            partial.write_text(content)
            assert not path.exists() or path.read_text() != content
    with pytest.raises(ValueError), files.replacing(path) as partial:
        partial.write_text("half")
        raise ValueError
    assert path.read_text() == "two" and [each.name for each in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(("size", "need"), [(0, "it needs 4 bytes"), (12_345, "it needs 12,345")])
def test_a_full_disk_is_told_with_the_file_that_the_user_knows_and_the_bytes(tmp_path, size, need):
    with (
        pytest.raises(ResourceError, match=f"can't write {tmp_path}/file .*{need}") as caught,
        files.replacing(tmp_path / "file", size) as partial,
    ):
        partial.write_text("half")
        raise OSError(errno.ENOSPC, "full", str(partial))
    assert "free some disk space" in str(caught.value) and not list(tmp_path.iterdir())


def test_a_path_that_can_not_be_written_is_named_as_the_user_gave_it(tmp_path):
    (tmp_path / "file").touch()
    for check in (files.check_writable, lambda path: files.write_text(path, "x")):
        with pytest.raises(OSError) as caught:
            check(tmp_path / "file" / "below")
        assert str(tmp_path / "file") in str(caught.value)
        assert "partial" not in str(caught.value)
    with pytest.raises(IsADirectoryError):
        files.check_writable(tmp_path)
    files.check_writable(tmp_path / "a" / "b")
    assert [each.name for each in tmp_path.iterdir()] == ["file"]


def test_what_could_only_be_appended_in_part_is_cut_off_again(tmp_path):
    path = tmp_path / "log"
    files.append_text(path, "one\n")
    program = (
        "import resource, signal, sys; from par.core import files;"
        " signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        " resource.setrlimit(resource.RLIMIT_FSIZE, (8, 8));"
        " files.append_text(sys.argv[1], '123456789\\n')"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert f"can't write {path} (File too large; it needs 10 bytes" in done.stderr
    assert path.read_text() == "one\n"


def test_space_is_missing_only_where_a_disk_has_less_than_is_needed(tmp_path):
    files.check_space(tmp_path, 1)
    with pytest.raises(ResourceError, match="No space left"):
        files.check_space(tmp_path, 1 << 60)


def test_a_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")
    assert files.sha256(tmp_path / "file").startswith("ba7816bf8f01cfea414140de5dae2223")


def test_a_mount_point_is_refused_also_before_the_work_that_makes_what_replaces_it():
    with pytest.raises(UsageError, match="--output /proc is a mount point"):
        files.check_replaceable(Path("/proc"), "mark", (), True, "output")


@pytest.mark.parametrize("directory", ["run", "run/", ".", "run/..", "../x/run/."])
def test_what_is_made_from_a_directory_lies_beside_it(directory, tmp_path, monkeypatch):
    (tmp_path / "x" / "run").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "x")
    made = Path(files.beside(directory, "made"))
    assert made.resolve().parent == Path(directory).resolve().parent
    assert made.name == f"{Path(directory).resolve().name}-made"
