"""How a network on a shelf is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from par.core.errors import UsageError
from par.shelf import cache, reference
from par.shelf.reference import Reference
from par.shelf.shelves import Shelf


@pytest.mark.parametrize(
    "text, shelf",
    [
        ("shelf:en_docs@v1", "shelf"),
        ("en_docs@v1", "shelf"),
        ("shelf:/srv/a b/en_docs@v1", "/srv/a b"),
        ("shelf:../there/en_docs@v1", "../there"),
        ("shelf:https://example.org/a/en_docs@v1", "https://example.org/a"),
        ("shelf:file:///srv/en_docs@v1", "file:///srv"),
        ("shelf:gs://bucket/a@b/en_docs@v1", "gs://bucket/a@b"),
    ],
)
def test_a_reference_has_a_name_a_tag_and_maybe_the_address_of_a_shelf(monkeypatch, text, shelf):
    monkeypatch.delenv("PAR_SHELF", raising=False)
    assert reference.parse(text) == Reference("en_docs", "v1", shelf)
    assert reference.parse(reference.parse(text).text) == reference.parse(text)
    assert reference.is_reference(text) == text.startswith("shelf:")


def test_a_home_directory_is_found_and_a_password_is_not_shown(monkeypatch):
    monkeypatch.setenv("HOME", "/mine")
    assert reference.parse("shelf:~/own/n@t").shelf == "/mine/own"
    with pytest.raises(UsageError, match=r"but is 'shelf:https://example\.org/en_docs'$"):
        reference.parse("shelf:https://me:secret@example.org/en_docs")
    with pytest.raises(UsageError, match="must be NAME@TAG or SHELF/NAME@TAG, such as en_docs@v1"):
        reference.parse("en_docs")


def test_the_shelf_is_the_one_in_the_reference_else_the_one_given_else_that_of_the_environment(
    monkeypatch,
):
    monkeypatch.setenv("PAR_SHELF", "environment")
    assert reference.parse("shelf:own/n@t", "given").shelf == "own"
    assert reference.parse("shelf:n@t", "given").shelf == "given"
    assert reference.parse("shelf:n@t").shelf == "environment"


@pytest.mark.parametrize(
    "text",
    [
        "shelf:",
        "shelf:en_docs",
        "shelf:@v1",
        "shelf:en_docs@",
        "shelf:a@b@c",
        "shelf:.hidden@v1",
        "shelf:_index@v1",
        "shelf:en docs@v1",
        "shelf:x@..",
        f"shelf:{'a' * 65}@v1",
        "shelf:ü@v1",
        "shelf:en_docs@v1/",
        "shelf:en_docs@v1\n",
    ],
)
def test_anything_else_is_refused_with_the_syntax(text):
    with pytest.raises(UsageError, match=r"must be shelf:NAME@TAG or shelf:SHELF/NAME@TAG"):
        reference.parse(text)


@pytest.mark.parametrize(
    "address", ["", "http://", "https:///x", "file://host/x", "http://h/x?y", "gs://b/x#y", "a\0b"]
)
def test_an_address_that_can_be_no_shelf_is_refused(address):
    with pytest.raises(UsageError, match=r"^--shelf must be a directory, file:///PATH"):
        Shelf(address)


def test_one_place_in_the_cache_belongs_to_a_shelf_however_its_address_is_written(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(tmp_path / "shelf")
    ways = ("shelf", "./shelf/", str(tmp_path / "shelf"), f"file://{tmp_path}/shelf", "link")
    places = {cache.place_of(Reference("n", "t", way), tmp_path) for way in ways}
    assert len(places) == 1 and places.pop().name == "n@t"
    other = cache.place_of(Reference("n", "t", "https://example.org/shelf"), tmp_path)
    assert other == cache.place_of(Reference("n", "t", "https://example.org/shelf/"), tmp_path)
    assert other.parent.name not in {path.parent.name for path in places}


def test_the_cache_is_that_of_the_environment_else_the_users_own(monkeypatch):
    monkeypatch.setenv("PAR_CACHE_DIR", "/srv/cache")
    assert cache.default_cache() == Path("/srv/cache")
    monkeypatch.delenv("PAR_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/srv/xdg")
    assert cache.default_cache() == Path("/srv/xdg/par-transformer-xl")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.default_cache() == Path.home() / ".cache" / "par-transformer-xl"


def test_a_run_that_is_a_directory_is_left_as_it_is():
    assert cache.run_path("logs/RUN") == cache.run_path(Path("logs/RUN")) == Path("logs/RUN")
