"""The pages are true: every command in them can be typed, and is run; every link leads somewhere;
every picture is shown."""

from __future__ import annotations

import ast
import contextlib
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import pages
from par.core.errors import ParError
from par.tools import benchmark, shelf
from par.tools.cli.flags import Flags
from par.tools.cli.main import parse
from par.tools.experiments.settings import flags_of, own_arguments
from project import ROOT, TOOLS
from reader import Reader

COMMANDS = {page: list(pages.commands(page)) for page in pages.PAGES}
ALL = [command for found in COMMANDS.values() for command in found]
# programs of others, or of the shell
OTHERS = {".venv/bin/pip", ".venv/bin/ruff", "diff", "echo", "pip", "source"}
# and the tool that takes their other flags
SCRIPTS = {"./base_model.sh": "train", "./create_tfrecords.sh": "build_data"}
# Beam's, Slurm's, ...
OF_OTHERS = {
    "all",
    "flagfile",
    "help",
    "hypothesis-profile",
    "hypothesis-seed",
    "job_endpoint",
    "name",
    "pdb",
    "requeue",
    "signal",
    "trace",
}
CHECKS = {
    "embed(": "assert states.shape[1] == 16",
    "par.network(": "assert hidden.shape == (8, 32, 64)",
    "saved_model": "assert len(texts) == 1",
}
PYTHON = ("python", "python3", ".venv/bin/python")


def parsed(tool: str, arguments: Sequence[str]) -> int:
    """The exit code of a tool that reads these arguments and does nothing; what it refuses is on
    stderr."""
    for argument in arguments:
        if argument.startswith("--flagfile="):
            path = Path(argument.partition("=")[2])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    try:
        parse(flags_of(tool, arguments), own_arguments(tool, arguments))
    except ParError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


def tools_of(commands: Sequence[pages.Command]) -> set[str]:
    """The tools that commands call."""
    return {
        tool for command in commands for tool in re.findall(r"\btools/(\w+)\.py", command.text)
    }


def not_there(code: str) -> list[str]:
    """What Python code takes from this project that is not there."""
    taken = [
        node
        for node in ast.walk(ast.parse(code))
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] == "par"
    ]
    names = [(node.module, each.name) for node in taken for each in node.names]
    return [
        f"{module}.{name}"
        for module, name in names
        if not (ROOT / module.replace(".", "/") / f"{name}.py").is_file() and not has(module, name)
    ]


def has(module: str, name: str) -> bool:
    """Whether a module that is there defines a name."""
    return hasattr(importlib.import_module(module), name)


def refusal(call: list[str], typed: str, pytest_options: str) -> str:
    """Why a reader could not type that; empty if he can."""
    program, arguments = call[0], call[1:]
    if program in PYTHON and arguments[0].startswith("tools/"):
        program, arguments = f"par-{Path(arguments[0]).stem}", arguments[1:]
    if program.startswith("par-"):
        tool = program.removeprefix("par-").replace("-", "_")
        return (
            f"there is no tool {tool}"
            if tool not in TOOLS
            else "refused" * bool(parsed(tool, arguments))
        )
    if program in SCRIPTS:
        return "refused" * bool(
            not os.access(ROOT / program, os.X_OK) or parsed(SCRIPTS[program], arguments)
        )
    if program == "tests/run.sh":
        wrong = [
            each
            for each in arguments
            if each.startswith("-")
            and each != "--all"
            and each.split("=")[0] not in pytest_options
        ]
        return " ".join(
            wrong
            + [each for each in arguments if each.endswith(".py") and not (ROOT / each).is_file()]
        )
    if program in PYTHON and arguments[0].startswith("tests/"):
        source = (ROOT / arguments[0]).read_text(encoding="utf-8")
        return " ".join(each for each in arguments[1:] if f'"{each.split("=")[0]}"' not in source)
    if program in PYTHON and arguments[0] in ("-c", "-"):
        code = (
            arguments[1]
            if arguments[0] == "-c"
            else re.search(r"<<(\w+)\n(.*)\n\1$", typed, re.DOTALL)[2]
        )
        return " ".join(not_there(code))
    return (
        ""
        if program in OTHERS or (program in PYTHON and arguments[0] == "-m")
        else f"{program} is not a program that these pages may name"
    )


