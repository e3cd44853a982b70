"""results: every experiment is listed, run so that a killed run goes on, shown in the pages, and
compared with them."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import documented
import small_experiment
from par.core import locks, machine, schema
from par.core.errors import DataError, UsageError
from par.tools.experiments import corpora, pages, record, registry, runner, settings, steps
from par.tools.experiments.cells import mean_and_each
from par.tools.experiments.experiment import (
    Corpus,
    Experiment,
    Picture,
    Placement,
    Step,
    StepPicture,
    Table,
    Transcript,
)
from project import ROOT, TESTS, Finished, refused
from small_experiment import SMALL, make_clone
from step_outputs import made_up


@pytest.fixture
def clone(tmp_path):
    return make_clone(tmp_path / "clone")


@pytest.fixture
def command(clone, capfd):
    """tools/results.py in the clone, in this process."""

    def run(*flags: str, experiments: dict[str, Experiment] | None = None) -> Finished:
        capfd.readouterr()
        code = small_experiment.command(clone, experiments or {"small": SMALL}, list(flags))
        return Finished(code, *capfd.readouterr())

    return run


def run_flags(clone: Path) -> tuple[str, ...]:
    return ("--run=small", f"--work_dir={clone / 'logs'}")


@pytest.fixture
def figures(clone):
    """The file of results, written as a run would."""
    made = record.Results(
        record.SCHEMA,
        "small",
        settings.of_experiment(SMALL),
        {"first.txt": "0" * 64},
        SMALL.seeds,
        ("0123456789abcdef" * 2 + "01234567",),
        False,
        record.Machine("Abacus", 2, 8),
        record.versions(),
        12.5,
        ({"text": "first", "clusters": 2, "vocab_size": 6},),
        {"shown": "in {shown} two lines\nof text"},
        {"cuts": hashlib.sha256(b"drawn").hexdigest()},
    )
    path = record.path_of(clone, "small")
    record.save(path, made)
    (path.parent / "small-shown-cuts.png").write_bytes(b"drawn")
    return path


# ---- this project's own experiments ----


def test_the_list_names_every_experiment_with_its_time_and_the_pages_that_show_it(call):
    done = call("results", "--list")
    assert done.code == 0
    title, *lines, note = done.out.splitlines()
    assert title.split()[:4] == ["experiment", "minutes", "seeds", "corpus"] and "about" in note
    assert [line.split()[0] for line in lines] == list(registry.EXPERIMENTS)
    for line, experiment in zip(lines, registry.EXPERIMENTS.values(), strict=True):
        assert experiment.what in line and experiment.corpus.name in line
        assert all(page in line and (ROOT / page).is_file() for page in experiment.pages)


def test_the_pages_show_the_figures_of_experiments_that_still_have_their_settings(call):
    done = call("results", "--check")
    assert (done.code, done.err) == (0, ""), done.out


def test_the_figures_hold_what_docs_artefacts_tells():
    for path in sorted((ROOT / "docs" / "results").glob("*.json")):
        documented.check("docs/results/NAME.json", json.loads(path.read_text()))


# ---- run ----


def picture_size(clone: Path) -> str:
    size = (clone / "docs" / "results" / "small-shown-cuts.png").stat().st_size
    return f"{round(size / 1000)} kB"


def test_a_run_writes_figures_that_are_shown_and_agree_with_the_pages(clone, command):
    before = os.sched_getaffinity(0)
    done = command(*run_flags(clone), "--cores=1")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == "written: docs/results/small.json"
    assert os.sched_getaffinity(0) == before
    content = record.path_of(clone, "small").read_bytes()
    found = json.loads(content)
    documented.check("docs/results/NAME.json", found, "all")
    for path in (clone / "logs" / "small" / "steps").iterdir():
        documented.check("logs/results/NAME/steps/*.json", json.loads(path.read_text()), "all")
    assert (found["machine"]["cores"], found["seeds"], found["is_dirty"]) == (1, [3, 4], False)
    head = subprocess.run(
        ["git", "-C", str(clone), "rev-parse", "HEAD"], capture_output=True, text=True
    )
    assert found["commits"] == [head.stdout.strip()]
    assert [row["vocab_size"] for row in found["rows"]] == [6, 4]
    assert str(clone) not in content.decode() and str(ROOT) not in content.decode()

    again = command(*run_flags(clone), "--cores=1")
    assert again.err.count("kept, of commit") == 3
    assert record.path_of(clone, "small").read_bytes() == content

    missing = command("--check")
    assert missing.code == 3 and missing.out.count("it differs from docs/results/small.json") == 4
    assert sorted(command("--render").out.split()) == sorted(
        ["written:", "docs/page.md", "written:", "docs/results/small-picture.png"]
    )
    assert command("--check").code == 0
    assert command("--render").out == "nothing has changed\n"
    shown = (clone / "docs" / "page.md").read_text()
    for line in (
        "| first | 3 |",
        "| second | 2 |",
        "![Two bars](results/small-picture.png)",
        '<img src="results/small-shown-cuts.png" width="432" alt="Counts">',
        "$ python tools/optimal_cuts.py --counts=text/first.txt --cost=area"
        " --plot=logs/cuts/cuts.png  # takes long: a second",
        "logs/cuts/cuts.png: 864 x 432, " + picture_size(clone),
    ):
        assert f"\n{line}\n" in shown, shown
    for fact in (f"commit {head.stdout[:7]}; 1 core of ", "seeds 3, 4", "\nBetween them.\n"):
        assert fact in shown, shown


@contextlib.contextmanager
def writer(fifo: Path, process: subprocess.Popen) -> Iterator[int]:
    """The writing end of a named pipe, as soon as someone reads it, for as long as the block
    lasts: its reader waits, and then sees the end of the file."""
    for _ in range(1200):
        with contextlib.suppress(OSError):  # there is no reader yet
            descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            break
        assert process.poll() is None
        time.sleep(0.05)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_run_that_a_signal_ends_between_two_steps_keeps_the_first(clone, command, number):
    text = clone / "text" / "second.txt"
    text.unlink()
    # its readers wait for a writer: the runner, which hashes it, and then the second step
    os.mkfifo(text)
    program = [sys.executable, str(TESTS / "small_experiment.py"), str(clone), *run_flags(clone)]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            with writer(text, process) as hashed:
                os.write(hashed, small_experiment.COUNTS["second.txt"].encode())
            steps_dir = clone / "logs" / "small" / "steps"
            while not list(steps_dir.glob("first-*")) and process.poll() is None:
                time.sleep(0.05)
            with writer(text, process):
                process.send_signal(number)
                # one that comes after Python's look for signals and before a read that blocks is
                # seen when the read returns
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(10)
            process.wait(60)
        finally:
            process.kill()
        _, err = process.communicate(timeout=60)
    assert process.returncode == (5 if number == signal.SIGTERM else -number), err
    if number == signal.SIGTERM:
        assert "error: stopped in step second; finished steps are kept" in err
    assert not record.path_of(clone, "small").exists()

    text.unlink()
    text.write_text(small_experiment.COUNTS["second.txt"])
    [kept] = (clone / "logs" / "small" / "steps").iterdir()
    time_of = kept.stat().st_mtime_ns
    done = command(*run_flags(clone))
    assert done.code == 0, done.err
    assert "step 1 of 3, first: kept" in done.err and "step 2 of 3, second: python" in done.err
    assert kept.stat().st_mtime_ns == time_of


def test_a_step_that_another_process_runs_is_left_to_it(clone, command, monkeypatch):
    """The first step is another process's until this one, which has no more to do, waits."""
    whole = command(*run_flags(clone))
    first, second = (
        next((clone / "logs/small/steps").glob(f"{name}-*")) for name in ("first", "second")
    )
    contents = [first.read_bytes(), second.read_bytes()]
    first.unlink()
    second.unlink()
    with contextlib.ExitStack() as held:
        held.enter_context(locks.locked(clone / "logs/small/locks" / first.stem))
        waits = []

        def wait(seconds: float) -> None:
            assert second.is_file() and not first.exists() and not waits
            waits.append(seconds)
            first.write_bytes(contents[0])
            held.close()

        monkeypatch.setattr(runner.time, "sleep", wait)
        done = command(*run_flags(clone))
    assert (done.code, done.out, len(waits)) == (0, whole.out, 1), done.err
    assert "step 2 of 3, second: python" in done.err and "step 1 of 3, first: kept" in done.err
    assert "waiting for the steps that other processes run" in done.err


