"""Changelogs of Debian packages as documents, out of any root directory."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from par.core.errors import DataError
from par.data import debian_changelogs
from par.data.debian_changelogs import PATTERN
from par.data.documents import NONE, PARENT

BASH = """bash (5.2-2) unstable; urgency=medium

  [ Someone Else ]
  * Fix a crash:
    - in the parser.

 -- Ann  Other <ann@example.org>  Sun, 15 Jan 2023 16:09:51 +0000

bash (5.2-1) unstable; urgency=medium

  * New version.

 -- B\xd6B <bob@example.org>  Sat, 14 Jan 2023 16:09:51 +0000

bash (5.2-1) unstable; urgency=low

  * The same version again.

 -- Ann Other <other@address>  Fri, 13 Jan 2023 16:09:51 +0000

bash (5.1-1) unstable; urgency=low

  * An entry that ends nowhere.
"""


def place(root: Path, package: str, text: str) -> None:
    path = root / PATTERN.replace("*", package)
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(text.encode()))


def test_an_entry_is_a_document_of_its_maintainer_package_and_version(tmp_path):
    place(tmp_path, "bash", BASH)
    place(tmp_path, "bash-doc", "bash (5.2-3) x; y\n\n  * New.\n\n -- C <c>  1\n\n" + BASH)
    paths = sorted(tmp_path.glob(PATTERN))
    found = list(debian_changelogs._documents(paths))
    assert [(each.id, each.author, each.group, each.parent, each.line) for each in found] == [
        ("bash 5.2-2", "ann other", "bash", "bash 5.2-1", 1),
        ("bash 5.2-1", "b\xf6b", "bash", None, 9),
        ("bash 5.2-3", "c", "bash", "bash 5.2-2", 1),
    ]
    assert found[0].text.strip() == "* Fix a crash:\n  - in the parser."


def many(root: Path) -> None:
    for p in range(60):
        entries = [
            f"p{p} ({v}) unstable; urgency=low\n\n  * Change {v} of {p}.\n\n"
            f" -- Name {(p + v) % 29} <x@y>  Sat, 14 Jan 2023\n\n"
            for v in range(5, 0, -1)
        ]
        place(root, f"p{p}", "".join(entries))


def test_the_corpus_keeps_chains_of_versions_in_one_split_and_names_the_system(tmp_path):
    many(tmp_path)
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "os-release").write_text('NAME=x\nPRETTY_NAME="Debian 99 (x)"\n')
    corpus = debian_changelogs.debian_changelogs("group", (0.4, 0.3, 0.3), root=tmp_path)
    assert corpus.note == "60 changelogs of Debian 99 (x)"
    assert (corpus.documents.authors, corpus.documents.groups) == (29, 60)
    assert corpus.documents.counts["parents_in_other_splits"] == 0
    for table in corpus.documents.tables.values():
        assert (table[:, PARENT] == NONE).sum() * 5 == len(table) > 0
    by_author = debian_changelogs.debian_changelogs("author", (0.4, 0.3, 0.3), root=tmp_path)
    assert by_author.documents.counts["parents_in_other_splits"] > 0


def test_a_changelog_that_can_not_be_read_is_left_out_and_said(tmp_path, capsys):
    many(tmp_path)
    broken = tmp_path / PATTERN.replace("*", "p7")
    broken.write_bytes(broken.read_bytes()[:-9])
    corpus = debian_changelogs.debian_changelogs("group", (0.4, 0.3, 0.3), root=tmp_path)
    assert corpus.documents.groups == 59
    assert f"{broken} is left out: it can't be read" in capsys.readouterr().err


def test_a_machine_without_changelogs_is_refused_in_one_line(tmp_path):
    with pytest.raises(DataError, match=r"this machine has no .*changelog.Debian.gz, as only"):
        debian_changelogs.debian_changelogs("group", (0.9, 0.05, 0.05), root=tmp_path)
