"""Networks fetched from a shelf on a server that misbehaves, by processes that are killed, onto
disks that are full, into a cache that was damaged."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import re
import shutil
import signal
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import shelved
from faults import limited, small_disk, why_no_small_disk
from misbehaving import (
    OTHER,
    PAGE,
    Behaviour,
    Handler,
    Server,
    endless,
    loop,
    noise,
    part,
    reset,
    running_server,
    serve,
    status,
    to,
    wait,
)
from par.core.errors import DataError, UsageError
from par.shelf import cache, packing, verification
from par.shelf.entry import Entry, File
from par.shelf.shelves import Shelf
from project import started, until
from shelved import contents, named

ENTRY, ARCHIVE = "shelf/en_docs/v1.json", "shelf/en_docs/v1.tar"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A shelf with a network; not to be changed."""
    root = tmp_path_factory.mktemp("saved")
    shelved.save(shelved.untrained_run(root, size=60_000), root / "shelf")
    return root / "shelf"


@pytest.fixture
def shelf(saved, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(saved, tmp_path / "shelf"))


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """The cache."""
    monkeypatch.setenv("PAR_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def left(home: Path) -> list[str]:
    """What is in the cache beside whole networks."""
    shelves = [path for path in home.glob("*") if path.is_dir()]
    inside = [path.name for shelf in shelves for path in shelf.iterdir()]
    return sorted(name for name in inside if name != "en_docs@v1")


def whole(place: Path, entry: Entry) -> bool:
    names = {file.name for file in entry.files} | {"shelf.json"}
    return cache.damage(place, entry) == "" and set(contents(place)) == names


@pytest.mark.parametrize("kind", ["directory", "file", "http", "gfile"])
def test_a_network_is_fetched_once_and_then_needs_no_shelf(shelf, server, home, kind):
    address = {"directory": str(shelf), "file": shelf.as_uri(), "http": server.share(shelf)}
    if kind == "gfile":
        import tensorflow as tf

        address["gfile"] = "ram://shelf"
        for name, content in contents(shelf).items():
            with tf.io.gfile.GFile(f"ram://shelf/{name}", "wb") as file:
                file.write(content)
    reference = named(address[kind])
    found = cache.fetch(reference)
    assert found.is_new and whole(found.path, found.entry) and left(home) == []
    assert (found.path / "README.md").read_text().startswith("# en_docs@v1\n")
    assert not cache.fetch(reference).is_new
    asked = len(server.asked)
    shutil.rmtree(shelf)
    assert cache.cached(reference) == cache.run_path(f"shelf:{address[kind]}/en_docs@v1")
    assert cache.cached(reference) == found.path and len(server.asked) == asked


def test_what_is_on_no_shelf_is_told_with_the_reason(shelf, server, home):
    for address, reason in (
        (server.share(shelf), "answers 404 Not Found"),
        (shelf, "no such file"),
        ("http://127.0.0.1:1/shelf", "Connection refused"),
        ("nowhere://x", "File system scheme 'nowhere' not implemented"),
    ):
        told = rf"^en_docs@v2 is not on shelf .*/v2\.json can't be read \(.*{reason}"
        with pytest.raises(DataError, match=told):
            cache.cached(named(address, "v2"))
    assert not home.exists()


# ---- the server ----

FAULTS: dict[str, Behaviour] = {
    "404": status(404),
    "403": status(403),
    "page": serve(PAGE, resume=False, Content_Type="text/html"),
    "reset": reset,
    "no HTTP": noise,
    "loop": loop,
    "to a file": to("file:///etc/hostname"),
    "endless": endless,
    "another": serve(OTHER),
    "nothing": serve(b""),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("path", [ENTRY, ARCHIVE], ids=["entry", "archive"])
def test_whatever_a_server_sends_instead_nothing_of_it_is_in_the_cache(
    shelf, server, home, path, name
):
    reference = named(server.share(shelf))
    good = server.scripts[f"/{path}"]
    server.url(path, FAULTS[name])
    with pytest.raises(DataError) as refusal:
        cache.cached(reference)
    assert str(refusal.value).isprintable()
    assert not list(home.glob("*/en_docs@v1*")) and left(home) == []
    server.url(path, *good)
    assert whole(cache.cached(reference), cache.fetch(reference).entry)


def test_an_entry_that_ends_early_is_read_again_and_one_that_never_ends_is_left(
    shelf, server, home, monkeypatch
):
    content = (shelf / "en_docs" / "v1.json").read_bytes()
    reference = named(server.share(shelf))
    short = part(100, len(content), body=content)
    server.url(ENTRY, short, short, serve(content))
    assert cache.cached(reference).is_dir()
    assert [path for path, _, _ in server.asked].count(f"/{ENTRY}") == 3
    monkeypatch.setattr("par.shelf.entry.MAX_BYTES", 2 * len(content))
    server.url(ENTRY, endless)
    with pytest.raises(DataError, match="sends more than"):
        cache.fetch(reference)


def test_a_download_that_breaks_is_continued_where_it_stopped(shelf, server, home):
    content = (shelf / "en_docs" / "v1.tar").read_bytes()
    reference = named(server.share(shelf))
    server.url(ARCHIVE, part(100_000, len(content), body=content), serve(content))
    assert whole(cache.cached(reference), cache.fetch(reference).entry)
    assert "bytes=100000-" in server.ranges


# ---- a shelf that means harm ----


def forge(shelf: Path, change: Callable[[dict], None], archive: bytes | None = None) -> None:
    """Changes the entry of a shelf, and the archive; the entry then has its size and digest."""
    path = shelf / "en_docs" / "v1.json"
    value = json.loads(path.read_text())
    if archive is not None:
        (shelf / "en_docs" / "v1.tar").write_bytes(archive)
        known = packing.listed([("x", archive)])[0]
        value["archive"] |= {"size": known.size, "sha256": known.sha256}
    change(value)
    path.write_text(json.dumps(value))


def rename(value: dict, name: str) -> None:
    value["files"][1]["name"] = name


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda value: rename(value, "../../evil"), "is not the name of a file inside a run"),
        (lambda value: rename(value, "/etc/passwd"), "is not the name of a file inside a run"),
        (lambda value: rename(value, "README.md"), "it names a file twice"),
        (lambda value: value["files"].append(value["files"][0]), "it names a file twice"),
        (lambda value: value["files"].pop(), "says that its archive has"),
        (lambda value: value["files"][1].update(size=1 << 32), "says that its archive has"),
        (lambda value: value["archive"].update(name="../../v1.tar"), "the archive must be v1.tar"),
        (lambda value: value["archive"].update(sha256="0" * 64), "does not have the archive"),
        (lambda value: value["about"].update(tag="v2"), "is the entry of en_docs@v2, not of"),
        (lambda value: value["about"].update(licence="x" * 3_000), "licence has 3,000"),
        (lambda value: value.update(schema=2), "has schema 2, but this program reads 1"),
        (lambda value: value.update(more=1), "unknown or missing: "),
        (lambda value: value.pop("files"), "unknown or missing: "),
    ],
)
def test_an_entry_that_can_not_be_true_is_refused_before_anything_is_written(
    shelf, home, change, reason
):
    forge(shelf, change)
    with pytest.raises(DataError, match=re.escape(reason)):
        cache.cached(named(shelf))
    assert not list(home.glob("*/en_docs@v1*")) and left(home) == []


