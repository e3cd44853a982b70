"""The named corpora: python-docs out of any standard library, WikiText out of files and archives
that are placed or downloaded."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import random
import re
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from par.core.errors import DataError, UsageError
from par.data import corpus, named_corpora
from par.data.corpus import SPLITS, Corpus
from par.data.fetching import known_file
from par.data.fetching.known_file import Known
from par.data.named_corpora import Published
from project import ROOT


def lines_of(found: Corpus) -> dict[str, list[str]]:
    return {name: list(text.pieces()) for name, text in found.texts.items()}


def all_lines(found: Corpus) -> list[str]:
    return [line for text in found.texts.values() for line in text.pieces()]


def test_an_unknown_corpus_is_refused_with_the_choices():
    choices = "python-docs, debian-changelogs, wikitext-2, wikitext-2-small, wikitext-103"
    with pytest.raises(
        UsageError,
        match=(
            f"--corpus=wikitext-9 does not exist: choose one of {choices}, or give your own text"
        ),
    ):
        named_corpora.named("wikitext-9")


# ---- python-docs ----


@pytest.fixture
def stdlib(tmp_path) -> Path:
    """A small standard library, one of whose modules would fail if it were imported."""
    (tmp_path / "pydoc_data").mkdir()
    (tmp_path / "pydoc_data" / "topics.py").write_text(
        "# made\ntopics = {'b': 'Topic b\\n', 'a': 'Topic a\\n\\n   indented\\n'}\n"
    )
    source = (
        '"""Module.\n\n    Indented.\n    """\nraise SystemExit\nclass C:\n    "Class."\n    def'
        ' f(self):\n        "Method."\n'
    )
    source += 'if 1:\n    async def g():\n        "Method."\n    def h():\n        "Nested."\n'
    (tmp_path / "one.py").write_text(source)
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "escape.py").write_text('"""An old \\d escape."""\n')
    for folder in ("test", "site-packages", "idlelib"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "two.py").write_text('"""Not to be read."""\n')
    for i in range(40):
        (tmp_path / f"m{i:02d}.py").write_text(f'"""Number {i}."""\n')
    return tmp_path


def test_python_docs_are_topics_and_docstrings_dedented_in_order_each_once(stdlib):
    everything = "\n".join(all_lines(named_corpora.python_docs(stdlib)))
    assert (
        "Module.\n\nIndented.\n\nClass.\n\nMethod.\n\nNested.\n" in everything
        and everything.count("Method.") == 1
    )
    assert "Topic a\n\n   indented\n" in everything and "old \\d escape" in everything
    assert "Not to be read" not in everything and everything.count("Number") == 40


def test_docstrings_are_documents_of_their_module_and_of_what_they_stand_in(stdlib):
    (stdlib / "package").mkdir()
    (stdlib / "package" / "inner.py").write_text(
        '"""Inner."""\ndef f():\n    def g():\n        "Deep."\nclass D:\n    "Class."\n'
        '    def h():\n        def k():\n            "Deeper."\n        "Not a docstring."\n'
    )
    found = list(named_corpora._docstrings(stdlib))
    by_text = {each.text.split("\n")[0]: each for each in found}
    above = {each.id: each.text.split("\n")[0] for each in found}

    def told(text: str) -> tuple:
        each = by_text[text]
        return each.author, each.group, each.parent and above[each.parent]

    assert told("Module.") == ("one", "one.py", None)
    assert told("Method.") == ("one", "one.py", "Class.")
    # what it stands in says what was said before, and so is not a document
    assert told("Nested.") == ("one", "one.py", "Module.")
    assert told("Inner.") == ("package", "package/inner.py", None)
    assert told("Deep.") == ("package", "package/inner.py", "Inner.")
    assert told("Deeper.") == ("package", "package/inner.py", "Inner.")
    listing = named_corpora.python_docs(stdlib).documents
    assert sum(map(len, listing.tables.values())) == len(found) == len(by_text)
    assert listing.split_by == "corpus" and listing.counts["parents_in_other_splits"] == 0


def test_a_document_stays_in_its_split_when_others_come_and_go(stdlib):
    before = lines_of(named_corpora.python_docs(stdlib))
    (stdlib / "m07.py").unlink()
    (stdlib / "new.py").write_text('"""New."""\n')
    after = lines_of(named_corpora.python_docs(stdlib))
    for name in corpus.SPLITS:
        assert set(before[name]) - {"Number 7."} == set(after[name]) - {"New."}


def test_a_python_without_sources_is_refused(tmp_path):
    with pytest.raises(DataError, match="has no sources"):
        named_corpora.python_docs(tmp_path)


@pytest.mark.slow
def test_the_python_docs_of_this_python_are_about_two_megabytes_in_90_5_5():
    imported = set(sys.modules)
    found = named_corpora.python_docs()
    sizes = {name: corpus.measure(text).bytes for name, text in found.texts.items()}
    total = sum(sizes.values())
    assert 1_500_000 < total < 4_000_000 and found.note.startswith("CPython 3.")
    assert 0.04 < sizes["valid"] / total < 0.07 and 0.04 < sizes["test"] / total < 0.07
    assert not {"tkinter", "turtle", "antigravity", "this"} & (set(sys.modules) - imported)


# ---- WikiText ----

NOWHERE = "file:///nowhere"


def sum_of(text: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, text).hexdigest()}"


@dataclasses.dataclass
class Made:
    """Texts in WikiText's form and the corpora that describe them, in whose current directory
    there is nothing."""

    texts: dict[str, bytes]  # file name -> text
    small: dict[str, bytes]  # split -> text
    mirror: Path  # an empty directory

    @property
    def url(self) -> str:
        return f"file://{self.mirror}"

    def pack(self, name: str = "wikitext-2", place: Path | None = None) -> Path:
        """The archive, in the mirror unless another place is given."""
        path = (place or self.mirror) / f"{name}-v1.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(archive_of(name, self.texts))
        return path

    def place(self, folder: Path, *names: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for name in names or self.texts:
            (folder / name).write_bytes(self.texts[name])


def archive_of(name: str, texts: dict[str, bytes]) -> bytes:
    path = Path("made.zip")
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(zipfile.ZipInfo("../evil"), b"evil")
        for file, text in texts.items():
            made.writestr(zipfile.ZipInfo(f"{name}/{file}"), text)
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.fixture
def made(tmp_path, monkeypatch) -> Made:
    (tmp_path / "mirror").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    articles = [
        f" \n = Article {i} = \n \n = = Section = = \n \n A <unk> sentence {i} . \n".encode()
        for i in range(60)
    ]
    small = dict(
        zip(SPLITS, (b"".join(articles[:48]), b"".join(articles[48:54]), b"".join(articles[54:])))
    )
    draw = random.Random(7)
    words = [
        f"{draw.choice('abcdefgh') * 3} {draw.randrange(99)} .\n".encode() for _ in range(999)
    ]
    texts = {
        "wiki.train.tokens": b"".join(words),
        "wiki.valid.tokens": b"".join(articles),
        "wiki.test.tokens": b"".join(words[:99]),
    }
    members = {split: f"wiki.{split}.tokens" for split in SPLITS}
    packed = {name: archive_of(name, texts) for name in ("wikitext-2", "wikitext-103")}
    whole = {
        name: Known(f"{name}-v1.zip", len(text), sum_of(text), (f"{NOWHERE}/{name}-v1.zip",))
        for name, text in packed.items()
    }
    alone = {
        split: Known(name, len(texts[name]), sum_of(texts[name]), (f"{NOWHERE}/{split}.txt",))
        for split, name in members.items()
    }
    bounds = {
        split: Known(name, 10**6, sum_of(texts[name], "sha1")) for split, name in members.items()
    }
    monkeypatch.setattr(
        named_corpora, "WIKITEXT_2", Published("wikitext-2", whole["wikitext-2"], alone)
    )
    monkeypatch.setattr(
        named_corpora, "WIKITEXT_103", Published("wikitext-103", whole["wikitext-103"], bounds)
    )
    monkeypatch.setattr(
        named_corpora,
        "WIKITEXT_2_SMALL",
        {split: Known(f"{split}.txt", len(text), sum_of(text)) for split, text in small.items()},
    )
    return Made(texts, small, tmp_path / "mirror")


def texts_of(found: Corpus) -> dict[str, bytes]:
    return {
        f"wiki.{split}.tokens": "".join(f"{line}\n" for line in lines).encode()
        for split, lines in lines_of(found).items()
    }


def contents(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def downloads(capsys) -> list[str]:
    """Where it was looked for, in this order."""
    return re.findall(r"^downloading (\S+)", capsys.readouterr().err, re.MULTILINE)


@pytest.mark.parametrize("name", ["wikitext-2", "wikitext-103"])
@pytest.mark.parametrize("end", ["", "/", "/{}-v1.zip", "/{}-v1%2Ezip", "/sub%20directory"])
def test_the_archive_is_downloaded_unpacked_and_kept_for_the_next_time(made, name, end):
    made.pack(name, made.mirror / "sub directory" if end.startswith("/sub") else None)
    found = named_corpora.named(name, [made.url + end.format(name)])
    assert texts_of(found) == made.texts and (found.name, found.symbols) == (name, ("<unk>",))
    assert contents(Path()) == {
        f"data/raw/{name}-v1.zip",
        *(f"data/raw/{name}/{file}" for file in made.texts),
    }
    assert texts_of(named_corpora.named(name)) == made.texts
    Path(f"data/raw/{name}/wiki.train.tokens").unlink()
    assert texts_of(named_corpora.named(name)) == made.texts


def test_without_the_archive_the_files_are_downloaded_one_by_one_and_only_those_that_are_needed(
    made,
):
    made.place(made.mirror)
    named_corpora.named("wikitext-2-small", [made.url])
    assert contents(Path()) == {"data/raw/wikitext-2/wiki.valid.tokens"}
    for file in made.mirror.glob("*.valid.*"):
        file.unlink()
    assert texts_of(named_corpora.named("wikitext-2", [made.url])) == made.texts
    assert contents(Path()) == {f"data/raw/wikitext-2/{file}" for file in made.texts}


def test_the_files_may_be_named_one_by_one_too(made):
    made.place(made.mirror)
    assert (
        texts_of(named_corpora.named("wikitext-2", [f"{made.url}/{file}" for file in made.texts]))
        == made.texts
    )


def test_mirrors_come_first_then_the_known_places_the_archive_before_its_files(made, capsys):
    with pytest.raises(
        DataError,
        match=(
            r"^data/raw/wikitext-2-v1\.zip can't be downloaded, for the reasons above: place it"
            r" there by hand"
        ),
    ):
        named_corpora.named(
            "wikitext-2", ["file:///m1/", "file:///m2/wikitext-2-v1.zip", "file:///m3?key=1"]
        )
    files = ["wiki.train.tokens"]  # if there is no first, a second is not asked for
    own = [
        "file:///m1/wikitext-2-v1.zip",
        "file:///m2/wikitext-2-v1.zip",
        "file:///m3/wikitext-2-v1.zip?key=1",
    ]
    own += [url for file in files for url in (f"file:///m1/{file}", f"file:///m3/{file}?key=1")]
    assert downloads(capsys) == [*own, f"{NOWHERE}/wikitext-2-v1.zip", f"{NOWHERE}/train.txt"]
    assert contents(Path()) == set()


def test_files_of_which_only_a_bound_is_known_come_out_of_the_archive_alone(made, capsys):
    made.place(made.mirror)
    with pytest.raises(DataError, match=r"^data/raw/wikitext-103-v1\.zip can't be downloaded"):
        named_corpora.named("wikitext-103", [made.url])
    assert downloads(capsys) == [
        f"{made.url}/wikitext-103-v1.zip",
        f"{NOWHERE}/wikitext-103-v1.zip",
    ]


@pytest.mark.parametrize("place", ["data/raw", "data", "data/raw/wikitext-2"])
def test_an_archive_placed_by_hand_is_used_and_stays(made, capsys, place):
    packed = made.pack(place=Path(place))
    before = packed.stat()
    assert texts_of(named_corpora.named("wikitext-2")) == made.texts and downloads(capsys) == []
    assert (packed.stat().st_ino, packed.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert contents(Path()) == {
        str(packed),
        *(f"data/raw/wikitext-2/{file}" for file in made.texts),
    }


@pytest.mark.parametrize(
    "places",
    [["data/raw"], ["data"], ["data/raw/wikitext-2"], ["data", "data/raw", "data/raw/wikitext-2"]],
)
def test_files_placed_by_hand_are_used_where_they_are(made, capsys, places):
    for i, name in enumerate(made.texts):
        made.place(Path(places[i % len(places)]), name)
    before = contents(Path())
    assert texts_of(named_corpora.named("wikitext-2")) == made.texts
    named_corpora.named("wikitext-2-small")
    assert downloads(capsys) == [] and contents(Path()) == before


def test_what_is_missing_beside_a_placed_file_comes_out_of_the_archive(made):
    made.pack()
    made.place(Path("data"), "wiki.test.tokens")
    assert texts_of(named_corpora.named("wikitext-2", [made.url])) == made.texts
    assert contents(Path("data/raw/wikitext-2")) == {"wiki.train.tokens", "wiki.valid.tokens"}


def misfit(known: Known, text: bytes) -> str:
    """How another file is told: its digest and the known one."""
    algorithm, value = known.digest.split(":")
    return (
        f"its {known_file.ALGORITHMS[algorithm]} is"
        f" {hashlib.new(algorithm, text).hexdigest()}, not"
        f" {value}"
    )


def known_files(corpus_name: str) -> dict[str, Known]:
    """The files that a corpus may be made of."""
    published = (
        named_corpora.WIKITEXT_103 if corpus_name == "wikitext-103" else named_corpora.WIKITEXT_2
    )
    return {known.name: known for known in (published.archive, *published.members.values())}


# what lies where another corpus's file of this name may lie, or where nothing is put
PASSED_OVER = [
    *[
        (name, "wiki.valid.tokens", place)
        for name in ("wikitext-2", "wikitext-2-small", "wikitext-103")
        for place in ("data/raw", "data")
    ],
    *[
        (name, f"{name}-v1.zip", place)
        for name in ("wikitext-2", "wikitext-103")
        for place in ("data", f"data/raw/{name}")
    ],
]


@pytest.mark.parametrize("corpus_name, name, place", PASSED_OVER)
def test_another_file_of_the_same_name_is_passed_over_told_and_left(
    made, capsys, corpus_name, name, place
):
    made.pack(corpus_name.removesuffix("-small"))
    path = Path(place) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"another")
    reason = misfit(known_files(corpus_name)[name], b"another")
    found = named_corpora.named(corpus_name, [made.url])
    assert "".join(f"{line}\n" for line in all_lines(found)).encode() in (
        b"".join(made.texts.values()),
        b"".join(made.small.values()),
    )
    assert (
        capsys.readouterr().err.splitlines()[0] == f"{path} is passed over: {reason}"
        and path.read_bytes() == b"another"
    )


@pytest.mark.parametrize("corpus_name, name, place", PASSED_OVER)
def test_if_nothing_else_can_be_had_one_line_names_what_was_passed_over_with_both_digests(
    made, corpus_name, name, place
):
    path = Path(place) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"another")
    with pytest.raises(DataError) as refusal:
        named_corpora.named(corpus_name)
    base = corpus_name.removesuffix("-small")
    assert str(refusal.value).startswith(
        f"data/raw/{base}-v1.zip can't be downloaded, for the reasons above: place it there by"
        " hand"
    )
    assert str(refusal.value).endswith(
        f"; passed over: {path} ({misfit(known_files(corpus_name)[name], b'another')})"
    )
    assert contents(Path()) == {str(path)}


def test_the_first_file_that_fits_is_taken_whatever_lies_before_it(made, capsys):
    made.place(Path("data"))
    for folder in ("data/raw", "data/raw/wikitext-2"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name in made.texts:
            (Path(folder) / name).write_bytes(f"another in {folder}".encode())
    before = contents(Path())
    assert texts_of(named_corpora.named("wikitext-2")) == made.texts
    assert downloads(capsys) == [] and contents(Path()) == before


def test_both_corpora_are_built_where_the_files_of_one_lie_in_a_shared_place(made):
    other = {name: text[::-1] for name, text in made.texts.items()}
    for name, text in other.items():
        Path("data").mkdir(exist_ok=True)
        (Path("data") / name).write_bytes(text)
    for name in ("wikitext-2", "wikitext-103"):
        made.pack(name)
        assert texts_of(named_corpora.named(name, [made.url])) == made.texts
    assert {name: (Path("data") / name).read_bytes() for name in other} == other


def test_several_that_are_passed_over_are_all_named_in_one_line(made):
    Path("data/raw").mkdir(parents=True)
    names = [
        "data/raw/wiki.train.tokens",
        "data/wiki.train.tokens",
        "data/wiki.test.tokens",
        "data/wikitext-2-v1.zip",
    ]
    for name in names:
        Path(name).write_bytes(name.encode())
    with pytest.raises(DataError) as refusal:
        named_corpora.named("wikitext-2")
    known = known_files("wikitext-2")
    told = [f"{name} ({misfit(known[Path(name).name], name.encode())})" for name in names]
    assert str(refusal.value).endswith(f"; passed over: {', '.join(told)}") and "\n" not in str(
        refusal.value
    )


@pytest.mark.parametrize("corpus_name", ["wikitext-2", "wikitext-2-small", "wikitext-103"])
def test_another_file_where_a_text_would_be_put_is_refused_before_a_download_and_left(
    made, capsys, corpus_name
):
    base = corpus_name.removesuffix("-small")
    made.pack(base)
    path = Path(f"data/raw/{base}/wiki.valid.tokens")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"another")
    told = (
        f"{path} is another file than expected:"
        f" {misfit(known_files(corpus_name)[path.name], b'another')}; move it away, or see"
        " data/README.md"
    )
    with pytest.raises(DataError, match=f"^{re.escape(told)} for what belongs there$"):
        named_corpora.named(corpus_name, [made.url])
    Path("data/wiki.valid.tokens").write_bytes(b"a third")
    with pytest.raises(
        DataError,
        match=(
            rf"^{re.escape(told)} .*; passed over: data/wiki\.valid\.tokens \(its SHA-\d+ is \w+,"
            r" not \w+\)$"
        ),
    ):
        named_corpora.named(corpus_name, [made.url])
    assert path.read_bytes() == b"another" and downloads(capsys) == []


def test_another_archive_where_it_would_be_put_is_refused_unless_the_files_can_be_had_alone(made):
    Path("data/raw").mkdir(parents=True)
    for name in ("wikitext-2", "wikitext-103"):
        Path(f"data/raw/{name}-v1.zip").write_bytes(b"another")
        made.pack(name)
        reason = misfit(known_files(name)[f"{name}-v1.zip"], b"another")
        told = (
            f"data/raw/{name}-v1.zip is another file than expected: {reason}; move it away, or see"
            " data/README.md for what belongs there"
        )
        with pytest.raises(DataError, match=f"^{re.escape(told)}$"):
            named_corpora.named(name, [made.url])
    made.place(made.mirror)
    assert texts_of(named_corpora.named("wikitext-2", [made.url])) == made.texts
    assert Path("data/raw/wikitext-2-v1.zip").read_bytes() == b"another"


@pytest.mark.skipif(
    not os.path.exists("/proc/self/mem"), reason="the system has no /proc/self/mem"
)
def test_a_file_that_cannot_be_read_is_passed_over_and_named(made, tmp_path):
    Path("data").mkdir()
    # a regular file whose first byte nobody can read
    os.symlink("/proc/self/mem", "data/wiki.valid.tokens")
    with pytest.raises(
        DataError,
        match=(
            r"; passed over: data/wiki\.valid\.tokens \(it can't be read \(Input/output error\)\)$"
        ),
    ):
        named_corpora.named("wikitext-2-small")
    made.pack()
    assert named_corpora.named("wikitext-2-small", [made.url]).name == "wikitext-2-small"


def test_wikitext_2_small_is_the_same_from_the_whole_file_and_from_three(made):
    made.pack()
    one = named_corpora.named("wikitext-2-small", [made.url])
    assert contents(Path()) == {
        "data/raw/wikitext-2-v1.zip",
        "data/raw/wikitext-2/wiki.valid.tokens",
    }
    for name, text in made.small.items():
        assert corpus.measure(one.texts[name]).sha256 == hashlib.sha256(text).hexdigest()
        Path(f"data/raw/wikitext-2-small/{name}.txt").parent.mkdir(exist_ok=True)
        Path(f"data/raw/wikitext-2-small/{name}.txt").write_bytes(text)
    lines = lines_of(one)
    Path("data/raw/wikitext-2/wiki.valid.tokens").unlink()
    Path("data/raw/wikitext-2-v1.zip").unlink()
    three = named_corpora.named("wikitext-2-small")
    assert (
        lines == lines_of(three)
        and one.symbols == three.symbols == ("<unk>",)
        and one.note == three.note
    )
    Path("data/raw/wikitext-2-small/test.txt").write_bytes(b"another")
    told = misfit(named_corpora.WIKITEXT_2_SMALL["test"], b"another")
    with pytest.raises(
        DataError, match=rf"; passed over: data/raw/wikitext-2-small/test\.txt \({told}\)$"
    ):
        named_corpora.named("wikitext-2-small")
    assert lines_of(named_corpora.named("wikitext-2-small", [made.url])) == lines


def test_a_part_of_the_three_files_is_not_enough_and_the_whole_file_is_taken(made):
    made.place(Path("data"), "wiki.valid.tokens")
    Path("data/raw/wikitext-2-small").mkdir(parents=True)
    Path("data/raw/wikitext-2-small/train.txt").write_bytes(made.small["train"])
    found = named_corpora.named("wikitext-2-small")
    assert {name: corpus.measure(text).bytes for name, text in found.texts.items()} == {
        name: len(text) for name, text in made.small.items()
    }


def test_a_mirror_that_is_no_address_is_refused_before_anything_is_looked_for(made, capsys):
    with pytest.raises(
        UsageError,
        match=(
            r"^--mirror must be http://HOST/\.\.\., https://HOST/\.\.\. or file:///PATH, but is"
            r" '/mnt/x'$"
        ),
    ):
        named_corpora.named("wikitext-2", ["/mnt/x"])
    assert downloads(capsys) == []


# Runs build_data with descriptions of other texts: sys.argv[1] is their JSON, the rest are flags.
PROGRAM = """
import json, sys
from par.data import named_corpora
from par.data.named_corpora import Published
from par.data.fetching.known_file import Known
from par.tools import build_data
value = json.loads(sys.argv[1])
members = {split: Known(**known) for split, known in value["members"].items()}
named_corpora.WIKITEXT_2 = Published(value["name"], Known(**value["archive"]), members)
sys.exit(build_data.main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_the_command_refuses_without_a_text_and_with_a_mirror_builds_all_three_splits(
    made, run_python
):
    made.pack()
    value = json.dumps(dataclasses.asdict(named_corpora.WIKITEXT_2))
    flags = [
        "--corpus=wikitext-2",
        "--model_type=char",
        "--vocab_size=300",
        "--batch_size=3",
        "--seq_len=7",
        "--json",
    ]
    code, out, err = run_python(PROGRAM, value, *flags)
    assert (code, out) == (3, "") and err.splitlines()[-1].startswith(
        "error: data/raw/wikitext-2-v1.zip can't be downloaded"
    )
    assert not os.path.exists("data/wikitext-2")
    code, out, err = run_python(
        PROGRAM, value, *flags, "--mirror=file:///nothing/here", f"--mirror={made.url}"
    )
    assert (
        code == 0 and err.splitlines()[1] == "file:///nothing/here/wikitext-2-v1.zip: no such file"
    )
    splits = {name: split["lines"] for name, split in json.loads(out)["splits"].items()}
    assert splits == {name: made.texts[f"wiki.{name}.tokens"].count(b"\n") for name in SPLITS}
    assert {f"data/wikitext-2/{name}" for name in ("manifest.json", "tokenizer.model")} < contents(
        Path()
    )


def test_the_command_waits_for_a_silent_mirror_as_long_as_it_is_told(made, run_python):
    value = json.dumps(dataclasses.asdict(named_corpora.WIKITEXT_2))
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and never answers
        mirror = f"http://127.0.0.1:{silent.getsockname()[1]}"
        code, _, err = run_python(
            PROGRAM, value, "--corpus=wikitext-2", f"--mirror={mirror}", "--timeout=1"
        )
    assert (
        code == 3 and f"{mirror}/wikitext-2-v1.zip: does not answer within 1 s" in err.splitlines()
    )


@pytest.fixture
def run_python() -> Callable[..., tuple[int, str, str]]:
    def run(program: str, *arguments: str) -> tuple[int, str, str]:
        command = [sys.executable, "-c", program, *arguments]
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
        )
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    return run


