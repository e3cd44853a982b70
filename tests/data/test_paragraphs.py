"""The paragraphs of WikiText: which lines are documents, of which article, and behind which."""

from __future__ import annotations

import numpy as np
import pytest

from par.data import corpus, paragraphs
from par.data.corpus import Text

TRAIN = [
    " ",
    " = First article = ",
    " ",
    " One paragraph . ",
    " = = A section = = ",
    " Another one , 3 = 3 . ",
    " ",
    " = = = Below it = = = ",
    " A third . ",
    " = Second article = ",
    " Its only paragraph . ",
]
VALID = [" Before any title . ", " = Third = ", " Here . "]


def listed(train=TRAIN, valid=VALID, test=("",)):
    return paragraphs.listing(
        {
            split: Text.of("".join(f"{line}\n" for line in lines).encode())
            for split, lines in (("train", train), ("valid", valid), ("test", test))
        }
    )


def test_lines_that_are_no_titles_are_documents_of_their_article_in_a_row():
    found = listed()
    none = -1
    assert found.tables["train"].tolist() == [
        [3, 1, none, 0, none, 0],
        [5, 1, none, 0, 0, 0],
        [8, 1, none, 0, 1, 0],
        [10, 1, none, 1, none, 0],
    ]
    assert found.tables["valid"].tolist() == [
        [0, 1, none, none, none, 0],
        [2, 1, none, 2, none, 0],
    ]
    assert found.tables["test"].shape == (0, 6)
    assert (found.authors, found.groups, found.split_by) == (0, 3, corpus.OWN_SPLITS)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_blocks_that_end_inside_a_line_change_nothing(monkeypatch, size):
    whole = listed()
    monkeypatch.setattr(corpus, "BLOCK_BYTES", size)
    for split, table in listed().tables.items():
        np.testing.assert_array_equal(table, whole.tables[split])


def test_a_text_without_paragraphs_has_no_documents():
    assert listed([" = Title = "], [""], []) is None
