"""What an experiment is: commands of this project's own tools, the figures that are taken from
what they print, and where these, and what they print for people, are shown."""

from __future__ import annotations

import dataclasses
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

REFERENCE = re.compile(r"\{([\w-]+)\}")  # in an argument: the directory that a step writes
COLUMNS = 120  # of a command in a page
TEXT = "text"  # the key of what a step printed for people
Row = dict[str, Any]  # figures and what they are of: texts, numbers, booleans, None
Outputs = Mapping[str, dict[str, Any]]  # by step with --json, what it printed


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
    """One command: `python tools/TOOL.py ARGUMENTS`. With --json it prints one JSON object, whose
    figures are taken; without, a text for people, which a Transcript shows.

    In an argument, `{NAME}` stands for the directory of step NAME: of this one, to write there, or
    of an earlier one, whose result this one needs. In a text that was printed, too.
    """

    name: str
    tool: str
    arguments: tuple[str, ...]

    @property
    def command(self) -> str:
        """The command line, with its references."""
        return " ".join([f"python tools/{self.tool}.py", *self.arguments])

    @property
    def prints_json(self) -> bool:
        """Whether it prints a JSON object."""
        return "--json" in self.arguments

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

    def typed(self, directories: Mapping[str, str]) -> str:
        """The command as a reader types it, whose directories are these, in lines of at most
        COLUMNS."""
        first, *others = map(shlex.quote, [f"tools/{self.tool}.py", *self.resolved(directories)])
        lines = [f"python {first}"]
        for word in others:
            if len(lines[-1]) + len(word) + 3 > COLUMNS:  # a space, and what continues a line
                lines[-1] += " \\"
                lines.append(f"    {word}")
            else:
                lines[-1] += f" {word}"
        return "\n".join(lines)


def resolve(text: str, directories: Mapping[str, str]) -> str:
    """A text with directories in place of its references; others stay."""
    return REFERENCE.sub(lambda found: directories.get(found[1], found[0]), text)


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


@dataclasses.dataclass(frozen=True)
class StepPicture:
    """A picture of a page that the command of a step drew. file: in the directory of the step;
    alt: what it shows, in words; width: in pixels of the page, 0 for its own."""

    name: str
    page: str
    alt: str
    step: str
    file: str
    width: int = 0


@dataclasses.dataclass(frozen=True)
class Transcript:
    """Commands of a page as a reader types them, each with what it printed. steps: without --json;
    note: why the tests of the pages leave the commands out, such as `takes long: minutes`; empty
    where they run them."""

    name: str
    page: str
    steps: tuple[str, ...]
    note: str = ""


Part = Table | Picture | StepPicture | Transcript


def no_rows(_outputs: Outputs) -> list[Row]:
    """The rows of an experiment that only transcripts and pictures of its steps show."""
    return []


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What is run for some figures of the pages, and how they are shown.

    minutes: an estimate on two cores, which counts until the experiment was run and measured.
    directories: by step, how a transcript names the directory that its command writes.
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
    directories: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        known: set[str] = set()
        for step in self.steps:
            if step.name in known or not set(step.needs) <= known:
                raise ValueError(
                    f"experiment {self.name}: step {step.name} must be there once, and after"
                    f" {', '.join(step.needs) or 'no other'}"
                )
            known.add(step.name)
        printing = {step.name for step in self.steps if not step.prints_json}
        for part in self.parts:
            shown = part.steps if isinstance(part, Transcript) else ()
            drawn = {part.step} if isinstance(part, StepPicture) else set()
            if not set(shown) <= printing or not drawn <= known:
                raise ValueError(
                    f"experiment {self.name}: part {part.name} must show steps of it, a transcript"
                    " those without --json"
                )

    def step(self, name: str) -> Step:
        """The step of a name."""
        return next(step for step in self.steps if step.name == name)

    @property
    def transcribed(self) -> tuple[str, ...]:
        """The steps whose text transcripts show, each once."""
        shown = [part.steps for part in self.parts if isinstance(part, Transcript)]
        return tuple(dict.fromkeys(name for names in shown for name in names))

    @property
    def step_pictures(self) -> tuple[StepPicture, ...]:
        """The pictures that steps drew."""
        return tuple(part for part in self.parts if isinstance(part, StepPicture))

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
PEPS_DOCUMENTS = Corpus(
    "peps",
    (
        Placement(
            "data/raw/peps", tuple(f"{split}.jsonl.gz" for split in ("train", "valid", "test"))
        ),
    ),
    "it is those paragraphs as documents: author, group (the proposal), parent (the one before)",
)
DEBIAN_CHANGELOGS = Corpus("debian-changelogs")  # of the machine
