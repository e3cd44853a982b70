"""What is installed, and what the project's files say about it."""

from __future__ import annotations

import ast
import configparser
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

import par
from par.core import config
from par.tools.cli.flags import Flags
from par.tools.cli.recipes import expand_recipe, recipe_lines
from project import ROOT, TOOLS, tracked_files, without

SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")
SCRIPTS = ["base_model.sh", "create_tfrecords.sh", "tests/run.sh", ".ci/run"]
RECIPES = sorted((ROOT / "tools" / "recipes").glob("*.flags"))
DISTRIBUTIONS = {
    "absl": "absl-py",
    "google": "protobuf",
    "PIL": "pillow",
    "tensorflow_text": "tensorflow-text",
    "apache_beam": "apache-beam",
    "sklearn": "scikit-learn",
    "ai_edge_litert": "ai-edge-litert",
}  # where the import has another name


# what is never imported need not be compiled, as most of TensorFlow is not
PIP_INSTALL = ("-m", "pip", "install", "--quiet", "--no-compile")


def requirements(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def test_every_dependency_has_both_bounds() -> None:
    listed = requirements(SETUP["options"]["install_requires"])
    for extra in SETUP["options.extras_require"].values():
        listed += requirements(extra)
    assert len(listed) > 10
    assert [
        line
        for line in listed
        if not re.fullmatch(r"[a-z0-9-]+(\[[a-z-]+\])?>=[\d.]+,<[\d.]+", line)
    ] == []


def test_the_names_of_extras_are_normalised_as_every_pip_finds_them() -> None:
    assert [
        name for name in SETUP["options.extras_require"] if not re.fullmatch("[a-z-]+", name)
    ] == []


def test_every_import_of_the_library_and_the_tools_is_a_declared_dependency() -> None:
    found = set()
    for path in [*ROOT.glob("par/**/*.py"), *ROOT.glob("tools/**/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module] if isinstance(node, ast.ImportFrom) and not node.level else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            found |= {name.split(".")[0] for name in names}
    extras = SETUP["options.extras_require"]
    # those are imported only where they were asked for
    asked = [extras[name] for name in ("beam", "syne-tune", "probe", "onnx", "litert")]
    lists = [SETUP["options"]["install_requires"], *asked]
    declared = {re.match(r"[a-z0-9-]+", line).group() for line in requirements("\n".join(lists))}
    # what exports take along imports each other as it lies there: onnx_step.py as step
    shipped = (ROOT / "par" / "export" / "shipped").glob("*.py")
    own = {"par", *(path.stem.rpartition("_")[2] for path in shipped)}
    foreign = {DISTRIBUTIONS.get(name, name) for name in found - sys.stdlib_module_names - own}
    assert foreign - declared == set()


def test_version_and_licence_are_the_same_everywhere() -> None:
    citation = dict(
        re.findall(
            r"^(version|license): (\S+)$",
            (ROOT / "CITATION.cff").read_text(encoding="utf-8"),
            re.MULTILINE,
        )
    )
    newest = re.search(
        r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    ).group(1)
    assert par.__version__ == newest == citation["version"]
    assert SETUP["metadata"]["license"] == citation["license"] == "Apache-2.0"
    assert "Apache License\n                           Version 2.0" in (
        ROOT / "LICENSE"
    ).read_text(encoding="utf-8")


def test_the_scripts_look_for_the_interpreters_that_the_package_takes() -> None:
    assert SETUP["options"]["python_requires"] == ">=3.11,<3.14"
    script = (ROOT / "tools" / "setup_venv.sh").read_text(encoding="utf-8")
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in script
    assert "python3 python3.13 python3.12 python3.11;" in script
    assert re.findall(r"Python :: (3\.\d+)$", SETUP["metadata"]["classifiers"], re.MULTILINE) == [
        "3.11",
        "3.12",
        "3.13",
    ]


def test_every_package_is_listed() -> None:
    on_disk = {
        ".".join(path.parent.relative_to(ROOT).parts) for path in ROOT.glob("par/**/__init__.py")
    }
    assert set(requirements(SETUP["options"]["packages"])) == on_disk | {
        "par.tools",
        "par.tools.benchmarks",
        "par.tools.cli",
        "par.tools.comparisons",
        "par.tools.derivations",
        "par.tools.evaluations",
        "par.tools.experiments",
    }


def test_every_tool_has_a_console_script_and_the_reverse() -> None:
    scripts = dict(
        line.split(" = ")
        for line in requirements(SETUP["options.entry_points"]["console_scripts"])
    )
    assert scripts == {f"par-{name}": f"par.tools.{name}:main" for name in TOOLS}


@pytest.mark.parametrize("name", [*SCRIPTS, "tools/setup_venv.sh"])
def test_shell_scripts_parse(name: str) -> None:
    done = subprocess.run(["bash", "-n", str(ROOT / name)], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", SCRIPTS)
def test_shell_scripts_can_be_executed(name: str) -> None:
    assert os.access(ROOT / name, os.X_OK)
    assert (ROOT / name).read_bytes().startswith(b"#!/usr/bin/env bash\n")


def test_no_file_names_a_path_or_a_registry_of_the_machine_it_was_written_on() -> None:
    told = re.compile(
        r"(?<![\w.-])/(?:work|root|farm|home)/|(?:pypi|pythonhosted|npmjs|debian)\.(?:org|net|com)"
    )
    assert told.search('open("/' + 'home/someone")') and told.search(
        "https://pypi" + ".org/simple"
    )
    found = []
    for path in tracked_files():
        content = path.read_bytes()
        if b"\0" not in content:  # pictures and the like apart
            lines = content.decode("utf-8", "replace").splitlines()
            found += [
                f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
                for number, line in enumerate(lines, 1)
                if told.search(line)
            ]
    assert found == []


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_read_alike_as_recipe_and_as_flagfile(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")
    read = []
    for option in (f"--recipe={path.stem}", f"--flagfile={path}"):
        data = (
            Flags("build_data")
            .group(config.DataConfig, "data")
            .own("own", (flags.DEFINE_string, "recipe", None, ""))
        )
        train = Flags("train").own(
            "own",
            (flags.DEFINE_string, "recipe", None, ""),
            (flags.DEFINE_integer, "num_blocks", None, ""),
        )
        groups = (config.ModelConfig, config.SearchConfig, config.TrainingConfig)
        for group in groups:
            train.group(group, "settings")
        for values in (data, train):
            values(
                [
                    "tool",
                    *expand_recipe(
                        ["--corpus=python-docs", option] if values is data else [option], values
                    ),
                ]
            )
        read.append([data.read(config.DataConfig), *map(train.read, groups), train.num_blocks])
    assert read[0] == read[1]
    assert read[0][-1] == 6


def test_seed_and_base_make_the_same_data_so_that_they_can_share_it() -> None:
    settings = {field.name for field, _ in config.fields(config.DataConfig)}
    base, seed = (
        [line for line in recipe_lines(name) if line[2:].split("=")[0] in settings]
        for name in ("base", "seed")
    )
    assert base == seed != []


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment into which the files of the clone were installed by `pip install DIR`; its
    bin directory."""
    folder = tmp_path_factory.mktemp("installed")
    source = folder / "a copy"  # a build leaves its litter there
    for path in tracked_files():
        target = source / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    python = folder / "venv" / "bin" / "python"
    for command in (
        [sys.executable, "-m", "venv", str(folder / "venv")],
        [str(python), *PIP_INSTALL, str(source)],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return python.parent


@pytest.mark.slow
def test_an_installed_package_works_outside_the_clone(installed: Path, tmp_path: Path) -> None:
    def call(name: str, *arguments: str) -> subprocess.CompletedProcess:
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("PYTHON")
        }
        return subprocess.run(
            [installed / name, *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
        )

    version = call("python", "-c", "import par; print(par.__version__, par.__file__)")
    assert version.stdout.startswith(f"{par.__version__} {installed.parent}")
    for name in TOOLS:
        done = call(f"par-{name}", "--help")
        assert (done.returncode, done.stderr) == (0, ""), name
        assert "--" in done.stdout
        assert call(f"par-{name}", "--no_such_flag=1").returncode == 1
    unknown = call("par-train", "--recipe=nowhere", "--data=nowhere")
    assert unknown.returncode == 1
    assert ", ".join(path.stem for path in RECIPES) in unknown.stderr
    # only as par.tools
    assert list(installed.parent.glob("lib/python*/site-packages/tools")) == []
    report = next(installed.parent.glob("lib/python*/site-packages/par/report"))
    assert {path.suffix for path in report.glob("page.*")} == {".py", ".css", ".js"}
    for below in ("report/templates", "export/templates", "export/page", "core"):
        there, here = (
            {path.name for path in (root / below).iterdir() if path.suffix not in (".py", "")}
            for root in (report.parent, ROOT / "par")
        )
        assert there == here, below


@pytest.mark.slow
@pytest.mark.parametrize(
    ("packages", "tests"),
    [
        (["{source}[test,beam]"], "tests/data/beam/test_engine.py"),
        (
            ["{source}[test,syne-tune]", "syne-tune", "fastparquet", "huggingface_hub"],
            "tests/export/test_syne_tune.py",
        ),
    ],
    ids=["a build on Apache Beam", "a black box that Syne Tune reads"],
)
def test_an_extra_installs_what_its_tests_need(
    installed: Path, packages: list[str], tests: str
) -> None:
    source = installed.parent.parent / "a copy"
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    given = [each.format(source=source) for each in packages]
    for command in (["python", *PIP_INSTALL, *given], ["pytest", tests]):
        done = subprocess.run(
            [installed / command[0], *command[1:]],
            cwd=source,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-9000:] + done.stderr
    assert re.search(r"\[100%\]", done.stdout) and "skipped" not in done.stdout


def test_without_apache_beam_the_command_says_how_to_install_it() -> None:
    done = without("apache_beam", "build_data", "--input_text=x", "--runner=beam")
    said = (
        "error: --runner=beam needs Apache Beam, which is not installed: pip install"
        ' "par-transformer-xl[beam]"\n'
    )
    assert done == (1, "", said)
