"""Small files of unknown digest, read from servers that misbehave and from what gfile reads."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from misbehaving import (
    BODY,
    PAGE,
    Server,
    broken_chunk,
    endless,
    long_reason,
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
from par.core import urls
from par.core.text import without_users

SMALL = BODY[:1_000]


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


def test_a_file_of_up_to_the_limit_is_read_whole(server, tmp_path):
    url = server.url("small", serve(SMALL))
    assert urls.read(url, len(SMALL)) == urls.read(url.replace("http", "HTTP"), 5_000) == SMALL
    (tmp_path / "a b").write_bytes(SMALL)
    assert urls.read(f"file://{tmp_path}/a%20b", len(SMALL)) == SMALL
    for address in (url, f"file://{tmp_path}/a%20b"):
        with pytest.raises(urls.Unavailable, match=r"\(sends more than 999 bytes\)$"):
            urls.read(address, len(SMALL) - 1)


@pytest.mark.parametrize(
    "behaviour, reason",
    [
        (status(404), "answers 404 Not Found"),
        (serve(PAGE, resume=False, Content_Type="text/html"), "answers with a web page"),
        (endless, "sends more than 5,000 bytes"),
        (loop, "Exceeded 10 redirects"),
        (to("file:///etc/hostname"), "No connection adapters were found"),
        (noise, r"\x1b[31m no HTTP at all"),
        (long_reason, "answers 500 xxx"),
        (broken_chunk, "IncompleteRead"),
        (reset, "Connection reset by peer"),
        (part(0, 10, then=wait), "does not answer within 0.5 s"),
    ],
)
def test_what_is_not_the_file_is_one_printable_line_with_the_reason(server, behaviour, reason):
    with pytest.raises(urls.Unavailable, match=re.escape(reason)) as refusal:
        urls.read(server.url("bad", behaviour), 5_000, timeout=0.5)
    assert str(refusal.value).isprintable() and len(str(refusal.value)) < 300


def test_a_password_is_sent_and_not_shown(server):
    told = []

    def answer(handler):
        told.append(handler.headers["Authorization"])
        status(404)(handler)

    url = server.url("secret", answer).replace("//", "//me:hidden@")
    with pytest.raises(urls.Unavailable, match=r"^http://127.0.0.1:[0-9]+/secret can't be read"):
        urls.read(url, 5_000)
    assert told == ["Basic bWU6aGlkZGVu"]  # me:hidden
    with pytest.raises(urls.Unavailable, match=r"Failed to parse|nvalid") as refusal:
        urls.read("http://me:hidden@127.0.0.1:port/x", 5_000)
    assert "hidden" not in str(refusal.value)
    for url in ("gs://bucket/a@b", "https://host/en@v1", "file:///a@b", "/srv//me:x@y/z"):
        assert without_users(url) == url


def test_no_redirect_leads_from_https_to_http():
    assert set(urls.session_of("https").adapters) == {"https://"}
    assert set(urls.session_of("http").adapters) == {"https://", "http://"}


def test_what_ends_early_is_asked_for_again_five_times(server):
    short = part(100, len(SMALL), body=SMALL)
    assert urls.read(server.url("short", short, short, short, short, serve(SMALL)), 5_000) == SMALL
    with pytest.raises(urls.Unavailable, match="IncompleteRead"):
        urls.read(server.url("shorter", short), 5_000)
    assert len(server.asked) == 10


def test_whatever_else_tensorflow_reads_is_read_with_its_reasons():
    import tensorflow as tf

    with tf.io.gfile.GFile("ram://urls/small", "wb") as file:
        file.write(SMALL)
    assert urls.read("ram://urls/small", 5_000) == SMALL
    for url, reason in (
        ("ram://urls/none", "NotFoundError"),
        ("gopher://x/y", "File system scheme 'gopher' not implemented"),
    ):
        with pytest.raises(urls.Unavailable, match=f"^{url} can't be read .*{reason}"):
            urls.read(url, 5_000)
