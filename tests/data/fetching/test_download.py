"""A file of known digest, from a local server that misbehaves in every way."""

from __future__ import annotations

import hashlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults import limited, small_disk, why_no_small_disk
from misbehaving import (
    BODY,
    OTHER,
    PAGE,
    Behaviour,
    Handler,
    Server,
    broken_chunk,
    drip,
    endless,
    long_reason,
    loop,
    many_headers,
    noise,
    part,
    reset,
    running_server,
    serve,
    silent_first,
    status,
    to,
    wait,
)
from par.core.errors import DataError, ResourceError, UsageError
from par.core.urls import Unavailable
from par.data.fetching import download
from par.data.fetching.known_file import Known
from project import started, until

HALF = 150_001
# seconds to wait where a server says nothing; a loaded machine may take as long elsewhere, so
# everything else may take 30
SILENCE = 1.0


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


# ---- one download ----


@pytest.fixture
def known(server: Server) -> Known:
    """BODY, whose first URL serves it well."""
    return Known(
        "file.zip",
        len(BODY),
        f"sha256:{hashlib.sha256(BODY).hexdigest()}",
        (server.url("good", serve(BODY)),),
    )


def fetch(known: Known, folder: Path, *urls: str, timeout: float = 30) -> Path:
    return download.fetch(known, urls or known.urls, folder, timeout)


def partial(folder: Path) -> Path:
    return folder / ".file.zip.partial"


def test_a_file_is_downloaded_once_and_nothing_else_is_left(server, known, tmp_path, capsys):
    folder = tmp_path / "data" / "raw"
    for _ in range(2):
        assert fetch(known, folder).read_bytes() == BODY
        assert os.listdir(folder) == ["file.zip"]
    [(_, asked, agent)] = server.asked
    assert asked is None and "par-transformer-xl/" in agent and "urllib" not in agent
    assert capsys.readouterr().err.splitlines()[0] == f"downloading {known.urls[0]}"


def test_a_file_url_goes_the_same_way_spaces_and_all(known, tmp_path):
    (tmp_path / "a place").mkdir()
    (tmp_path / "a place" / "any name").write_bytes(BODY)
    assert fetch(known, tmp_path, f"file://{tmp_path}/a%20place/any%20name").read_bytes() == BODY
    assert (tmp_path / "a place" / "any name").read_bytes() == BODY


FAULTS: dict[str, tuple[Behaviour, str]] = {
    "403": (status(403), "answers 403 Forbidden"),
    "404": (status(404), "answers 404 Not Found"),
    "500": (status(500), "answers 500 Internal Server Error"),
    "503": (status(503), "answers 503 Service Unavailable"),
    "204": (lambda handler: handler.begin(204), f"ended after 0 of {len(BODY):,} bytes"),
    "silent before the headers": (silent_first, "does not answer within 1 s"),
    "silent at once in the body": (part(0, then=wait), "does not answer within 1 s"),
    "drips": (part(0, then=drip), "bytes a second"),
    "web page with its length": (
        serve(PAGE, resume=False, Content_Type="text/html; charset=utf-8"),
        "answers with a web page",
    ),
    "web page that says it is the file": (
        part(0, None, lambda handler: handler.wfile.write(PAGE)),
        f"ended after {len(PAGE):,} of {len(BODY):,}",
    ),
    "another length": (serve(PAGE), f"has {len(PAGE)} bytes, not {len(BODY)}"),
    "a length that is none": (part(HALF, "9" * 5000), "has 99999"),
    "wrong digest": (
        serve(OTHER),
        (
            f"its SHA-256 is {hashlib.sha256(OTHER).hexdigest()}, not"
            f" {hashlib.sha256(BODY).hexdigest()}"
        ),
    ),
    "one byte wrong": (serve(BODY[:-1] + b"!"), "its SHA-256 is "),
    "reset before the headers": (reset, "Connection reset by peer"),
    "no HTTP": (noise, "\\x1b[31m no HTTP at all\n"),
    "a reason without end": (long_reason, "answers 500 xxx"),
    "two hundred headers": (many_headers, "got more than 100 headers"),
    "redirect loop": (
        loop,
        "Exceeded 10 redirects",
    ),
    "redirect to a file": (
        to("file:///etc/hostname"),
        "No connection adapters were found for 'file:///etc/hostname'",
    ),
    "redirect to ftp": (
        to("ftp://127.0.0.1/file.zip"),
        "No connection adapters were found for 'ftp://127.0.0.1/file.zip'",
    ),
    "redirect to nowhere": (to("http://127.0.0.1:1/"), "Connection refused"),
    "endless": (endless, f"sends more than {len(BODY):,} bytes"),
    "broken in a chunk": (broken_chunk, "IncompleteRead"),
}
SILENT = {"silent before the headers", "silent at once in the body", "drips"}