def test_an_entry_and_an_archive_made_for_each_other_still_unpack_no_link(shelf, home):
    whole_archive = io.BytesIO((shelf / "en_docs" / "v1.tar").read_bytes())
    forged = io.BytesIO()
    with (
        tarfile.open(fileobj=whole_archive) as before,
        tarfile.open(fileobj=forged, mode="w", format=tarfile.USTAR_FORMAT) as after,
    ):
        for info in before:
            content = before.extractfile(info).read()
            if info.name == "config.json":
                info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/hostname", 0
            after.addfile(info, io.BytesIO(content))
    content = forged.getvalue()

    def fitting(value: dict) -> None:
        value["files"][1] |= {"size": 0}
        size = packing.archive_size(File(**file) for file in value["files"])
        (shelf / "en_docs" / "v1.tar").write_bytes(content[:size])
        [known] = packing.listed([("x", content[:size])])
        value["archive"] |= {"size": known.size, "sha256": known.sha256}

    forge(shelf, fitting, content)
    with pytest.raises(DataError, match=r"is not used: archive .* has a symbolic link 'config"):
        cache.cached(named(shelf))
    assert not list(home.glob("*/en_docs@v1*")) and left(home) == []


def repacked(shelf: Path, **changed: bytes | None) -> None:
    """Packs the archive again with other contents of files (`data__x` for data/x), or without
    them, and with an entry that fits."""
    path = shelf / "en_docs" / "v1.json"
    value = json.loads(path.read_text())
    new = {
        name.replace("__", "/").replace("_json", ".json"): made for name, made in changed.items()
    }
    with tarfile.open(shelf / "en_docs" / "v1.tar") as tar:
        sources = [(each.name, tar.extractfile(each).read()) for each in tar]
    sources = [(name, new.get(name, old)) for name, old in sources]
    with open(shelf / "en_docs" / "v1.tar", "wb") as stream:
        files = packing.pack([source for source in sources if source[1] is not None], stream)
    [known] = packing.listed([("x", (shelf / "en_docs" / "v1.tar").read_bytes())])
    value["files"] = [dataclasses.asdict(file) for file in files]
    value["archive"] |= {"size": known.size, "sha256": known.sha256}
    path.write_text(json.dumps(value))