def test_a_step_that_fails_ends_the_run_with_its_exit_code(clone, command):
    (clone / "text" / "first.txt").write_text("no number\n")
    done = command(*run_flags(clone))
    assert done.code == 3 and done.out == "", done
    assert done.err.splitlines()[-1].startswith("error: step first ended with exit code 3")
    assert not list((clone / "logs" / "small").glob("steps/*"))


@pytest.mark.slow
def test_code_that_changes_while_an_experiment_runs_ends_it_at_the_next_step(clone, command):
    [first, second, third] = SMALL.steps
    changing = (*first.arguments, f"--plot={clone / 'pyproject.toml' / 'cuts.png'}")
    changed = dataclasses.replace(
        SMALL, steps=(dataclasses.replace(first, arguments=changing), second, third)
    )
    done = command(*run_flags(clone), experiments={"small": changed})
    assert done.code == 1 and "the code has changes that no commit has, such as pyproj" in done.err
    assert [path.name[:6] for path in (clone / "logs/small/steps").iterdir()] == ["first-"]


CONDITIONS = steps.Conditions({}, record.Machine("Abacus", 2, 8), {"par": "1"}, False)


def test_the_key_of_a_step_is_of_all_that_its_figures_depend_on(tmp_path):
    recipe = tmp_path / "mine.flags"
    recipe.write_text("--epochs=1\n")
    step = Step("a", "train", ("--data={data}", f"--recipe={recipe}", "--run={a}", "--json"))
    key = steps.key(step, {"data": "0"}, CONDITIONS)
    assert key == steps.key(step, {"data": "0"}, CONDITIONS)
    others = {
        steps.key(step, {"data": "1"}, CONDITIONS),
        steps.key(dataclasses.replace(step, arguments=step.arguments[1:]), {}, CONDITIONS),
        *(
            steps.key(step, {"data": "0"}, dataclasses.replace(CONDITIONS, **changed))
            for changed in (
                {"corpus": {"a.txt": "0"}},
                {"machine": record.Machine("Abacus", 1, 8)},
                {"versions": {"par": "2"}},
                {"is_dirty": True},
            )
        ),
    }
    recipe.write_text("--epochs=2\n")
    others.add(steps.key(step, {"data": "0"}, CONDITIONS))
    assert len(others | {key}) == 8