LATE = {"503", "silent before the headers", "silent at once in the body"}  # seconds each


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in LATE else name for name in FAULTS],
)
def test_after_any_fault_the_next_mirror_is_tried_and_none_is_believed(
    server, known, tmp_path, capsys, name
):
    behaviour, reason = FAULTS[name]
    url = server.url("bad", behaviour)
    timeout = SILENCE if name in SILENT else 30
    with pytest.raises(Unavailable) as refusal:
        fetch(known, tmp_path / "alone", url, timeout=timeout)
    by_hand = (
        f"place it there by hand (300,007 bytes, {known}, {known.urls[0]}), or name a mirror with"
        " --mirror=URL"
    )
    assert str(refusal.value).startswith(
        f"{tmp_path}/alone/file.zip can't be downloaded, for the reasons above: {by_hand}"
    )
    assert refusal.value.exit_code == 3
    assert not (tmp_path / "alone" / "file.zip").exists()
    err = capsys.readouterr().err
    assert (
        f"\n{url}: " in err
        and reason in err
        and not {"\r", "\x1b"} & set(err)
        and max(map(len, err.splitlines())) < 300
    )
    assert fetch(known, tmp_path, url, *known.urls, timeout=timeout).read_bytes() == BODY
    lines = capsys.readouterr().err.splitlines()
    assert (
        len([line for line in lines if line.startswith(f"{url}: ")]) >= 1
        and not partial(tmp_path).exists()
    )


@pytest.mark.parametrize(
    "name",
    [
        "403",
        "silent before the headers",
        "silent at once in the body",
        "wrong digest",
        "redirect loop",
        "another length",
        "endless",
    ],
)
def test_what_will_not_get_better_is_tried_once_and_told_in_one_line(
    server, known, tmp_path, capsys, name
):
    url = server.url("bad", FAULTS[name][0])
    with pytest.raises(Unavailable):
        fetch(known, tmp_path, url, timeout=SILENCE if name in SILENT else 30)
    assert name == "redirect loop" or len(server.asked) == 1
    assert [line.split(" ")[0] for line in capsys.readouterr().err.splitlines()] == [
        "downloading",
        f"{url}:",
    ]


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:1/x",
        "http://nowhere.invalid/x",
        "http://bücher.invalid/ü",
        "http://127.0.0.1:port/x",
        "gopher://x/y",
    ],
)
def test_an_address_that_leads_nowhere_is_one_line(known, tmp_path, capsys, url):
    assert fetch(known, tmp_path, url, *known.urls).read_bytes() == BODY
    assert [line.split(": ")[0] for line in capsys.readouterr().err.splitlines()][1:] == [
        url,
        f"downloading {known.urls[0]}",
    ]


def test_a_file_url_of_nothing_a_directory_or_a_pipe_is_one_line(known, tmp_path, capsys):
    os.mkfifo(tmp_path / "pipe")
    for name in ("nothing", "", "pipe"):
        with pytest.raises(Unavailable):
            fetch(known, tmp_path, f"file://{tmp_path}/{name}")
        assert capsys.readouterr().err.splitlines()[1:] == [
            f"file://{tmp_path}/{name}: no such file"
        ]