def test_a_run_that_points_outside_of_itself_or_is_none_is_refused(shelf, saved, home, tmp_path):
    config = cache.cached(named(saved)) / "config.json"
    outside = config.read_bytes().replace(b'"path": "data"', b'"path": "../../../data"')
    for changed, reason in (
        ({"config_json": outside}, "not in data/ beside its configuration"),
        ({"config_json": b"{}"}, "run configuration"),
        ({"config_json": None}, "does not exist"),
        ({"data__manifest_json": None}, "data manifest"),
    ):
        other = Path(shutil.copytree(saved, tmp_path / "other" / "shelf", dirs_exist_ok=True))
        repacked(other, **changed)
        with pytest.raises(DataError, match=rf"en_docs@v1 from shelf .* is not used: .*{reason}"):
            cache.cached(named(other))
    assert len(list(home.glob("*/*"))) == 1


def test_an_archive_that_is_too_large_is_refused_before_it_is_asked_for(shelf, server, home):
    reference = named(server.share(shelf))
    size = (shelf / "en_docs" / "v1.tar").stat().st_size
    told = rf"has {size:,} bytes, more than the {size - 1:,} that are allowed: `shelf.py fetch"
    with pytest.raises(DataError, match=told):
        cache.fetch(reference, max_bytes=size - 1)
    assert f"/{ARCHIVE}" not in [path for path, _, _ in server.asked]
    assert cache.fetch(reference, max_bytes=size).is_new


# ---- tags, and damage ----