def test_a_setting_that_came_later_leaves_the_keys_of_finished_steps_as_they_were():
    step = Step("a", "train", ("--data={data}", "--run={a}", "--json"))
    whole, kept = (of(step).defaults["train"] for of in (settings.of_step, settings.identity))
    assert {"typos", "head_groups"} <= set(whole) - set(kept)
    assert {"epochs", "mask_rate", "sampling"} <= set(kept)


def test_an_experiment_names_each_step_once_and_only_those_before():
    [first, second, shown] = SMALL.steps
    with pytest.raises(ValueError, match="step first must be there once"):
        dataclasses.replace(SMALL, steps=(first, first, shown))
    needing = dataclasses.replace(first, arguments=("--counts={second}/counts.txt",))
    with pytest.raises(ValueError, match="step first must be there once, and after second"):
        dataclasses.replace(SMALL, steps=(needing, second, shown))
    assert dataclasses.replace(SMALL, steps=(second, needing, shown)).steps[1].needs == ("second",)
    assert needing.resolved({"second": "second-0123"}) == ["--counts=second-0123/counts.txt"]


def test_the_corpus_is_found_by_its_name_and_placed_where_the_commands_look(tmp_path):
    corpus = Corpus("mine", (Placement("data/raw/mine", ("a.txt",)),))
    with pytest.raises(
        DataError,
        match=r"the corpus mine is not there: give --corpus_dir=DIR with a.txt in DIR/mine",
    ):
        corpora.find(corpus, tmp_path, tmp_path)
    given = tmp_path / "given" / "mine"
    given.mkdir(parents=True)
    (given / "a.txt").write_text("words")
    for corpus_dir in (given, given.parent):
        placed = corpora.find(corpus, tmp_path, corpus_dir)
        assert placed.directory == given
        digests = corpora.place(placed, tmp_path / "work")
        assert set(digests) == {"a.txt"}
        assert (tmp_path / "work" / "data" / "raw" / "mine" / "a.txt").read_text() == "words"
    assert corpora.find(Corpus("python-docs"), tmp_path, None) is None
    assert corpora.place(None, tmp_path) == {}