@pytest.mark.parametrize("then", [None, wait, reset], ids=["short", "time-out", "reset"])
@pytest.mark.parametrize("length", [len(BODY), None], ids=["with its length", "without"])
def test_a_download_that_breaks_is_continued_where_it_stopped(
    server, known, tmp_path, capsys, then, length
):
    url = server.url("breaks", part(HALF, length, then), serve(BODY))
    assert (
        fetch(known, tmp_path, url, timeout=SILENCE if then is wait else 30).read_bytes() == BODY
    )
    first, second = server.ranges
    arrived = int(second.removeprefix("bytes=").removesuffix("-"))
    assert first is None and 0 < arrived <= HALF and (then is reset or arrived == HALF)
    assert f"downloading {url} from byte {arrived:,} on" in capsys.readouterr().err


def test_another_mirror_continues_what_one_began(server, known, tmp_path):
    url = server.url("breaks", part(HALF), status(404))
    assert fetch(known, tmp_path, url, *known.urls).read_bytes() == BODY
    assert server.ranges == [None, f"bytes={HALF}-", f"bytes={HALF}-"]


def test_a_server_that_is_busy_for_a_moment_is_asked_three_times_whatever_it_wants(
    server, known, tmp_path
):
    url = server.url("busy", status(503, Retry_After=3600), status(429), serve(BODY))
    assert fetch(known, tmp_path, url).read_bytes() == BODY and len(server.asked) == 3
    busy = server.url("still-busy", status(503))
    fetch(known, tmp_path / "other", busy, *known.urls)
    assert [path for path, _, _ in server.asked[3:]] == ["/still-busy"] * 3 + ["/good"]


def test_what_comes_with_a_redirect_is_not_read(server, known, tmp_path):
    def redirect_and_wait(handler: Handler) -> None:
        handler.begin(302, Location="/good")
        handler.wfile.write(PAGE)
        wait(handler)

    url = server.url("moved", redirect_and_wait)
    assert fetch(known, tmp_path, url, timeout=SILENCE).read_bytes() == BODY


def test_a_server_that_begins_well_and_then_drips_is_left(server, known, tmp_path, capsys):
    url = server.url("tires", part(HALF, then=drip))
    assert fetch(known, tmp_path, url, *known.urls, timeout=SILENCE).read_bytes() == BODY
    assert "bytes a second" in capsys.readouterr().err and server.ranges[1].startswith("bytes=15")


def test_a_server_that_breaks_every_time_is_left_after_five_attempts(server, known, tmp_path):
    def little(handler: Handler) -> None:
        start = int((handler.headers["Range"] or "bytes=0-")[6:-1])
        handler.begin(
            206 if start else 200,
            Content_Length=len(BODY) - start,
            Content_Range=f"bytes {start}-{len(BODY) - 1}/{len(BODY)}",
        )
        handler.wfile.write(BODY[start : start + 1000])

    with pytest.raises(Unavailable):
        fetch(known, tmp_path, server.url("little", little))
    assert (
        server.ranges == [None, *(f"bytes={i}000-" for i in range(1, 5))]
        and partial(tmp_path).read_bytes() == BODY[:5000]
    )


# ---- what an earlier attempt left ----


def wrong_range(handler: Handler) -> None:
    if handler.headers["Range"]:
        handler.begin(206, Content_Range=f"bytes 0-{len(BODY) - 1}/{len(BODY)}")
        handler.wfile.write(BODY)
    else:
        serve(BODY)(handler)


def no_range_named(handler: Handler) -> None:
    if handler.headers["Range"]:
        handler.begin(206, Content_Length=len(BODY) - HALF)
        handler.wfile.write(BODY[HALF:])
    else:
        serve(BODY)(handler)


def never_satisfied(handler: Handler) -> None:
    (status(416) if handler.headers["Range"] else serve(BODY))(handler)


DISCARDED = "so what arrived before is discarded"


