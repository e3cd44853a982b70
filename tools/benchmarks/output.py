"""How every subject prints its figures: as one JSON line, or as tables for people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from par.core import schema, text
from par.tools.cli.flags import Flags


def show(
    values: Flags, figures: Mapping[str, Any], make_lines: Callable[[], Iterable[str]]
) -> int:
    """Prints the figures as JSON with --json, else the lines for people. Returns exit code 0."""
    if values.json:
        print(schema.canonical_json(figures))
    else:
        print("\n".join(make_lines()))
    return 0


def table(
    columns: Sequence[tuple[str, str]], rows: Iterable[Mapping[str, Any]], left: int = 1
) -> list[str]:
    """The lines of a table: a title line, then a line for each row; the first `left` columns are
    aligned to the left.

    columns: a title and a format string for each, as ("MFU", "{mfu:.2f}"), filled in from a row.
    """
    titles = [title for title, _ in columns]
    cells = [[pattern.format_map(row) for _, pattern in columns] for row in rows]
    return text.table([titles, *cells], left)
