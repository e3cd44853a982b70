"""docs/reliability.md names each fault, in order, with what is seen of it and with tests that are
there."""

from __future__ import annotations

import ast
import re

import pytest

from project import ROOT

PAGE = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.splitlines()
    if re.match(r"\| \d+ \|", line)
]
LAST = 25


def test_every_fault_has_a_row_in_order_with_what_is_seen():
    assert [int(row[0]) for row in ROWS] == list(range(1, LAST + 1))
    assert all(len(row) == 4 and all(row) for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_every_test_that_a_row_names_is_there(row):
    named = re.findall(r"`([\w/]*test_\w+\.py)::(test_\w+)`", row[3])
    assert named and len(named) == row[3].count("`") // 2
    for file, name in named:
        tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, (
            f"{file} has no {name}"
        )
