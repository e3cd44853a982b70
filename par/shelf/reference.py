"""A reference to a tag on a shelf, as one types it in the place of a run:

shelf:en_docs@v1                              on the shelf that PAR_SHELF names, else ./shelf
shelf:https://example.org/shelf/en_docs@v1    on any other one
"""

from __future__ import annotations

import dataclasses
import os
import re

from par.core.errors import UsageError
from par.core.text import without_users

PREFIX = "shelf:"
DEFAULT_SHELF = "shelf"
# both become names of files; an index begins with _, so that no name is one
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclasses.dataclass(frozen=True)
class Reference:
    """A tag of a name; shelf: the address of the shelf."""

    name: str
    tag: str
    shelf: str

    def __post_init__(self) -> None:
        for what, text in (("name", self.name), ("tag", self.tag)):
            check_part(what, text)

    def __str__(self) -> str:
        return f"{self.name}@{self.tag}"

    @property
    def text(self) -> str:
        """As it is typed here: without the shelf where that is the default one."""
        where = "" if self.shelf == default_shelf() else f"{self.shelf}/"
        return f"{PREFIX}{where}{self}"


def check_part(what: str, text: str) -> None:
    """Checks a name or a tag. Raises: UsageError."""
    if not NAME.fullmatch(text):
        raise UsageError(
            f"--{what} must be 1 to 64 letters, digits, '.', '_' and '-', the first a letter or a"
            f" digit, but is {text[:80]!r}"
        )


def default_shelf() -> str:
    """The address of the shelf where none is given."""
    return os.environ.get("PAR_SHELF") or DEFAULT_SHELF


def is_reference(text: object) -> bool:
    """Whether a run is named by a reference, not by its directory."""
    return isinstance(text, str) and text.startswith(PREFIX)


def parse(text: str, shelf: str | None = None) -> Reference:
    """The reference of a text, with or without `shelf:`. shelf: the address that it stands for
    where it names none; None: `default_shelf`.

    Raises: UsageError if it is not one.
    """
    address, _, last = text.removeprefix(PREFIX).rpartition("/")
    address = os.path.expanduser(address)
    name, separator, tag = last.partition("@")
    if not separator or not NAME.fullmatch(name) or not NAME.fullmatch(tag):
        prefix = PREFIX if is_reference(text) else ""
        raise UsageError(
            f"a reference must be {prefix}NAME@TAG or {prefix}SHELF/NAME@TAG, such as"
            f" {prefix}en_docs@v1, but is {without_users(text)[:200]!r}"
        )
    return Reference(name, tag, address or shelf or default_shelf())