def test_a_tag_that_names_something_else_than_before_is_refused_and_the_copy_stays(
    shelf, server, home
):
    reference = named(server.share(shelf))
    place = cache.cached(reference)
    before = contents(place)
    repacked(shelf, **{"README.md": b"# another\n"})
    told = r"is not what was fetched before, but a tag must not change \(archive: [0-9a-f]{64} -> "
    with pytest.raises(DataError, match=told):
        cache.fetch(reference)
    assert contents(cache.cached(reference)) == before
    # a damaged copy still knows what the tag named
    (place / "config.json").unlink()
    with pytest.raises(DataError, match=told):
        cache.cached(reference)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def to_link(path: Path) -> None:
    other = path.with_name("other")
    path.rename(other)
    path.symlink_to(other)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "flipped": lambda place: flip(place / "checkpoints" / f"ckpt-{shelved.STEP}.index"),
    "cut": lambda place: os.truncate(place / "data" / "tokenizer.model", 10),
    "removed": lambda place: (place / "config.json").unlink(),
    "a link": lambda place: to_link(place / "config.json"),
    "all removed": lambda place: [(place / name).unlink() for name in contents(place)],
    "no entry": lambda place: (place / "shelf.json").unlink(),
    "a damaged entry": lambda place: flip(place / "shelf.json"),
    "an emptied entry": lambda place: (place / "shelf.json").write_bytes(b""),
    "a file in its place": lambda place: (shutil.rmtree(place), place.write_bytes(b"x")),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_copy_is_never_used_but_fetched_again(shelf, home, name):
    reference = named(shelf)
    entry = cache.fetch(reference).entry
    place = cache.cached(reference)
    DAMAGE[name](place)
    assert cache.cached(reference) == place and whole(place, entry) and left(home) == []
    # and where the shelf is gone, it is refused
    DAMAGE[name](place)
    shutil.rmtree(shelf)
    with pytest.raises(DataError, match="en_docs@v1 is not on shelf"):
        cache.cached(reference)


def test_what_others_put_beside_the_files_is_no_damage_and_stays(shelf, home):
    place = cache.cached(named(shelf))
    (place / "plots").mkdir()
    (place / "plots" / "pi.png").write_bytes(b"x")
    assert (cache.cached(named(shelf)) / "plots" / "pi.png").exists()


def test_verify_reads_the_shelf_and_the_copy_and_changes_nothing(shelf, server, home):
    for address in (str(shelf), server.share(shelf)):
        reference, before = named(address), contents(shelf)
        index = Shelf(address).read_index()
        found = verification.verify(reference, index, home)
        assert (found.faults, found.is_cached) == ([], False)
        place = cache.cached(reference)
        assert verification.verify(reference, index, home).is_cached
        flip(place / "config.json")
        flip(shelf / "en_docs" / "v1.tar")
        faults = verification.verify(reference, index, home).faults
        assert len(faults) == 2 and "is damaged (config.json has SHA-256" in faults[1]
        assert "archive" in faults[0]
        flip(shelf / "en_docs" / "v1.tar")
        assert contents(shelf) == before and left(home) == []
    (shelf / "en_docs" / "v1.md").write_bytes(b"# another\n")
    [fault, _] = verification.verify(reference, index, home).faults
    assert fault == "v1.md is not the card in the archive"
    forge(shelf, lambda value: value["about"].update(licence="another"))
    faults = verification.verify(reference, index, home).faults
    assert any("the index of the shelf says something else" in fault for fault in faults)
    assert any("licence: MIT -> another" in fault for fault in faults)
    (shelf / "en_docs" / "v1.json").unlink()
    assert verification.verify(named(shelf), index, home).entry is None


# ---- other processes, full disks ----

PROGRAM = """
import sys
from par.shelf import cache, reference
from par.tools.cli.flags import Flags
from par.tools.cli.main import run_command
def work(values):
    print(cache.cached(reference.parse(sys.argv[1])))
sys.exit(run_command(Flags("x"), work, []))
"""


def start(reference: object, prefix: tuple[str, ...] = ()) -> subprocess.Popen:
    return started(PROGRAM, reference, prefix=prefix)


def arrived(home: Path) -> int:
    return sum(path.stat().st_size for path in home.glob("*/.en_docs@v1.tar.partial"))


@pytest.mark.parametrize("number, code", [(signal.SIGKILL, -9), (signal.SIGTERM, 5)])
def test_a_fetch_that_is_stopped_leaves_no_network_and_the_next_one_continues(
    shelf, server, home, number, code
):
    content = (shelf / "en_docs" / "v1.tar").read_bytes()
    url = server.share(shelf)
    server.url(ARCHIVE, part(100_000, len(content), wait, content), serve(content))
    process = start(f"shelf:{url}/en_docs@v1")
    until(lambda: arrived(home) == 100_000)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code and "Traceback" not in err
    assert not list(home.glob("*/en_docs@v1"))
    found = cache.fetch(named(url))
    assert whole(found.path, found.entry) and left(home) == []
    assert server.ranges[-1] == "bytes=100000-"


