"""The shell scripts, run for real in a copy of the project whose pip, commands, ruff and pytest
only note what they were asked to do."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from project import ROOT

COPIED = [
    "base_model.sh",
    "create_tfrecords.sh",
    "tests/run.sh",
    ".ci/run",
    "tools/setup_venv.sh",
    "setup.cfg",
    "pyproject.toml",
]

PARALLEL = ["-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"]

# Stands for pip, ruff and pytest. Notes its arguments in calls.jsonl; FAIL=NAME:CODE makes it
# fail, HANG=NAME makes it wait for a signal.
STUB = """
import json, os, pathlib, signal, sys, time
if __name__ == "__main__":
    name, arguments = pathlib.Path(__file__).stem, sys.argv[1:]
    flags = dict(argument[2:].split("=", 1) for argument in arguments if "=" in argument)
    if name == "train" and "--print_run" in arguments:
        derived = flags.get("architecture", "").endswith(".json")
        print(flags.get("run") or "logs/" + ("derived" if derived else "search"))
        sys.exit()
    with open(os.environ["CALLS"], "a") as file:
        file.write(json.dumps([name, *arguments]) + chr(10))
    if os.environ.get("HANG") == name:
        def stop(number, frame):
            with open(os.environ["CALLS"], "a") as file:
                file.write(json.dumps(["signal", number]) + chr(10))
            time.sleep(0.2)
            sys.exit(5)
        signal.signal(signal.SIGINT, stop)
        signal.signal(signal.SIGTERM, stop)
        pathlib.Path(os.environ["CALLS"] + ".hangs").write_text(f"{os.getpid()}.")
        time.sleep(60)
    failing, _, code = os.environ.get("FAIL", "").partition(":")
    if failing == name:
        sys.exit(int(code))
    if name == "build_data":
        folder = pathlib.Path(flags.get("output_dir", "data/text"))
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "manifest.json").touch()
    if name == "train":
        derived = flags.get("architecture", "").endswith(".json")
        folder = pathlib.Path(flags.get("run") or "logs/" + ("derived" if derived else "search"))
        folder.mkdir(parents=True, exist_ok=True)
        objective = flags.get("objective", "causal_lm")
        (folder / "config.json").write_text(json.dumps({"objective": objective}))
    if name == "pip":
        time.sleep(float(os.environ.get("PIP_SECONDS", 0)))
    print("printed by", name)
"""

# Stands for python3: makes environments that hold the stubs instead of pip.
PYTHON = """#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then
  "{real}" -m venv --without-pip "$3" && for name in pip ruff pytest; do
    cp "{stub}" "$(echo "$3"/lib/python*/site-packages)/$name.py"
  done
else
  exec "{real}" "$@"