@pytest.mark.parametrize(
    "left, behaviour, requests, thrown_away",
    [
        (BODY[:HALF], serve(BODY), 1, False),
        (BODY[:HALF], serve(BODY, resume=False), 1, False),
        (BODY[:HALF], wrong_range, 2, True),
        (BODY[:HALF], no_range_named, 2, True),
        (BODY[:HALF], never_satisfied, 2, True),
        (OTHER[:HALF], serve(BODY), 2, True),
        (PAGE, serve(BODY), 2, True),
        (BODY, serve(BODY), 0, False),
        (OTHER, serve(BODY), 1, True),
        (BODY + b"!", serve(BODY), 1, True),
    ],
    ids=[
        "continued",
        "ignored",
        "wrong-range",
        "no-range-named",
        "416",
        "changed",
        "a-page",
        "all-there",
        "all-wrong",
        "too-long",
    ],
)
def test_what_was_left_is_continued_or_thrown_away_and_fetched_anew(
    server, known, tmp_path, capsys, left, behaviour, requests, thrown_away
):
    partial(tmp_path).write_bytes(left)
    assert fetch(known, tmp_path, server.url("file", behaviour)).read_bytes() == BODY
    err = capsys.readouterr().err
    assert len(server.asked) == requests and (DISCARDED in err) == thrown_away
    is_other_range = behaviour in (wrong_range, no_range_named)
    assert ("another range than requested" in err) == is_other_range
    assert os.listdir(tmp_path) == ["file.zip"]


@pytest.mark.parametrize(
    "name",
    [
        "403",
        "silent before the headers",
        "web page with its length",
        "reset before the headers",
        "larger",
    ],
)
def test_a_mirror_that_has_something_else_costs_nothing_of_what_was_left(
    server, known, tmp_path, name
):
    partial(tmp_path).write_bytes(BODY[:HALF])
    with pytest.raises(Unavailable):
        fetch(
            known,
            tmp_path,
            server.url("bad", serve(PAGE * 1000) if name == "larger" else FAULTS[name][0]),
            timeout=SILENCE if name in SILENT else 30,
        )
    assert (
        set(server.ranges) == {f"bytes={HALF}-"} and partial(tmp_path).read_bytes() == BODY[:HALF]
    )


def test_what_is_there_is_never_replaced_whatever_it_is(server, known, tmp_path):
    (tmp_path / "file.zip").write_bytes(OTHER)
    with pytest.raises(
        DataError,
        match=(
            f"its SHA-256 is {hashlib.sha256(OTHER).hexdigest()}, not"
            f" {hashlib.sha256(BODY).hexdigest()}"
        ),
    ):
        fetch(known, tmp_path)
    assert (
        (tmp_path / "file.zip").read_bytes() == OTHER
        and not server.asked
        and os.listdir(tmp_path) == ["file.zip"]
    )


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no /dev/full")
def test_a_full_disk_is_named_with_the_path_and_the_need(known, tmp_path):
    partial(tmp_path).symlink_to("/dev/full")
    told = (
        r"^can't write .*/file\.zip \(No space left on device; it needs 300,007 bytes, [\d,]+ are"
        r" free\): free some disk space and run the same"
    )
    with pytest.raises(ResourceError, match=told):
        fetch(known, tmp_path)
    assert os.listdir(tmp_path) == []


# ---- other processes ----

PROGRAM = """
import sys
from pathlib import Path
from par.data.fetching import download, known_file
from par.tools.cli.flags import Flags
from par.tools.cli.main import run_command
known = known_file.Known("file.zip", int(sys.argv[2]), sys.argv[3], (sys.argv[4],))
def work(values):
    print(download.fetch(known, known.urls, Path(sys.argv[1])))
sys.exit(run_command(Flags("x"), work, []))
"""


def start(known: Known, folder: Path, url: str, prefix: tuple[str, ...] = ()) -> subprocess.Popen:
    return started(PROGRAM, folder, known.size, known.digest, url, prefix=prefix)


@pytest.mark.parametrize(
    "number, code", [(signal.SIGKILL, -9), (signal.SIGINT, 5), (signal.SIGTERM, 5)]
)
def test_a_process_that_is_stopped_half_way_leaves_what_the_next_one_continues(
    server, known, tmp_path, number, code
):
    process = start(known, tmp_path, server.url("hangs", part(HALF, then=wait)))
    until(lambda: partial(tmp_path).exists() and partial(tmp_path).stat().st_size == HALF)
    process.send_signal(number)
    _, err = process.communicate(timeout=120)
    assert (
        process.returncode == code
        and "Traceback" not in err
        and not (tmp_path / "file.zip").exists()
    )
    if code == 5:
        assert err.splitlines()[-1].startswith(
            "error: stopped while file.zip was downloaded: what has arrived is kept, and the same"
            " command again"
        )
    assert fetch(known, tmp_path).read_bytes() == BODY
    assert server.asked[-1][:2] == ("/good", f"bytes={HALF}-") and os.listdir(tmp_path) == [
        "file.zip"
    ]