def test_cores_are_limited_for_as_long_as_the_block_lasts():
    before = machine.core_count()
    with runner.limited_cores(1):
        assert machine.core_count() == 1
    assert machine.core_count() == before
    with runner.limited_cores(0):
        assert machine.core_count() == before
    with (
        pytest.raises(UsageError, match=f"--cores must be from 1 to {before}"),
        runner.limited_cores(before + 1),
    ):
        pass


# ---- refusals ----


def test_what_cannot_be_run_is_refused_in_one_line_before_anything_is_written(clone, command):
    flags = run_flags(clone)
    refused(command("--run=large"), 1, "--run=large does not exist", "all", "small")
    refused(command(), 1, "give one of --list, --run=NAME, --render and --check")
    refused(command("--list", "--check"), 1, "give one of")
    refused(command("--check", "--cores=1"), 1, "--cores", "--run")
    refused(command(*flags, "--cores=-1"), 1, "--cores must be from 1 to", "-1")
    (clone / "text" / "first.txt").rename(clone / "text" / "moved.txt")
    refused(command(*flags), 3, "the corpus counts is not there", "make/it", "first.txt")
    refused(command("--run=all"), 3, "the corpus counts is not there")
    (clone / "text" / "moved.txt").rename(clone / "text" / "first.txt")
    elsewhere = dataclasses.replace(SMALL, corpus=Corpus("far", (Placement("far", ("x.txt",)),)))
    both = {"small": SMALL, "far": elsewhere}
    refused(command("--run=all", experiments=both), 3, "the corpus far is not there: give")
    (clone / "setup.cfg").write_text("[metadata]\nname = x\n")
    refused(command(*flags), 1, "changes that no commit has, such as setup.cfg", "--allow_dirty")
    assert not (clone / "logs").exists() and not (clone / "docs" / "results").exists()
    (clone / ".git").rename(clone / "git")
    refused(command(*flags), 1, "this is not a git clone")


def test_figures_of_code_without_a_commit_say_so(clone, command):
    (clone / "setup.cfg").write_text("[metadata]\nname = x\n")
    assert command(*run_flags(clone), "--allow_dirty").code == 0
    assert command("--render").code == 0
    assert " with changes; " in (clone / "docs" / "page.md").read_text()
    assert json.loads(record.path_of(clone, "small").read_text())["is_dirty"] is True


def test_code_that_is_not_the_clone_s_is_refused(clone, command):
    (clone / "par").unlink()
    (clone / "par").mkdir()
    refused(command(*run_flags(clone)), 1, "would import par from", "pip install -e .")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda found: found | {"schema": 1}, "schema must be 2, but is 1"),
        (lambda found: found | {"name": "other"}, "name must be small, but is 'other'"),
        (lambda found: found | {"rows": [], "printed": {}}, "there must be rows or printed texts"),
        (lambda found: found | {"pictures": {"cuts": "0"}}, "'0' is not a SHA-256"),
        (lambda found: found | {"rows": [{"a": [1]}]}, "null, but a is [1]"),
        (lambda found: found | {"commits": []}, "commits must be hashes, at least one"),
        (lambda found: found | {"corpus": {"a.txt": "0"}}, "'0' is not a SHA-256"),
        (lambda found: found | {"more": 1}, "must have exactly the keys"),
    ],
)
def test_damaged_figures_are_told_by_every_action_that_reads_them(
    clone, command, figures, damage, said
):
    figures.write_text(json.dumps(damage(json.loads(figures.read_text()))))
    for flag in ("--list", "--render"):
        refused(command(flag), 3, "docs/results/small.json is damaged", said, "--run=small")
    done = command("--check")
    assert done.code == 3 and done.out.count("\n") == 1 and said in done.out, done


def test_figures_that_are_no_json_are_refused(command, figures):
    figures.write_text("{")
    refused(command("--render"), 3, "small.json is not valid JSON")


