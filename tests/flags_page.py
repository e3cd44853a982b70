"""docs/flags.md, made from the flags themselves: every flag of every command, its values, default,
what the recipes set, and what it does.

    .venv/bin/python tests/flags_page.py > docs/flags.md

The settings that `train` takes are told once, under Settings of a run; where another command takes
some of them, it refers to that.
"""

from __future__ import annotations

import configparser
import importlib
import re
from collections.abc import Iterator

from absl import flags

from par.core.config import Group, fields
from par.tools import train
from par.tools.cli.flags import Flags, Section, typed
from par.tools.cli.recipes import RECIPES, recipe_lines
from project import ROOT

PAGE = ROOT / "docs" / "flags.md"
SCRIPTS = ("base_model.sh", "create_tfrecords.sh")
INTRODUCTION = """# Flags

Every flag of every command, as `--help` prints them. This page is generated from the flags by
`.venv/bin/python tests/flags_page.py > docs/flags.md`, and a test compares the two. After
`pip install .` the commands are called `par-train` and so on.

A flag is written `--name=value` or `--name value`; a switch such as `--plot` is turned off by
`--noplot`. A repeatable flag is given once for each value, or once before all of them:
`--run=A --run=B`, `--run A B`. Where no default is listed there is none, or the text says what
happens without the flag. Every command also takes `--help`, and `--flagfile=FILE`, a file with a
flag on each line, such as the `flags.txt` of a run.

`--recipe=NAME` sets the values in its column instead of the defaults; a flag on the command line
overrides both. The recipes are the files of `tools/recipes/`; the path of another `.flags` file
works too.
"""


def commands() -> dict[str, Flags]:
    """The flags of every command by its name, in the order of setup.cfg; of one with several
    subjects, by command and subject."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    found = {}
    for line in setup["options.entry_points"]["console_scripts"].split("\n"):
        if line:
            name = re.match(r"par-(\w+) ", line)[1]
            tool = importlib.import_module(f"par.tools.{name}")
            subjects = getattr(tool, "SUBJECTS", None)
            found |= (
                {f"{name} {subject}": module.FLAGS for subject, module in subjects.items()}
                if subjects
                else {name: tool.FLAGS}
            )
    return found


def recipes() -> dict[str, dict[str, list[str]]]:
    """What each recipe sets, by flag; several values where the flag is repeatable."""
    found: dict[str, dict[str, list[str]]] = {}
    for path in sorted(RECIPES.glob("*.flags")):
        made = found.setdefault(path.stem, {})
        for line in recipe_lines(path.stem):
            name, _, value = line.removeprefix("--").partition("=")
            made.setdefault(name, []).append(value)
    return found


def page() -> str:
    """The whole page."""
    of_a_run = {section.group: section for section in train.FLAGS.sections if section.group}
    parts = [
        INTRODUCTION,
        "## Settings of a run\n",
        (
            "What decides a run, and what may change when it is continued. `train` takes all of"
            " them.\n"
        ),
    ]
    for section in of_a_run.values():
        parts += [f"### {section.title}\n", table(train.FLAGS, section)]
    tool = ""
    for name, values in commands().items():
        if tool != (tool := name.split()[0]):
            doc = importlib.import_module(f"par.tools.{tool}").__doc__
            parts += [f"## {tool}\n", doc.strip().splitlines()[0] + "\n"]
        if name != tool:
            parts.append(f"### {name}\n")
        for section in values.sections:
            if section.group in of_a_run:
                parts.append(_reference(values, section, of_a_run[section.group]))
            else:
                parts += [f"**{section.title}**\n"] * (section.title not in name) + [
                    table(values, section)
                ]
    parts += ["## The scripts\n", *(f"```text\n{usage(script)}\n```\n" for script in SCRIPTS)]
    return "\n".join(parts)


def table(values: Flags, section: Section) -> str:
    """A row a flag. What recipes set is shown where the command takes --recipe."""
    sets = (
        {name: made for name, made in recipes().items() if set(made) & set(section.names)}
        if "recipe" in values
        else {}
    )
    rows = [["flag", "values", "default", *(f"`{name}`" for name in sets), "what it does"]]
    rows.append(["---"] * len(rows[0]))
    for name in section.names:
        set_by = [
            ", ".join(typed(values[name].parser.parse(value)) for value in made.get(name, []))
            for made in sets.values()
        ]
        rows.append(
            [
                f"`--{'[no]' if values[name].boolean else ''}{name}`",
                _values(values, section, name),
                values.default(name, section.group),
                *set_by,
            ]
        )
        rows[-1].append(_plain(values.reason(name, section.group)))
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"


def usage(script: str) -> str:
    """What a shell script prints for --help."""
    return (
        (ROOT / script).read_text(encoding="utf-8").split("<<'END'\n", 1)[1].split("\nEND\n", 1)[0]
    )


def rows_of(text: str) -> Iterator[tuple[str, str]]:
    """Of every row of a page: the heading above it, of second or third level, and the flag."""
    heading = ""
    for line in text.splitlines():
        heading = line.lstrip("# ") if line.startswith("##") else heading
        if row := re.match(r"\| `--(?:\[no\])?(\w+)` \|", line):
            yield heading, row[1]


def _reference(values: Flags, section: Section, whole: Section) -> str:
    """Where the settings of a section are told. Those without a default come from a run."""
    anchor = re.sub(r"[^\w -]", "", whole.title.lower()).replace(" ", "-")
    only = (
        ""
        if section.names == whole.names
        else ": " + ", ".join(f"`--{name}`" for name in section.names)
    )
    without = ". No defaults" * all(values[name].default is None for name in section.names)
    return (
        f"**{section.title}**: {'as' if not only else 'some of those'} under"
        f" [{whole.title}](#{anchor}){only}{without}.\n"
    )


def _values(values: Flags, section: Section, name: str) -> str:
    """What a flag takes, with the bounds of a setting."""
    flag, choices = values[name], values.choices(name)
    several = "; repeatable" if isinstance(flag, flags.MultiFlag) else ""
    if flag.boolean:
        return "switch"
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices) + several
    parser = flag.parser
    what = {flags.IntegerParser: "integer", flags.FloatParser: "number"}
    kind = next((word for parsed, word in what.items() if isinstance(parser, parsed)), "text")
    return kind + (_bounds(section.group, name) if section.group else "") + several


def _bounds(group: type[Group], name: str) -> str:
    rules = next(field.metadata for field, _ in fields(group) if field.name == name)
    least, most = (
        None if rules[bound] is None else f"{rules[bound]:,}".removesuffix(".0")
        for bound in ("minimum", "maximum")
    )
    told = (
        f", {least} to {most}"
        if least and most
        else f", at least {least}"
        if least
        else f", at most {most}"
        if most
        else ""
    )
    return told + "".join(f", or `{word}`" for word in rules["words"])


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    return re.sub(r"([|<*])", r"\\\1", text)


if __name__ == "__main__":
    print(page(), end="")