# ---- the real descriptions ----


@pytest.mark.parametrize(
    "published",
    [named_corpora.WIKITEXT_2, named_corpora.WIKITEXT_103],
    ids=lambda published: published.name,
)
def test_every_file_is_described_so_that_it_can_be_checked_and_placed(published):
    assert (
        tuple(published.members) == SPLITS and published.archive.name == f"{published.name}-v1.zip"
    )
    assert published.archive.digest.startswith("sha256:") and len(published.archive.urls) >= 2
    for known in (published.archive, *published.members.values()):
        algorithm, value = known.digest.split(":")
        assert (
            re.fullmatch("[0-9a-f]+", value)
            and len(value) == 2 * hashlib.new(algorithm).digest_size
        )
        assert all(url.startswith("https://") for url in known.urls) and (
            algorithm == "sha256" or not known.urls
        )
    page = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    for known in (
        published.archive,
        *published.members.values(),
        *named_corpora.WIKITEXT_2_SMALL.values(),
    ):
        assert known.name in page and known.digest.split(":")[1] in page
        assert all(url.rsplit("/", 1)[0] in page for url in known.urls)


def test_the_help_names_every_digest_that_a_file_is_checked_by():
    published = (named_corpora.WIKITEXT_2, named_corpora.WIKITEXT_103)
    files = [known for one in published for known in (one.archive, *one.members.values())] + [
        *named_corpora.WIKITEXT_2_SMALL.values()
    ]
    checked = {known_file.ALGORITHMS[known.digest.split(":")[0]] for known in files}
    for command in (["bash", "create_tfrecords.sh"], [sys.executable, "tools/build_data.py"]):
        text = subprocess.run(
            [*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        assert set(re.findall(r"SHA-\d+", text)) == checked == {"SHA-256", "SHA-1"}


def test_the_three_small_files_have_together_the_size_of_the_one():
    assert (
        sum(known.size for known in named_corpora.WIKITEXT_2_SMALL.values())
        == named_corpora.WIKITEXT_2.members["valid"].size
    )