@pytest.fixture(scope="module")
def pytest_options() -> str:
    """What pytest says about its options, those of its plug-ins too."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("page", [page for page in pages.PAGES if COMMANDS[page]])
def test_every_command_names_a_program_that_is_there_with_flags_and_values_that_it_takes(
    page, pytest_options, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    for command in COMMANDS[page]:
        if not command.is_script:
            called = pages.calls(command.text)
            assert called, command
            for call in called:
                assert not refusal(call, command.text, pytest_options), (
                    command,
                    call,
                    capsys.readouterr().err,
                )


def test_a_script_in_a_page_calls_tools_with_flags_that_they_have(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scripts = [command for command in ALL if command.is_script]
    for script in scripts:
        [(tool, flags)] = re.findall(r"tools/(\w+)\.py((?: --\w+=\w+)*)", script.text)
        assert tool in TOOLS and parsed(tool, flags.split()) == 0, script
    assert len(scripts) == 2


def test_no_command_stands_where_it_is_not_read():
    typed = re.compile(
        r"^\s*(?:\$ .*|(?:\.venv/bin/)?python (?:tools|tests)/.*|\./\w+\.sh.*|par-\w+ .*)$",
        re.MULTILINE,
    )
    for page in pages.PAGES:
        assert typed.findall(pages.prose(page)) == [], page
        for block in pages.blocks(page):
            assert block.language, (
                f"{page}, line {block.line}: a block says what it holds, such as sh, console, text"
                " or python"
            )
            assert block.language in pages.SHELL or not typed.findall("\n".join(block.lines)), (
                page,
                block,
            )
            assert block.language != "console" or any(
                line.startswith("$ ") for line in block.lines
            ), (page, block)


def names(flags: Flags) -> set[str]:
    """The flags, and what turns a switch off."""
    return {
        name for each in flags for name in (each, *([f"no{each}"] if flags[each].boolean else []))
    }


def test_a_flag_that_a_page_speaks_of_is_one_of_its_tool_or_of_any(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    every = [flags_of(tool) for tool in TOOLS] + [
        subject.FLAGS for subject in (benchmark.SUBJECTS | shelf.SUBJECTS).values()
    ]
    known = OF_OTHERS.union(*map(names, every))
    checked = 0
    for page in pages.PAGES:
        for span in re.findall(r"`([^`\n]+)`", pages.prose(page)):
            named = re.match(r"(?:python )?(?:tools/)?(?:par-)?(\w+)(?:\.py)? (?:(\w+) )?--", span)
            tool = named and named[1] in TOOLS and named[1]
            if tool or span.startswith("--"):
                there = names(flags_of(tool, [named[2]])) | {"help"} if tool else known
                assert {
                    name for name in re.findall(r"(?<![\w-])--\[?(?:no\])?([\w-]+)", span)
                } <= there, (page, span)
            if tool:
                given = [
                    each
                    for each in span.split()
                    if re.match(r"--\w+=[^A-Z<.]", each) and "|" not in each
                ]
                assert parsed(tool, [*([named[2]] if named[2] else []), *given]) == 0, (
                    page,
                    span,
                    capsys.readouterr().err,
                )
                checked += 1
    assert checked > 10


@pytest.mark.parametrize("page", pages.PAGES)
def test_every_link_and_picture_of_a_page_leads_somewhere(page):
    for target in pages.links(page):
        if not re.match(r"https?:", target):
            path, anchor = pages.place(page, target)
            assert path.exists() and ROOT in (path, *path.parents), (page, target)
            assert not anchor or (
                path.suffix == ".md" and anchor in pages.anchors(str(path.relative_to(ROOT)))
            ), (page, target)


def test_every_picture_and_every_page_of_docs_is_shown_or_linked():
    shown = {pages.place(page, target)[0] for page in pages.PAGES for target in pages.links(page)}
    there = {path for path in (ROOT / "docs").iterdir() if not path.name.startswith(".")}
    assert there - shown == {ROOT / "docs" / "README.md"} - shown
    listed = {pages.place("docs/README.md", target)[0] for target in pages.links("docs/README.md")}
    assert {path for path in there if path.suffix == ".md"} - listed == {
        ROOT / "docs" / "README.md"
    }


def test_every_page_s_tables_have_headings_and_rows_of_one_width():
    def width(row):
        return len(re.findall(r"(?<!\\)\|", row))  # GitHub cuts at those inside a code span, too

    for page in pages.PAGES:
        for table in re.findall(r"(?:^\|.*\n)+", pages.prose(page) + "\n", re.MULTILINE):
            head, rule, *rows = table.splitlines()
            assert re.fullmatch(r"[|:\- ]+", rule) and rows and re.search(r"\w", head), (
                page,
                head,
            )
            assert {width(row) for row in (rule, *rows)} == {width(head)}, (page, head)


def test_the_map_in_contributing_has_a_line_for_every_wing_of_the_library():
    [tree] = [
        block.lines
        for block in pages.blocks("CONTRIBUTING.md")
        if block.lines[0].startswith("base_model.sh")
    ]
    named = [line.split()[0] for line in tree if line.startswith("  par/")]
    wings = [
        path.parent.relative_to(ROOT)
        for path in (ROOT / "par").glob("**/__init__.py")
        if path.parent != ROOT / "par"
    ]
    assert sorted(named) == sorted(f"{wing}/" for wing in wings)


def test_readme_stays_short():
    assert len(pages.text("README.md").splitlines()) <= 228


# most of the commands of the pages: a dozen trainings among them, and three tables of latencies
@pytest.mark.slow
def test_all_commands_of_the_pages_run_in_their_order_but_those_that_say_why_not(tmp_path):
    reader, run, left = Reader(tmp_path), [], []
    with contextlib.closing(reader):
        for page in pages.PAGES:
            steps = [
                (block.line, block) for block in pages.blocks(page) if block.language == "python"
            ]
            steps += [(command.line, command) for command in COMMANDS[page]]
            for _, step in sorted(steps, key=lambda pair: pair[0]):
                if isinstance(step, pages.Command) and step.mark:
                    left.append(step)
                    continue
                if isinstance(step, pages.Command):
                    wrong = reader.command(step)
                else:
                    code = "\n".join(step.lines)
                    wrong = reader.python(
                        "\n".join(
                            [code, *(check for name, check in CHECKS.items() if name in code)]
                        )
                    )
                assert not wrong, f"{page}, line {step.line}: {step}\n{wrong}"
                run.append(step)
    done = [step for step in run if isinstance(step, pages.Command)]
    assert len(done) + len(left) == len(ALL) and len(run) - len(done) >= 4  # blocks of Python
    # replay needs a table of all networks, fill a masked run, probe and discriminate documents
    # with labels, compose runs that see both sides; their own tests make small ones
    left_out = {"compose", "discriminate", "fill", "probe", "replay"}
    assert tools_of(ALL) - tools_of(done) == left_out


def test_a_command_that_the_tests_leave_out_says_why():
    assert {command.mark for command in ALL if command.is_script} == {"needs Slurm"}
    for command in ALL:
        assert command.mark == "" or len(command.mark.split()) >= 2


def test_every_line_of_the_guide_s_troubleshooting_is_one_that_the_program_says():
    said = "".join(
        path.read_text(encoding="utf-8")
        for where in ("par", "tools")
        for path in sorted((ROOT / where).rglob("*.py"))
    )
    table = pages.text("docs/guide.md").partition("\n## Troubleshooting\n")[2]
    messages = re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
    assert len(messages) > 10
    for message in messages:
        for words in re.split(r"\b(?:N seeds|N|SIGTERM|4000)\b", message):
            assert words.strip() in said, message