def test_a_command_that_prints_nothing_or_other_than_json_is_refused(monkeypatch, tmp_path):
    def printed(content: bytes, *flags: str) -> dict[str, Any]:
        monkeypatch.setattr(steps, "_call", lambda *_: (0, content, False))
        return steps.run(Step("a", "train", flags), tmp_path / "train.py", tmp_path, {"b": "b-01"})

    assert printed(b"in b-01/x\n") == {"text": "in {b}/x"}
    assert printed(b'{"best": 2}\n', "--json") == {"best": 2}
    for content, flags, said in (
        (b"\n", (), "step a must print a text, but printed nothing"),
        (b"loss 3\n", ("--json",), "step a printed no JSON"),
        (b"[3]\n", ("--json",), "step a must print a JSON object, but printed a list"),
    ):
        with pytest.raises(DataError, match=said):
            printed(content, *flags)


def test_a_damaged_step_is_refused_and_one_of_another_key(tmp_path):
    path, key = tmp_path / "first.json", "0" * 64
    kept = steps.StepRecord(1, key, "abc", False, 1.5, {"best": 2})
    schema.write_json(path, schema.encode(kept))
    assert steps.load(path, key) == kept
    with pytest.raises(DataError, match=r"is damaged .key must be 111111111111, but is 000000"):
        steps.load(path, "1" * 64)
    for old, new, said in (
        ('"schema": 1', '"schema": 3', "schema must be 1, but is 3"),
        ('"seconds": 1.5', '"seconds": "x"', "seconds must be of type float"),
        ("{", "", "is not valid JSON"),
    ):
        path.write_text(json.dumps(schema.encode(kept)).replace(old, new, 1))
        with pytest.raises(DataError, match=f"is damaged .*{said}.*: remove it"):
            steps.load(path, key)


# ---- check ----


def differences(command, experiments=None) -> list[str]:
    done = command("--check", experiments=experiments)
    assert done.code == (3 if done.out.count("agree") == 0 else 0)
    return [] if done.code == 0 else done.out.splitlines()


@pytest.fixture
def shown(command, figures, clone):
    """A clone whose page shows its figures."""
    assert command("--render").code == 0 and differences(command) == []
    return clone


def test_a_figure_that_was_changed_by_hand_is_found_on_either_side(shown, command, figures):
    page = shown / "docs" / "page.md"
    text = page.read_text()
    page.write_text(text.replace("| first | 2 |", "| first | 1 |"))
    [line] = differences(command)
    assert line.startswith("docs/page.md, line 3, results:small:table: it differs"), line
    page.write_text(text)
    figures.write_text(figures.read_text().replace('"vocab_size": 6', '"vocab_size": 7'))
    [line] = differences(command)  # the table does not show it, the picture does
    assert "results:small:picture: its picture differs" in line
    (shown / "docs" / "results" / "small-picture.png").unlink()
    assert len(differences(command)) == 1
    (shown / "docs" / "results" / "small-shown-cuts.png").write_bytes(b"another")
    [_, line] = differences(command)
    assert "results:small:cuts: its picture differs" in line
    figures.write_text(figures.read_text().replace("two lines", "2 lines"))
    assert (
        "results:small:transcript: it differs from docs/results/small" in differences(command)[1]
    )


def test_a_marker_needs_an_experiment_a_part_figures_and_an_end(shown, command, figures):
    page = shown / "docs" / "page.md"
    text = page.read_text()
    page.write_text(text.replace("results:small:table", "results:small:plate"))
    assert [line.partition(": ")[2] for line in differences(command)] == [
        "there is no such experiment or part: see --list",
        "put <!-- results:small:table --> and <!-- /results --> into it",
    ]
    page.write_text(text.replace("results:small:table", "results:large:table"))
    assert "no such experiment" in differences(command)[0]
    page.write_text(text.replace("<!-- /results -->\n", "", 1))
    assert (
        "line 12: <!-- results:small:picture --> must follow <!-- /results -->: each start needs"
        " one end" in differences(command)[0]
    )
    page.write_text(text + "<!-- results:small:table -->\n")
    assert "this start has no end" in differences(command)[0]
    page.write_text(f"<!-- /results -->\n{text}")
    assert (
        "line 1: <!-- /results --> must follow <!-- results:NAME:PART -->"
        in (differences(command)[0])
    )
    page.write_text(text)