fi
"""


class Clone:
    """A copy of the project in a directory with a space in its name."""

    def __init__(self, folder: Path):
        self.root = folder / "a clone"
        self.calls_file = folder / "calls.jsonl"
        self.bin = folder / "bin"
        for name in COPIED:
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, self.root / name)
        shutil.copytree(ROOT / "tools" / "recipes", self.root / "tools" / "recipes")
        stub = folder / "stub.py"
        stub.write_text(STUB)
        for name in ("build_data", "train", "plot_pi", "derive", "evaluate", "report", "export"):
            shutil.copy(stub, self.root / "tools" / f"{name}.py")
        self.bin.mkdir()
        self.python = self.interpreter(
            "python3", PYTHON.format(real=os.path.realpath(sys.executable), stub=stub)
        )
        self.environment = {
            **os.environ,
            "PATH": f"{self.bin}:{os.environ['PATH']}",
            "CALLS": str(self.calls_file),
        }
        self.environment.pop("PYTHON", None)
        self.environment.pop("PAR_VENV", None)
        self.venv = self.root / ".venv"

    def interpreter(self, name: str, script: str) -> Path:
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)
        return self.bin / name

    def start(
        self, script: str, *arguments: str, cwd: Path | None = None, **environment: str
    ) -> subprocess.Popen:
        command = [str(self.root / script), *arguments]
        streams = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
        }
        return subprocess.Popen(
            command,
            cwd=cwd or self.root,
            env={**self.environment, **environment},
            text=True,
            **streams,
        )

    def run(
        self, script: str, *arguments: str, cwd: Path | None = None, **environment: str
    ) -> tuple[int, str, str]:
        process = self.start(script, *arguments, cwd=cwd, **environment)
        out, err = process.communicate(timeout=60)
        return process.returncode, out, err

    def calls(self, *names: str) -> list[list[str]]:
        """What was called since the last time, of the named stubs or of all."""
        found = (
            [json.loads(line) for line in self.calls_file.read_text().splitlines()]
            if self.calls_file.exists()
            else []
        )
        self.calls_file.unlink(missing_ok=True)
        return [call for call in found if not names or call[0] in names]

    def build(self, name: str) -> None:
        (self.root / "data" / name).mkdir(parents=True)
        (self.root / "data" / name / "manifest.json").touch()


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


def wait_until_it_hangs(clone: Clone) -> int:
    """Waits for the stub that HANG names; returns its process id."""
    hangs = Path(f"{clone.calls_file}.hangs")
    for _ in range(600):
        if hangs.exists() and hangs.read_text().endswith("."):
            pid = int(hangs.read_text()[:-1])
            hangs.unlink()
            return pid
        time.sleep(0.05)
    raise AssertionError("the step did not start")


# ---- the environment ----


def test_the_first_run_installs_and_the_second_does_not(clone: Clone) -> None:
    assert clone.run("create_tfrecords.sh")[0] == 0
    assert clone.calls("pip") == [
        ["pip", "install", "--quiet", "--disable-pip-version-check", "--no-compile", "-e", "."]
    ]
    assert clone.run("create_tfrecords.sh")[0] == 0
    assert list(clone.venv.rglob("__pycache__/ruff.*.pyc"))  # compiled afterwards, on all cores
    assert clone.calls("pip") == []


def test_an_interrupted_installation_is_made_anew(clone: Clone) -> None:
    process = clone.start("create_tfrecords.sh", HANG="pip")
    pip = wait_until_it_hangs(clone)
    (clone.venv / "half-made").touch()
    process.kill()
    os.kill(pip, signal.SIGKILL)
    process.communicate(timeout=20)
    assert clone.run("create_tfrecords.sh")[0] == 0
    assert not (clone.venv / "half-made").exists()


def test_a_signal_during_an_update_reaches_pip_and_leaves_nothing_that_looks_done(
    clone: Clone,
) -> None:
    assert clone.run("create_tfrecords.sh")[0] == 0
    with open(clone.root / "setup.cfg", "a") as file:
        file.write("\n")
    process = clone.start("base_model.sh", HANG="pip")
    wait_until_it_hangs(clone)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 5  # the stub's; pip itself dies of the signal
    assert clone.calls("signal") == [["signal", signal.SIGTERM]]
    assert not (clone.venv / ".installed").exists()


def test_a_failed_installation_says_so_and_is_tried_again(clone: Clone) -> None:
    code, _, err = clone.run("base_model.sh", FAIL="pip:2")
    assert code == 1
    assert err.splitlines()[-1].startswith("error: the installation failed")
    assert clone.run("base_model.sh")[0] == 0


def test_changed_dependencies_are_installed_over_the_environment_and_keep_the_test_extra(
    clone: Clone,
) -> None:
    assert clone.run("tests/run.sh")[0] == 0
    assert clone.calls("pip")[0][-1] == ".[test]"
    assert clone.run("create_tfrecords.sh")[0] == 0
    assert clone.calls("pip") == []
    (clone.venv / "kept").touch()
    with open(clone.root / "setup.cfg", "a") as file:
        file.write("\n")
    assert clone.run("create_tfrecords.sh")[0] == 0
    assert clone.calls("pip")[0][-1] == ".[test]"
    assert (clone.venv / "kept").exists()


def test_the_tests_add_their_extra_to_an_environment_without_it(clone: Clone) -> None:
    assert clone.run("create_tfrecords.sh")[0] == 0
    clone.calls()
    assert clone.run("tests/run.sh")[0] == 0
    assert [call[-1] for call in clone.calls("pip")] == [".[test]"]


def test_two_scripts_started_together_install_once(clone: Clone) -> None:
    both = [clone.start("create_tfrecords.sh", PIP_SECONDS="1") for _ in range(2)]
    errors = [process.communicate(timeout=60)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert len(clone.calls("pip")) == 1
    assert sum("waiting for another set-up" in err for err in errors) == 1


def test_a_moved_clone_is_installed_again(clone: Clone) -> None:
    assert clone.run("create_tfrecords.sh")[0] == 0
    clone.calls()
    clone.root = clone.root.rename(clone.root.parent / "another clone")
    assert clone.run("create_tfrecords.sh")[0] == 0
    assert len(clone.calls("pip")) == 1


def test_a_directory_that_is_no_environment_is_refused_and_left_alone(
    clone: Clone, tmp_path: Path
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    code, _, err = clone.run("base_model.sh", PAR_VENV="mine", cwd=tmp_path)
    assert code == 1
    assert (
        err.startswith(f"error: {tmp_path / 'mine'} was not made by this script")
        and err.count("\n") == 1
    )
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_an_environment_made_by_hand_is_used(clone: Clone) -> None:
    subprocess.run([clone.python, "-m", "venv", clone.venv], check=True)
    (clone.venv / "kept").touch()
    assert clone.run("create_tfrecords.sh")[0] == 0
    assert len(clone.calls("pip")) == 1
    assert (clone.venv / "kept").exists()


def test_interpreters_that_do_not_run_or_do_not_fit_are_passed_over(clone: Clone) -> None:
    clone.python.rename(clone.bin / "python3.12")
    clone.interpreter("python3", "#!/bin/sh\necho 3.8.10\n")  # what an old one answers
    clone.interpreter(
        "python3.13", "#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n"
    )
    code, _, err = clone.run("create_tfrecords.sh")
    assert code == 0
    assert "with python3.12 (" in err


def test_without_a_usable_interpreter_one_line_names_what_was_tried(clone: Clone) -> None:
    for name in ("python3", "python3.12", "python3.11"):
        clone.interpreter(name, "#!/bin/sh\necho 3.8.10\n")
    clone.interpreter("python3.13", "#!/bin/sh\nexit 127\n")
    code, out, err = clone.run("base_model.sh")
    tried = (
        "tried python3 (3.8.10), python3.13 (does not run), python3.12 (3.8.10), python3.11"
        " (3.8.10)"
    )
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert (
        err.startswith("error: no usable Python: CPython 3.11 to 3.13 with venv is needed; ")
        and tried in err
    )


def test_a_python_without_its_venv_package_is_named_with_the_remedy(
    clone: Clone, tmp_path: Path
) -> None:
    # as on Debian without python3-venv
    (tmp_path / "ensurepip.py").write_text("raise ImportError\n")
    code, _, err = clone.run("base_model.sh", PYTHON=str(clone.python), PYTHONPATH=str(tmp_path))
    assert (code, err.count("\n")) == (1, 1)
    assert "without venv: on Debian and Ubuntu run apt-get install python3." in err


def test_a_python_without_sqlite_is_not_used(clone: Clone, tmp_path: Path) -> None:
    (tmp_path / "sqlite3.py").write_text("raise ImportError\n")
    code, _, err = clone.run("base_model.sh", PYTHON=str(clone.python), PYTHONPATH=str(tmp_path))
    assert (code, err.count("\n")) == (1, 1) and " without sqlite3); install one" in err


def test_a_named_interpreter_is_the_only_one_tried(clone: Clone) -> None:
    code, _, err = clone.run("base_model.sh", PYTHON="no-such-python")
    assert (code, err.count("\n")) == (1, 1)
    assert "tried no-such-python (not found);" in err


# ---- base_model.sh ----


def test_with_nothing_at_hand_every_step_runs_on_the_embedded_corpus(
    clone: Clone, tmp_path: Path
) -> None:
    code, out, err = clone.run("base_model.sh", "--epochs=2", "--num_blocks", "4", cwd=tmp_path)
    assert code == 0, err
    given = ["--recipe=quick", "--data=data/python-docs", "--epochs=2"]
    assert clone.calls()[1:] == [
        ["build_data", "--corpus=python-docs", "--recipe=quick", "--output_dir=data/python-docs"],
        ["train", *given, "--num_blocks=4"],
        ["plot_pi", "--run=logs/search"],
        ["derive", "--run=logs/search"],
        ["train", *given, "--architecture=logs/search/architecture.json"],
        [
            "evaluate",
            "--run=logs/search",
            "--run=logs/derived",
            "--split=valid",
            "--split=test",
            "--show_history",
        ],
        ["report", "--run=logs/search"],
        ["report", "--run=logs/derived"],
        [
            "export",
            "--run=logs/derived",
            "--format=page",
            "--output=logs/derived-page",
            "--overwrite",
        ],
    ]
    assert (clone.root / "data" / "python-docs" / "manifest.json").exists()
    last = [
        "printed by derive",
        "printed by evaluate",
        "printed by plot_pi",
        *["printed by report"] * 2,
        "search   logs/search",
        "derived  logs/derived",
        "page     logs/derived-page/index.html continues a text in your browser",
    ]
    assert [line for line in out.splitlines() if line][-8:] == last
    assert clone.run("base_model.sh", cwd=tmp_path)[0] == 0
    assert [call[0] for call in clone.calls()] == [
        "train",
        "plot_pi",
        "derive",
        "train",
        "evaluate",
        "report",
        "report",
        "export",
    ]


def test_a_page_that_writes_is_made_of_a_network_that_predicts_the_next_token(
    clone: Clone,
) -> None:
    code, out, err = clone.run("base_model.sh", "--objective=masked_lm")
    assert code == 0, err
    assert "page " not in out
    assert [call[0] for call in clone.calls()][-2:] == ["report", "report"]


@pytest.mark.quick(3)
@pytest.mark.parametrize(
    "built, arguments, built_now, trained",
    [
        (["wikitext-2-small"], [], [], ["quick", "data/wikitext-2-small"]),
        (["wikitext-2-small", "wikitext-2"], [], [], ["base", "data/wikitext-2"]),
        (["wikitext-2"], ["--recipe=seed"], [], ["seed", "data/wikitext-2"]),
        (
            ["wikitext-2"],
            ["--recipe", "quick"],
            ["data/wikitext-2-quick"],
            ["quick", "data/wikitext-2-quick"],
        ),
        ([], ["--recipe=base"], ["data/python-docs-base"], ["base", "data/python-docs-base"]),
        (["wikitext-2", "mine"], ["--data=data/mine"], [], ["auto", "data/mine"]),
        (["python-docs"], ["--data=data/python-docs"], [], ["quick", "data/python-docs"]),
        (["mine"], ["--data=data/mine", "--recipe=quick"], [], ["quick", "data/mine"]),
    ],
)
def test_data_and_recipe_are_chosen_as_the_help_says(
    clone: Clone, built: list, arguments: list, built_now: list, trained: list
) -> None:
    for name in built:
        clone.build(name)
    code, _, err = clone.run("base_model.sh", *arguments)
    assert code == 0, err
    calls = clone.calls("build_data", "train")
    assert [call[-1] for call in calls if call[0] == "build_data"] == [
        f"--output_dir={name}" for name in built_now
    ]
    assert calls[-1][1:3] == [f"--recipe={trained[0]}", f"--data={trained[1]}"]


def test_paths_are_those_of_the_callers_directory(clone: Clone, tmp_path: Path) -> None:
    (tmp_path / "my data").mkdir()
    (tmp_path / "my.flags").touch()
    assert (
        clone.run(
            "base_model.sh", "--data=my data", "--recipe=my.flags", "--run=out", cwd=tmp_path
        )[0]
        == 0
    )
    search, derived = clone.calls("train")
    given = [f"--recipe={tmp_path}/my.flags", f"--data={tmp_path}/my data"]
    assert search[1:] == [*given, f"--run={tmp_path}/out"]
    assert derived[1:] == [
        *given,
        f"--architecture={tmp_path}/out/architecture.json",
        f"--run={tmp_path}/out-derived",
    ]


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    "step, code",
    [
        ("build_data", 3),
        ("train", 4),
        ("derive", 1),
        ("plot_pi", 6),
        ("evaluate", 3),
        ("report", 3),
        ("export", 6),
    ],
)
def test_a_failing_step_ends_the_script_with_its_code(clone: Clone, step: str, code: int) -> None:
    assert clone.run("base_model.sh", FAIL=f"{step}:{code}")[0] == code
    assert clone.calls()[-1][0] == step


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_goes_to_the_step_once_and_ends_the_script_with_its_code(
    clone: Clone, number: signal.Signals
) -> None:
    process = clone.start("base_model.sh", HANG="train")
    wait_until_it_hangs(clone)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 5, err
    assert clone.calls()[-2:] == [
        ["train", "--recipe=quick", "--data=data/python-docs"],
        ["signal", number],
    ]
    assert "Traceback" not in err


def test_a_dry_run_stops_after_the_search_was_described(clone: Clone) -> None:
    assert clone.run("base_model.sh", "--dry_run")[0] == 0
    assert [call[0] for call in clone.calls("train", "derive")] == ["train"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ["--recipe=fast"],
            (
                "error: --recipe=fast does not exist: choose one of base quick seed, or the path"
                " of a .flags file"
            ),
        ),
        (
            ["--architecture=adadad"],
            (
                "error: adadad has no stochastic block (s), so there is nothing to search: train"
                " it with tools/train.py"
            ),
        ),
        (
            ["--architecture=a.json"],
            (
                "error: a.json holds fixed blocks, so there is nothing to search: train it with"
                " tools/train.py"
            ),
        ),
        (["--data"], "error: --data needs a value: --data=VALUE; see --help"),
    ],
)
def test_a_wrong_flag_is_refused_in_one_line_before_anything_is_set_up(
    clone: Clone, arguments: list[str], message: str
) -> None:
    assert clone.run("base_model.sh", *arguments) == (1, "", message + "\n")
    assert not clone.venv.exists()


@pytest.mark.parametrize("script", ["base_model.sh", "create_tfrecords.sh", "tests/run.sh"])
def test_help_exits_0_and_sets_nothing_up(clone: Clone, script: str) -> None:
    code, out, err = clone.run(script, "--help")
    assert (code, err) == (0, "")
    assert out.startswith("usage: ") and script in out.splitlines()[0]
    assert not clone.venv.exists()


# ---- create_tfrecords.sh, tests/run.sh ----


def test_create_tfrecords_builds_where_base_model_looks(clone: Clone, tmp_path: Path) -> None:
    named = ["--recipe=base", "--output_dir=data/wikitext-2", "--corpus=wikitext-2"]
    for arguments, expected in [
        ([], named),
        (
            ["--corpus=wikitext-2-small"],
            ["--recipe=quick", "--output_dir=data/wikitext-2-small", "--corpus=wikitext-2-small"],
        ),
        (
            ["--corpus=wikitext-103"],
            ["--recipe=base", "--output_dir=data/wikitext-103", "--corpus=wikitext-103"],
        ),
        (
            ["--mirror=http://a/b", "--mirror", "file:///c d"],
            [
                "--recipe=base",
                "--output_dir=data/wikitext-2",
                "--corpus=wikitext-2",
                "--mirror=http://a/b",
                "--mirror",
                "file:///c d",
            ],
        ),
        (
            ["--corpus=python-docs", "--shards=2"],
            [
                "--recipe=quick",
                "--output_dir=data/python-docs",
                "--corpus=python-docs",
                "--shards=2",
            ],
        ),
        (
            ["--corpus", "wikitext-2", "--recipe=quick"],
            ["--recipe=quick", "--output_dir=data/wikitext-2-quick", "--corpus=wikitext-2"],
        ),
        (
            ["--model_type=word"],
            [
                "--recipe=base",
                "--output_dir=data/wikitext-2-word",
                "--corpus=wikitext-2",
                "--model_type=word",
            ],
        ),
        (["--input_text=x.txt"], ["--recipe=auto", f"--input_text={tmp_path}/x.txt"]),
        (
            ["--input_documents", "x.jsonl", "--split_by=author"],
            ["--recipe=auto", f"--input_documents={tmp_path}/x.jsonl", "--split_by=author"],
        ),
        (
            ["--corpus=debian-changelogs"],
            [
                "--recipe=auto",
                "--output_dir=data/debian-changelogs",
                "--corpus=debian-changelogs",
            ],
        ),
        (
            ["--input_text=a b", "--output_dir=c"],
            ["--recipe=auto", f"--output_dir={tmp_path}/c", f"--input_text={tmp_path}/a b"],
        ),
        (
            ["--input_text=x", "--tokenizer_model=m"],
            ["--recipe=auto", f"--input_text={tmp_path}/x", f"--tokenizer_model={tmp_path}/m"],
        ),
        (
            ["--corpus=wikitext-2", "--verify=a b", "--flagfile=c"],
            [*named, f"--verify={tmp_path}/a b", f"--flagfile={tmp_path}/c"],
        ),
        (["--verify", "a b"], [*named, f"--verify={tmp_path}/a b"]),
        (["--verify=/a/b"], [*named, "--verify=/a/b"]),
    ]:
        assert clone.run("create_tfrecords.sh", *arguments, cwd=tmp_path)[0] == 0
        assert clone.calls("build_data") == [["build_data", *expected]]
    assert clone.run("create_tfrecords.sh", FAIL="build_data:3")[0] == 3


def test_run_sh_leaves_slow_tests_out_unless_all_are_wanted(clone: Clone) -> None:
    assert clone.run("tests/run.sh", "-k", "two words")[0] == 0
    assert clone.calls("ruff", "pytest") == [
        ["ruff", "check", "."],
        ["ruff", "format", "--check", "."],
        ["pytest", *PARALLEL, "-m", "not slow", "-k", "two words"],
    ]
    assert clone.run("tests/run.sh", "-x", "--all")[0] == 0
    assert clone.calls("pytest") == [["pytest", *PARALLEL, "-x"]]
    assert clone.run("tests/run.sh", "--pdb")[0] == 0  # a debugger wants one process
    assert clone.calls("pytest") == [["pytest", "-m", "not slow", "--pdb"]]


def test_run_sh_fails_if_the_lint_or_any_test_fails_or_no_test_ran(clone: Clone) -> None:
    assert clone.run("tests/run.sh", FAIL="ruff:1")[0] == 1
    assert len(clone.calls("pytest")) == 1
    assert clone.run("tests/run.sh", FAIL="pytest:1")[0] == 1
    assert clone.run("tests/run.sh", FAIL="pytest:5")[0] == 5


def test_ci_installs_a_browser_where_there_is_none_and_runs_all_tests_even_if_that_fails(
    clone: Clone, tmp_path: Path
) -> None:
    without = tmp_path / "without"  # the system's commands, but for a browser
    without.mkdir()
    for path in Path("/usr/bin").iterdir():
        if not path.name.startswith("chrom"):
            (without / path.name).symlink_to(path)
    clone.interpreter("apt-get", '#!/bin/sh\necho "$@" >>"$CALLS.apt"\nexit "${APT:-0}"\n')
    clone.interpreter("id", "#!/bin/sh\necho 0\n")
    called, place = Path(f"{clone.calls_file}.apt"), f"{clone.bin}:{without}"
    code, _, err = clone.run(".ci/run", PATH=place)
    assert (code, "Chromium" in err) == (0, False), err
    assert called.read_text().splitlines() == [
        "-qq update",
        "-qq -y install --no-install-recommends chromium chromium-driver",
    ]
    assert clone.calls("pytest") == [["pytest", *PARALLEL]]
    code, _, err = clone.run(".ci/run", PATH=place, APT="100")
    assert (code, err.count("Chromium could not be installed")) == (0, 1) and clone.calls(
        "pytest"
    ) == [["pytest", *PARALLEL]]
    called.unlink()
    clone.interpreter("chromedriver", "#!/bin/sh\n")
    assert clone.run(".ci/run", PATH=place)[0] == 0 and not called.exists()
