"""What an experiment is: commands of this project's own tools, the figures that are taken from
what they print, and where these are shown."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

REFERENCE = re.compile(r"\{([\w-]+)\}")  # in an argument: the directory that a step writes
Row = dict[str, Any]  # figures and what they are of: texts, numbers, booleans, None
Outputs = Mapping[str, dict[str, Any]]  # by step, the JSON object that it printed


@dataclasses.dataclass(frozen=True)
class Placement:
    """Files of a corpus and the directory, relative to that of the commands, in which the tools
    look for them."""

    directory: str
    files: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Corpus:
    """A text that experiments need. placements: each is enough by itself; none where the text is
    part of Python. hint: how to get it, as a message ends with it."""

    name: str
    placements: tuple[Placement, ...] = ()
    hint: str = ""


@dataclasses.dataclass(frozen=True)
class Step:
    """One command: `python tools/TOOL.py ARGUMENTS`, which prints one JSON object.

    In an argument, `{NAME}` stands for the directory of step NAME: of this one, to write there, or
    of an earlier one, whose result this one needs.
    """

    name: str
    tool: str
    arguments: tuple[str, ...]

    @property
    def command(self) -> str:
        """The command line, with its references."""
        return " ".join([f"python tools/{self.tool}.py", *self.arguments])

    @property
    def needs(self) -> tuple[str, ...]:
        """The earlier steps that the command refers to, each once, in the order of the command."""
        found = dict.fromkeys(REFERENCE.findall(" ".join(self.arguments)))
        return tuple(name for name in found if name != self.name)

    def resolved(self, directories: Mapping[str, str]) -> list[str]:
        """The arguments with the directory of each step in place of its reference."""
        return [
            REFERENCE.sub(lambda found: directories[found[1]], argument)
            for argument in self.arguments
        ]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a page. cells: from the rows, the heading and the lines, each as its cells."""

    name: str
    page: str
    cells: Callable[[Sequence[Row]], list[list[str]]]


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture of a page. draw: writes it, a PNG, from the rows; alt: what it shows, in words."""

    name: str
    page: str
    alt: str
    draw: Callable[[Sequence[Row], Path], None]


Part = Table | Picture


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What is run for some figures of the pages, and how they are shown.

    minutes: an estimate on two cores, which counts until the experiment was run and measured.
    seeds: those of the trainings; () where nothing is random. rows: the figures, from what the
    steps printed.
    """

    name: str
    what: str
    minutes: float
    corpus: Corpus
    steps: tuple[Step, ...]
    rows: Callable[[Outputs], list[Row]]
    parts: tuple[Part, ...]
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        known: set[str] = set()
        for step in self.steps:
            if step.name in known or not set(step.needs) <= known:
                raise ValueError(
                    f"experiment {self.name}: step {step.name} must be there once, and after"
                    f" {', '.join(step.needs) or 'no other'}"
                )
            known.add(step.name)

    @property
    def pages(self) -> tuple[str, ...]:
        """The pages that show it, each once."""
        return tuple(dict.fromkeys(part.page for part in self.parts))


PYTHON_DOCS = Corpus("python-docs")
WIKITEXT_2_SMALL = Corpus(
    "wikitext-2-small",
    (
        Placement("data/raw/wikitext-2-small", ("train.txt", "valid.txt", "test.txt")),
        Placement("data/raw/wikitext-2", ("wiki.valid.tokens",)),
    ),
    "./create_tfrecords.sh --corpus=wikitext-2-small downloads it",
)
PEPS = Corpus(
    "peps",
    (Placement("data/raw/peps", ("train.txt", "valid.txt", "test.txt")),),
    "it is the paragraphs of 735 Python Enhancement Proposals, divided by proposal: make three"
    " texts of your own from github.com/python/peps",
)