def test_an_experiment_that_was_not_run_says_so_and_shows_no_figure(shown, command, figures):
    figures.unlink()
    found = differences(command)
    assert len(found) == 4 and "says otherwise, but there is no docs/results/small" in found[0]
    assert command("--render").out == "written: docs/page.md\n" and differences(command) == []
    text = (shown / "docs" / "page.md").read_text()
    said = "*Not measured yet: `python tools/results.py --run=small` measures it.*"
    assert text.count(said) == 4 and "| first |" not in text
    [command_line] = [line for line in text.splitlines() if "optimal_cuts" in line]
    assert command_line.startswith("python tools/") and command_line.endswith(
        "  # takes long: a second"
    )
    assert f"```sh\n{command_line}\n```\n\n{said}\n" in text


def test_figures_that_lack_a_part_are_of_other_settings_and_that_part_was_not_measured(
    shown, command, figures
):
    found = json.loads(figures.read_text())
    del found["settings"]["commands"]["shown"]
    figures.write_text(json.dumps(found | {"printed": {}, "pictures": {}}))
    first, *others = differences(command)
    assert "is of other settings: step shown is new" in first and len(others) == 2
    assert command("--render").code == 0 and differences(command) == [first]
    assert (shown / "docs" / "page.md").read_text().count("*Not measured yet: ") == 2


def test_what_a_command_printed_stands_between_markers(shown, command):
    page = shown / "docs" / "page.md"
    page.write_text(f"```console\n$ ls\npage.md\n```\n\n{page.read_text()}")
    [line] = differences(command)
    assert line.startswith("docs/page.md, line 1: what a command printed must stand between")


def test_a_transcript_names_directories_as_a_reader_does(shown):
    text = (shown / "docs" / "page.md").read_text()
    assert "\nin logs/cuts two lines\nof text\n```\n\n<sub>" in text


def test_a_command_is_typed_in_lines_and_only_texts_of_steps_that_print_one_are_shown():
    typed = Step("a", "generate", ("--run={b}", "--prompt=The city", *["--seed=12345678"] * 6))
    assert typed.typed({"b": "logs/b"}).splitlines() == [
        f"python tools/generate.py --run=logs/b '--prompt=The city'{3 * ' --seed=12345678'} \\",
        f"    {' '.join(3 * ['--seed=12345678'])}",
    ]
    for step, kind in (("first", Transcript), ("third", Transcript), ("third", StepPicture)):
        own = (step, "a.png") if kind is StepPicture else ((step,),)
        alt = ("Counts",) if kind is StepPicture else ()
        with pytest.raises(ValueError, match="part odd must show steps of it"):
            dataclasses.replace(SMALL, parts=(kind("odd", "docs/page.md", *alt, *own),))


def test_figures_without_an_experiment_are_found(shown, command, figures):
    other = dataclasses.replace(SMALL, name="other")
    said = differences(command, {"other": other})
    assert "docs/results/small.json: there is no experiment small: remove the file" in said
    assert sum("docs/page.md does not show experiment other: put" in line for line in said) == 4


def test_figures_of_settings_that_no_longer_exist_are_found(shown, command, figures):
    found = json.loads(figures.read_text())
    of_old = found["settings"]
    of_old["commands"]["second"] += " --clusters=2"
    of_old["commands"]["third"] = "python tools/optimal_cuts.py"
    of_old["recipes"]["quick"] = ["--epochs=9"]
    of_old["defaults"]["optimal_cuts"] |= {"d_model": 64, "colour": "red"}
    figures.write_text(json.dumps(found))
    where = "docs/results/small.json is of other settings: "
    assert [
        line.removeprefix(where).removesuffix(": run it again") for line in differences(command)
    ] == [
        f"step second was {of_old['commands']['second']}, and is {SMALL.steps[1].command}",
        "step third is gone",
        "recipe quick is gone",
        "the default of optimal_cuts --d_model was 64, and is 128",
        "optimal_cuts has no --colour any more",
    ]


def test_a_command_that_its_tool_does_not_take_is_found_before_it_is_run(shown, command):
    for flags, said in (
        (("--colour=red",), "Unknown command line flag 'colour'"),
        (("--clusters=many",), "clusters"),
    ):
        wrong = Step("first", "optimal_cuts", (*SMALL.steps[0].arguments, *flags))
        changed = dataclasses.replace(SMALL, steps=(wrong, *SMALL.steps[1:]))
        line = differences(command, {"small": changed})[0]
        assert line.startswith("experiment small, step first: ") and said in line, line


