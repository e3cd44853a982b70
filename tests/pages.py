"""What the project's Markdown pages tell a reader to type, to run in Python, to follow, and to
look at.

A command stands in a fenced block: in `sh` and `bash` each line is one, in `console` what follows
`$ `. A line that ends with a backslash goes on; a
loop goes on to its `done`, a here-document to its end; a block that begins with `#!` is one
script. What the tests shall not run says why, in a
comment at its end or, for all of a block, in its first line: `# takes long: 9 minutes`, `# needs
two hosts`.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from project import ROOT

# each goes on with the runs of those before
FIRST = (
    "README.md",
    "docs/guide.md",
    "docs/latency.md",
    "docs/comparison.md",
    "docs/evaluation.md",
)
PAGES = [
    *FIRST,
    *sorted(
        {
            str(path.relative_to(ROOT))
            for where in (".", "docs", "data")
            for path in (ROOT / where).glob("*.md")
        }
        - set(FIRST)
    ),
]
SHELL = ("sh", "bash", "console")
MARK = re.compile(r"#.*?((?:takes long|needs) .*|takes long: .*)")
SEPARATORS = {";", "&&", "||", "|", "&"}


class Block(NamedTuple):
    """A fenced block: the page, the number of its first line, its language, and its lines."""

    page: str
    line: int
    language: str
    lines: list[str]


class Command(NamedTuple):
    """What is typed, without its comment. mark: why the tests leave it out; empty where they run
    it."""

    page: str
    line: int
    text: str
    mark: str

    @property
    def is_script(self) -> bool:
        """Whether it is a whole script, to be saved as a file."""
        return self.text.startswith("#!")


def text(page: str) -> str:
    """The page as it is written."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> Iterator[Block]:
    """The fenced blocks of a page; one inside a list is taken without its indentation."""
    opened, lines = None, text(page).splitlines()
    for number, line in enumerate(lines, 1):
        if opened is None and (fence := re.match(r"( *)```(\w*)$", line)):
            opened = (number + 1, *fence.groups())
        elif opened and line == f"{opened[1]}```":
            start, indent, language = opened
            yield Block(
                page,
                start,
                language,
                [each.removeprefix(indent) for each in lines[start - 1 : number - 1]],
            )
            opened = None
    assert opened is None, f"{page}: the block of line {opened} has no end"


def prose(page: str) -> str:
    """The page without its fenced blocks, line by line as long as before."""
    return re.sub(
        r"^( *)```\w*\n.*?^\1```$",
        lambda found: re.sub(r"[^\n]", " ", found[0]),
        text(page),
        flags=re.DOTALL | re.MULTILINE,
    )


def commands(page: str) -> Iterator[Command]:
    """What a page tells to type, in its order."""
    for block in blocks(page):
        if block.language in SHELL:
            yield from _of_block(block)


def _of_block(block: Block) -> Iterator[Command]:
    if block.lines[0].startswith("#!"):
        marks = [
            found[1]
            for line in block.lines
            if line.startswith("# ") and (found := MARK.search(line))
        ]
        yield Command(block.page, block.line, "\n".join(block.lines), marks[0] if marks else "")
        return
    of_all, at = "", 0
    while at < len(block.lines):
        start, line = at, block.lines[at]
        at += 1
        if block.language == "console" and line.startswith("$ "):
            line = line[2:]
        elif block.language == "console" and (start or not line.startswith("#")):
            continue
        if line.startswith("#"):
            found = MARK.search(line)
            of_all = found[1] if found else of_all
        if not without_comment(line)[0]:
            continue
        while at < len(block.lines) and _goes_on(line):
            line += "\n" + block.lines[at]
            at += 1
        typed, comment = without_comment(line)
        found = MARK.search(comment)
        yield Command(block.page, block.line + start, typed, found[1] if found else of_all)


def _goes_on(typed: str) -> bool:
    """Whether the next line belongs to the same command."""
    if end := re.search(r"<<(\w+)", typed):
        return not typed.endswith(f"\n{end[1]}")
    words = re.findall(r"\b(?:for|done)\b", without_comment(typed)[0])
    return typed.endswith("\\") or words.count("for") > words.count("done")


def without_comment(typed: str) -> tuple[str, str]:
    """A command, and the comment at the end of its last line."""
    if "<<" in typed:
        return typed, ""
    quote = ""
    for at, letter in enumerate(typed):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        elif letter == "#" and (at == 0 or typed[at - 1].isspace()):
            return typed[:at].rstrip(), typed[at:].strip()
    return typed.rstrip(), ""


def calls(typed: str) -> list[list[str]]:
    """The programs that a command calls, each with its arguments. Of a loop, the first turn;
    assignments, `taskset` and redirections are left out."""
    typed = re.sub(r"<<(\w+)\n.*?\n\1$", "", typed.replace("\\\n", " "), flags=re.DOTALL).replace(
        "\n", " ; "
    )
    lexer = shlex.shlex(typed, posix=True, punctuation_chars=True)
    lexer.commenters, lexer.whitespace_split = "", True
    known: dict[str, str] = {}
    found: list[list[str]] = [[]]
    words = iter(lexer)
    for word in words:
        value = re.sub(r"\$\{?(\w+)\}?", lambda name: known.get(name[1], name[0]), word)
        if word in SEPARATORS:
            found.append([])
        elif set(word) <= set("<>"):
            next(words, None)
        elif not found[-1] and word == "for":
            name, _, known[name] = next(words), next(words), next(words)
            while next(words) not in SEPARATORS:
                pass
        elif not found[-1] and (assigned := re.fullmatch(r"(\w+)=(.*)", value, re.DOTALL)):
            known[assigned[1]] = assigned[2]
        elif found[-1] or word not in ("do", "done"):
            found[-1].append(value)
    return [call[3:] if call[0] == "taskset" else call for call in found if call]


def anchors(page: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ +(.*)$", prose(page), re.MULTILINE):
        shown = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", shown).strip().replace(" ", "-")
        found.add(
            next(
                name
                for name in (slug, *(f"{slug}-{n}" for n in range(1, 99)))
                if name not in found
            )
        )
    return found


def links(page: str) -> list[str]:
    """The targets of links and pictures, those in HTML too."""
    shown = re.sub(r"`[^`\n]*`", "``", prose(page))
    return re.findall(r"\]\(([^)\s]+)\)", shown) + re.findall(r"(?:src|href)=\"([^\"]+)\"", shown)


def place(page: str, target: str) -> tuple[Path, str]:
    """File and anchor of a relative link."""
    name, _, anchor = target.partition("#")
    return ((ROOT / page).parent / name).resolve() if name else ROOT / page, anchor