def test_of_two_processes_one_fetches_and_the_other_waits_for_it(shelf, server, home):
    content = (shelf / "en_docs" / "v1.tar").read_bytes()
    url, go_on = server.share(shelf), threading.Event()

    def slowly(handler: Handler) -> None:
        handler.begin(200, Content_Length=len(content))
        handler.wfile.write(content[:100_000])
        go_on.wait(120)
        handler.wfile.write(content[100_000:])

    server.url(ARCHIVE, slowly)
    first = start(f"shelf:{url}/en_docs@v1")
    until(lambda: arrived(home) == 100_000)
    second = start(f"shelf:{url}/en_docs@v1")
    assert second.stderr.readline() == "another process is fetching en_docs@v1\n"
    go_on.set()
    for process in (first, second):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0 and out.endswith("/en_docs@v1\n"), err
    assert [path for path, _, _ in server.asked].count(f"/{ARCHIVE}") == 1 and left(home) == []


def test_what_a_process_that_was_killed_while_it_unpacked_left_is_removed(shelf, home):
    reference = named(shelf)
    place = cache.place_of(reference, home)
    half = place.with_name(".en_docs@v1.partial")
    half.mkdir(parents=True)
    (half / "evil").write_bytes(b"x")
    shutil.copy(shelf / "en_docs" / "v1.tar", place.with_name("en_docs@v1.tar"))
    place.with_name(".en_docs@v1.fetching").write_bytes(b"")
    found = cache.fetch(reference)
    assert whole(found.path, found.entry) and left(home) == []
    # an archive that was left of something else is not believed
    shutil.rmtree(place)
    place.with_name("en_docs@v1.tar").write_bytes(b"x")
    assert whole(cache.cached(reference), found.entry) and left(home) == []


def test_a_limit_on_the_size_of_files_is_told_as_a_full_disk(shelf, home):
    process = start(f"shelf:{shelf}/en_docs@v1", limited(100_000))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 6 and "(File too large; it needs" in err.splitlines()[-1]
    assert not list(home.glob("*/en_docs@v1"))
    assert cache.fetch(named(shelf)).is_new


def test_a_disk_without_room_is_told_before_the_download(shelf, server, tmp_path, monkeypatch):
    if reason := why_no_small_disk(tmp_path / "tried"):
        pytest.skip(reason)
    url = server.share(shelf)
    with small_disk(tmp_path / "disk", "300k") as disk:
        monkeypatch.setenv("PAR_CACHE_DIR", str(disk.path / "cache"))
        process = start(f"shelf:{url}/en_docs@v1", disk.prefix)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 6, err
        assert "No space left on device" in err.splitlines()[-1]
        assert f"/{ARCHIVE}" not in [path for path, _, _ in server.asked]
        disk.change("size=64m")
        process = start(f"shelf:{url}/en_docs@v1", disk.prefix)
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        disk.change("ro")  # what is there is read without a lock
        process = start(f"shelf:{url}/en_docs@v1", disk.prefix)
        assert process.communicate(timeout=120)[0] == out and process.returncode == 0
        process = start(f"shelf:{shelf}/en_docs@v1", disk.prefix)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 1 and "can't be written (Read-only file system)" in err


def test_a_cache_that_can_not_be_written_is_told_with_the_way_to_another(shelf, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="give another one by --cache_dir or PAR_CACHE_DIR"):
        cache.cached(named(shelf), tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == b""


def test_a_user_without_a_home_is_told_where_a_cache_may_be(monkeypatch):
    for name in ("PAR_CACHE_DIR", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000)
    with pytest.raises(UsageError, match="give another one by --cache_dir or PAR_CACHE_DIR"):
        cache.default_cache()