def test_only_what_the_tools_take_of_a_recipe_counts():
    built = settings.of_experiment(registry.EXPERIMENTS["ngram_python_docs"]).recipes
    trained = settings.of_experiment(registry.EXPERIMENTS["readme_python_docs"]).recipes
    assert "--vocab_size=12000" in built["base"] and "--d_model=128" not in built["quick"]
    assert {"--vocab_size=4000", "--d_model=128"} < set(trained["quick"])
    assert set(built["quick"]) < set(trained["quick"])


def test_a_changed_recipe_is_a_difference_and_a_new_setting_is_none(tmp_path):
    old = settings.of_experiment(registry.EXPERIMENTS["readme_python_docs"])
    assert set(old.defaults) == {"build_data", "train", "derive", "evaluate", "plot_pi"}
    assert (
        old.recipes["quick"][0] == "--vocab_size=4000" and "log_every" not in old.defaults["train"]
    )
    longer = dataclasses.replace(old, recipes={"quick": (*old.recipes["quick"], "--epochs=9")})
    [line] = settings.differences(old, longer)
    assert line.startswith("recipe quick was --vocab_size=4000 ") and line.endswith("--epochs=9")
    more = {"train": old.defaults["train"] | {"colour": "red"}}
    newer = dataclasses.replace(old, defaults=old.defaults | more)
    assert list(settings.differences(old, newer)) == []
    assert schema.decode(settings.Settings, schema.encode(old), "settings") == old


# ---- tables ----


def test_a_cell_of_several_seeds_is_their_mean_and_each():
    assert mean_and_each([1200.0, 1300.5]) == "1,250.2 (1,200.0, 1,300.5)"
    assert mean_and_each([1200.0]) == "1,200.0"
    assert mean_and_each([1200.0, None]) == "overflows (1,200.0, overflows)"


@pytest.mark.parametrize("name", registry.EXPERIMENTS)
def test_what_every_experiment_shows_is_made_of_what_its_commands_print(name, tmp_path):
    experiment = registry.EXPERIMENTS[name]
    printing = [step for step in experiment.steps if step.prints_json]
    rows = experiment.rows({step.name: made_up(experiment, step) for step in printing})
    for row in rows:
        record.check_row(row)
    tables = [part for part in experiment.parts if isinstance(part, Table)]
    assert bool(tables) == bool(rows)
    for table in tables:
        head, *lines = table.cells(rows)
        assert lines and {len(line) for line in lines} == {len(head)}, lines
    for picture in experiment.parts:
        if isinstance(picture, Picture):
            picture.draw(rows, tmp_path / "drawn.png")
            assert (tmp_path / "drawn.png").stat().st_size > 1000
    shown = [
        experiment.step(each).typed(experiment.directories) for each in experiment.transcribed
    ]
    assert not any("{" in command for command in shown), shown


def test_readme_s_table_has_a_line_for_each_network_and_the_mean_of_the_seeds():
    experiment = registry.EXPERIMENTS["readme_python_docs"]
    printing = [step for step in experiment.steps if step.prints_json]
    outputs = {step.name: made_up(experiment, step) for step in printing}
    for seed in experiment.seeds:
        for score in outputs[f"scores-{seed}"]["results"]:
            score["perplexity_per_word"] += seed
            if score["run"].startswith("derived"):
                score["architecture"] = "ad" * (seed + 1)
    rows = experiment.rows(outputs)
    cells = experiment.parts[0].cells(rows)
    assert len(rows) == 4 + 3 * 8 and len(cells) == 7
    assert cells[1] == ["unigram model of the same pieces", "10.0", "20.0"]
    means = ["101.0 (100.0, 101.0, 102.0)"] * 2
    assert cells[3] == ["SuperNet, soft", *means]
    assert cells[5] == ["derived `ad`, `adad`, `adadad`", *means]
    assert cells[6] == ["interleaved `ad`", *means]


def test_a_page_s_markers_are_lines_of_their_own():
    text = "`<!-- results:a:b -->`\n<!-- results:a:b -->\n\nx\n<!-- /results -->\n"
    assert pages.sections("p", text) == [pages.Section("a", "b", 2, 4, "\nx")]