def test_of_two_processes_one_downloads_and_the_other_waits_and_takes_what_it_got(
    server, known, tmp_path
):
    go_on = threading.Event()

    def slowly(handler: Handler) -> None:
        handler.begin(200, Content_Length=len(BODY))
        handler.wfile.write(BODY[:HALF])
        go_on.wait(120)
        handler.wfile.write(BODY[HALF:])

    url = server.url("slow", slowly)
    first = start(known, tmp_path, url)
    until(lambda: partial(tmp_path).exists() and partial(tmp_path).stat().st_size == HALF)
    second = start(known, tmp_path, url)
    assert (
        second.stderr.readline()
        == f"another process is getting {tmp_path}/file.zip: waiting for it\n"
    )
    go_on.set()
    for process in (first, second):
        out, err = process.communicate(timeout=120)
        assert (process.returncode, out) == (0, f"{tmp_path}/file.zip\n"), err
    assert (
        len(server.asked) == 1
        and (tmp_path / "file.zip").read_bytes() == BODY
        and os.listdir(tmp_path) == ["file.zip"]
    )


def test_if_the_one_that_downloads_is_killed_the_one_that_waits_goes_on(server, known, tmp_path):
    url = server.url("hangs", part(HALF, then=wait), serve(BODY))
    first = start(known, tmp_path, url)
    until(lambda: partial(tmp_path).exists() and partial(tmp_path).stat().st_size == HALF)
    second = start(known, tmp_path, url)
    second.stderr.readline()
    first.kill()
    first.communicate(timeout=120)
    assert second.communicate(timeout=120)[0] == f"{tmp_path}/file.zip\n"
    assert (
        server.ranges == [None, f"bytes={HALF}-"] and (tmp_path / "file.zip").read_bytes() == BODY
    )


def test_a_limit_on_the_size_of_files_is_told_as_a_full_disk_and_what_arrived_is_continued(
    server, known, tmp_path
):
    process = start(known, tmp_path, known.urls[0], limited(HALF))
    _, err = process.communicate(timeout=120)
    told = (
        rf"error: can't write {tmp_path}/file\.zip \(File too large; it needs 300,007 bytes,"
        r" [\d,]+ are free\): raise the limit of a file's size"
    )
    assert (
        process.returncode == 6
        and re.match(told, err.splitlines()[-1])
        and os.listdir(tmp_path) == [partial(tmp_path).name]
    )
    assert fetch(known, tmp_path).read_bytes() == BODY and server.ranges == [
        None,
        f"bytes={HALF}-",
    ]


def test_a_disk_on_which_no_file_can_be_begun_is_told_the_same_way(known, tmp_path):
    if reason := why_no_small_disk(tmp_path / "tried"):
        pytest.skip(reason)
    with small_disk(tmp_path / "disk", "64k") as disk:
        disk.change("ro")
        process = start(known, disk.path / "raw", known.urls[0], disk.prefix)
        _, err = process.communicate(timeout=120)
    told = (
        f"error: can't write {tmp_path}/disk/raw/file.zip (Read-only file system; it needs 300,007"
        " bytes, 65,536 are free): make the file system "
    )
    assert process.returncode == 6 and err.splitlines()[-1].startswith(told)


# ---- addresses ----


@pytest.mark.parametrize(
    "url", ["http://h", "https://h:8080/a/b?c=d", "file:///a", "file://localhost/a/b.zip"]
)
def test_a_mirror_is_a_web_address_or_a_file_of_this_machine(url):
    download.check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "h/a",
        "/a/b",
        "ftp://h/a",
        "data:,x",
        "http:/a",
        "file://h/a",
        "file:a",
        "http://[",
        "HTTP",
    ],
)
def test_any_other_mirror_is_refused(url):
    with pytest.raises(
        UsageError,
        match=(
            r"--mirror must be http://HOST/\.\.\., https://HOST/\.\.\. or file:///PATH, but is '"
        ),
    ):
        download.check_url(url)
