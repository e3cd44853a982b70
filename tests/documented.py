"""docs/artefacts.md, read back: the fields, files and tags that it tells, held to real ones.

documented.check("config.json", json.loads(path.read_text()))       a file, or what --json printed:
every field, and its type
documented.check_files("Run", run_dir)                              the files of a directory
documented.check_tags("tensorboard/train", tags)                    TensorBoard's tags
"""

from __future__ import annotations

import dataclasses
import fnmatch
import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent.parent / "docs" / "artefacts.md"
NUMBER = (int, float)
KINDS = {
    "text": lambda value: isinstance(value, str),
    "integer": lambda value: type(value) is int,
    "number": lambda value: type(value) in NUMBER,
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "object": lambda value: isinstance(value, dict),
    "texts": lambda value: _all(value, "text"),
    "integers": lambda value: _all(value, "integer"),
    "numbers": lambda value: _all(value, "number"),
    "rows of numbers": lambda value: _all(value, "numbers"),
    "any": lambda value: True,
}


@dataclasses.dataclass
class Field:
    """What is told of a field, and of those below it; `*` is any key, `[]` an item of a list."""

    kinds: tuple[str, ...] = ()
    optional: bool = False
    below: dict[str, Field] = dataclasses.field(default_factory=dict)


def check(name: str, value: Any, required: str = "always", absent: Iterable[str] = ()) -> None:
    """Fails unless a value has the fields that the table under a heading tells, and no other, each
    of its type.

    required: which fields must be there: `always`, those that always are; `all`, those that only
    sometimes are, too, but for the `absent`, which must not; `none`.
    """
    odd = list(_odd(_fields(name), value, "", required, frozenset(absent)))
    assert not odd, f"docs/artefacts.md, {name}: {'; '.join(odd)}"


def check_files(name: str, directory: Path) -> None:
    """Fails unless a directory has the files that the table under a heading tells, and no
    other."""
    found = [
        path.relative_to(directory).as_posix()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    ]
    _check_names(name, found, lambda pattern: pattern)


def check_tags(name: str, tags: Iterable[str], required: str = "always") -> None:
    """Fails unless TensorBoard has the tags that the table under a heading tells, and no other.
    required: as in `check`."""
    _check_names(name, sorted(tags), lambda pattern: pattern.replace("NN", "[0-9][0-9]"), required)


def examples() -> dict[str, Any]:
    """The examples of the page by heading; of history.jsonl a line is one."""
    found = {}
    for name, text in _parts().items():
        if block := re.search(r"^```json\n(.*?)^```$", text, re.M | re.S):
            found[name] = json.loads(block[1])
    return found


def headings() -> list[str]:
    """What has a table of fields, files or tags."""
    return [name for name in _parts() if _rows(name)]


def shared() -> set[str]:
    """The headings whose fields are those of a field of another table, or are all in another
    table."""
    fields = [row for heading in headings() for row in _rows(heading) if len(row) == 4]
    return {
        name
        for path, kinds, *_ in fields
        for name in re.findall(r"\[([^\]]+)\]\(#", f"{path} {kinds}")
    }


def _check_names(
    name: str, found: list[str], as_pattern: Callable[[str], str], required: str = "always"
) -> None:
    told = {as_pattern(row[0].strip("`")): row[-1].startswith("only ") for row in _rows(name)}
    unknown = [
        each for each in found if not any(fnmatch.fnmatchcase(each, pattern) for pattern in told)
    ]
    missing = [
        pattern
        for pattern, optional in told.items()
        if _is_missed(optional, required) and not fnmatch.filter(found, pattern)
    ]
    assert not unknown and not missing, (
        f"docs/artefacts.md, {name}: not told: {unknown}; told, but not there: {missing}"
    )


@functools.cache
def _parts() -> dict[str, str]:
    """The page by its headings."""
    pieces = re.split(r"^##+ (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def _rows(name: str) -> list[list[str]]:
    """The cells of the first table under a heading, [] if there is none."""
    table = re.search(r"^\| (?:field|file|tag) \|.*\n\|---.*\n((?:\|.*\n)*)", _parts()[name], re.M)
    return (
        [[cell.strip() for cell in line.strip("|").split("|")] for line in table[1].splitlines()]
        if table
        else []
    )


@functools.cache
def _fields(name: str) -> Field:
    """The table under a heading, as one object."""
    root = Field()
    for path, kinds, _unit, meaning in _rows(name):
        if whole := re.match(r"all of \[([^\]]+)\]", path):
            root.below |= _fields(whole[1]).below
            continue
        at = root
        for step in re.findall(r"\[\]|[^.\[\]]+", path.strip("`")):
            before, at = at, at.below.setdefault(step, Field(optional=True))
            before.optional = before.optional and meaning.startswith("only ")
        at.kinds, at.optional = tuple(kinds.split(" or ")), meaning.startswith("only ")
    root.optional = False
    return root


def _is_missed(optional: bool, required: str) -> bool:
    """Whether what is not there should be."""
    return required == "all" or (required == "always" and not optional)


def _odd(
    told: Field, value: Any, where: str, required: str, absent: frozenset[str] = frozenset()
) -> Iterator[str]:
    """What is not as it is told."""
    if isinstance(value, dict) and told.below:
        named = {name: below for name, below in told.below.items() if name not in ("*", "[]")}
        for name in sorted(set(named) - set(value)):
            if name not in absent and _is_missed(named[name].optional, required):
                yield f"{where}{name} is told, but not there"
        for name, item in value.items():
            below = named.get(name) or told.below.get("*")
            if name in absent:
                yield f"{where}{name} is there"
            elif below is None:
                yield f"{where}{name} is there, but not told"
            else:
                yield from _odd(below, item, f"{where}{name}.", required, absent)
    elif isinstance(value, list) and "[]" in told.below:
        if not value and _is_missed(told.below["[]"].optional, required):
            yield f"{where} is empty, so nothing is held to the page"
        for item in value:
            yield from _odd(told.below["[]"], item, f"{where}[].", required, absent)
    else:
        references = [re.match(r"\[([^\]]+)\]", kind) for kind in told.kinds]
        objects = [found[1] for found in references if found]
        if isinstance(value, dict) and objects:
            yield from _odd(_fields(objects[0]), value, where, required, absent)
        elif not any(KINDS[kind](value) for kind in told.kinds if kind in KINDS):
            yield (
                f"{where.rstrip('.')} is told as {' or '.join(told.kinds) or 'an object'}, but is"
                f" {str(value)[:40]!r}"
            )


def _all(value: Any, kind: str) -> bool:
    return isinstance(value, list) and all(KINDS[kind](item) for item in value)
