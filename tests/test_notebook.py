"""colab.ipynb: it runs from its first cell to its last, and again; its file is clean; and what its
cells share with no command."""

from __future__ import annotations

import ast
import contextlib
import copy
import importlib.metadata
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import numpy as np
import pytest

from par import notebook
from project import ROOT, TOOLS, tracked_files
from small import small_data

PATH = ROOT / "colab.ipynb"
SMALL = {
    "NUM_BLOCKS": 2,
    "EPOCHS": 1,
    "MORE_FLAGS": (
        "--d_model=16 --num_heads=2 --d_ffn=16 --mem_len=8 --max_lr=5e-3 --record_every=50"
    ),
}


def cells(kind: str) -> dict[str, str]:
    """The sources of the notebook's cells of a kind, by their ids."""
    return {
        cell["id"]: cell["source"]
        for cell in nbformat.read(PATH, as_version=4).cells
        if cell.cell_type == kind
    }


def tree(source: str) -> ast.Module:
    """A cell without IPython's magics."""
    return ast.parse(re.sub(r"^(\s*)%.*$", r"\1pass", source, flags=re.MULTILINE))


# ---- the file ----


def test_the_file_is_a_valid_notebook_without_outputs_counts_or_traces_of_a_machine():
    raw = json.loads(PATH.read_text(encoding="utf-8"))
    nbformat.validate(raw)
    assert (
        set(raw["metadata"]) == {"colab", "kernelspec", "language_info"}
        and raw["metadata"]["kernelspec"]["name"] == "python3"
    )
    code = [cell for cell in raw["cells"] if cell["cell_type"] == "code"]
    assert len(code) > 10 and all(
        cell["outputs"] == [] and cell["execution_count"] is None for cell in code
    )
    assert all(cell["metadata"] == {} for cell in raw["cells"]) and len(
        {cell["id"] for cell in raw["cells"]}
    ) == len(raw["cells"])
    # as Jupyter writes it: differences stay small
    assert PATH.read_text(encoding="utf-8") == json.dumps(raw, indent=1, ensure_ascii=False) + "\n"


def test_cells_are_short():
    assert all(source.count("\n") < 24 for source in cells("code").values())


def flags_of(node: ast.AST) -> set[str]:
    """The names of all flags that stand in strings below a node."""
    texts = [
        value.value
        for value in ast.walk(node)
        if isinstance(value, ast.Constant) and isinstance(value.value, str)
    ]
    return {match[1] for text in texts if (match := re.match(r"--(\w+)", text))}


def known_flags(name: str) -> set[str]:
    """All that a command's --help tells."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        importlib.import_module(f"par.tools.{name}").main(["--help"])
    return set(re.findall(r"^  --(?:\[no\])?(\w+)", text.getvalue(), re.MULTILINE))


def test_every_command_of_the_cells_exists_and_has_its_flags():
    called = set()
    for source in cells("code").values():
        found = tree(source)
        for node in ast.walk(found):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "notebook.run_tool":
                name = node.args[0].value
                called.add(name)
                assert name in TOOLS and flags_of(node) <= known_flags(name), (
                    name,
                    flags_of(node) - known_flags(name),
                )
            elif isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "").endswith(
                ("settings", "_flags")
            ):
                assert flags_of(node) <= known_flags("train"), flags_of(node) - known_flags(
                    "train"
                )
    assert called == {"train", "plot_pi", "derive", "plot_network", "evaluate", "generate"}


def test_every_command_and_flag_that_the_text_tells_exists():
    told = "\n".join(cells("markdown").values())
    every = set().union(*map(known_flags, TOOLS))
    assert (
        len(set(re.findall(r"--(\w+)", told))) > 5 and set(re.findall(r"--(\w+)", told)) <= every
    )
    assert set(re.findall(r"tools/(\w+)\.py", told)) <= set(TOOLS)
    assert all((ROOT / name).exists() for name in re.findall(r"[\w/-]+\.md", told))
    for name in re.findall(r"`([A-Z_]+)", told):
        assert any(
            re.search(rf"^{name} = ", source, re.MULTILINE) for source in cells("code").values()
        ), name


# ---- what the cells share ----


def test_a_package_that_was_replaced_while_it_was_loaded_is_named_with_both_versions(monkeypatch):
    for module in notebook.LOADED:
        importlib.import_module(module)
    assert notebook.outdated_packages() == []
    monkeypatch.setattr(np, "__version__", "1.2.3")
    assert notebook.outdated_packages() == [
        f"numpy 1.2.3 is loaded, but {importlib.metadata.version('numpy')} is installed"
    ]
    with pytest.raises(
        notebook.Stop,
        match=(
            r"numpy 1\.2\.3 is loaded, .*: choose Runtime > Restart session, then run all cells"
            r" again"
        ),
    ):
        notebook.install()


def test_a_command_is_shown_with_what_it_prints_and_its_failure_stops_in_one_line(capfd):
    with pytest.raises(
        notebook.Stop, match="derive ended with exit code 3, for the reason above"
    ) as caught:
        notebook.run_tool("derive", "--run=no where")
    out, err = capfd.readouterr()
    shown, error = out.splitlines()
    assert (
        shown == "$ python tools/derive.py '--run=no where'"
        and error.startswith("error: --run=no where has no config.json")
        and not err
    )
    assert caught.value.code == 3 and caught.value._render_traceback_() == [
        "stopped: derive ended with exit code 3, for the reason above"
    ]


def test_a_run_that_flags_can_not_name_stops_with_what_train_says():
    with pytest.raises(notebook.Stop, match="error: --data=DIR is required"):
        notebook.run_directory("--recipe=quick")


def test_a_text_that_does_not_exist_is_not_replaced_by_another(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(notebook.Stop, match="build_data ended with exit code 3"):
        notebook.build("mine.txt")
    assert "python-docs" not in capfd.readouterr().out and not list(
        tmp_path.rglob("manifest.json")
    )


@pytest.mark.slow
def test_an_interrupted_cell_lets_training_save(tmp_path):
    small_data(tmp_path / "data")
    flags = [
        f"--data={tmp_path / 'data'}",
        f"--run={tmp_path / 'run'}",
        "--epochs=5000",
        "--record_every=10",
        "--sample_length=0",
    ]
    flags += ["--architecture=d", "--d_model=4", "--num_heads=1", "--d_ffn=4"]
    program = (
        f"from par import notebook\ntry:\n    notebook.run_tool('train', *{flags!r})\nexcept"
        " notebook.Stop as stop:\n    print(stop)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    for _ in range(1200):
        if (tmp_path / "run" / "history.jsonl").exists():
            break
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGINT)  # as Jupyter interrupts a kernel
    out, _ = process.communicate(timeout=60)
    assert (
        out.endswith("train ended with exit code 5, for the reason above\n")
        and "Traceback" not in out
    )
    assert list((tmp_path / "run" / "checkpoints").glob("ckpt-*.index"))


# ---- all of it ----


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the project, without a network; the TensorBoard that the notebook starts is
    ended."""
    for path in tracked_files():
        target = tmp_path / "a copy" / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (tmp_path / "temporary").mkdir()
    nowhere = "http://127.0.0.1:9"  # the port of the protocol that discards: nobody listens
    for name, value in {
        "https_proxy": nowhere,
        "http_proxy": nowhere,
        "no_proxy": "localhost,127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)  # of both spellings this one counts
        monkeypatch.setenv(name.upper(), value)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    yield tmp_path / "a copy"
    for path in (tmp_path / "temporary" / ".tensorboard-info").glob("pid-*.info"):
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            os.kill(json.loads(path.read_text())["pid"], signal.SIGTERM)


def executed(folder: Path, last: str | None = None, **settings: Any) -> dict[str, list[Any]]:
    """The outputs of the cells, by id, after all of them or those up to `last` ran in a kernel of
    their own, with these settings."""
    book = copy.deepcopy(nbformat.read(PATH, as_version=4))
    (first,) = (cell for cell in book.cells if cell.id == "settings")
    for name, value in settings.items():
        first.source, count = re.subn(
            rf"^{name} = .*$",
            f"{name} = {value!r}".replace("\\", r"\\"),
            first.source,
            flags=re.MULTILINE,
        )
        assert count == 1, name
    names = [cell.id for cell in book.cells]
    book.cells = book.cells[: names.index(last) + 1] if last else book.cells
    nbclient.NotebookClient(
        book, timeout=400, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    return {cell.id: cell.outputs for cell in book.cells if cell.cell_type == "code"}


def printed(outputs: list[Any]) -> str:
    return "".join(output.text for output in outputs if output.output_type == "stream")


def shown(outputs: list[Any], kind: str) -> list[Any]:
    """What was displayed of a MIME type."""
    return [
        output.data[kind]
        for output in outputs
        if output.output_type in ("display_data", "execute_result") and kind in output.data
    ]


@pytest.mark.slow
def test_all_cells_run_without_a_network_and_run_again_they_train_nothing_twice(place):
    found = executed(place, **SMALL)
    everything = "".join(map(printed, found.values()))
    assert "Traceback" not in everything and not [
        output for outputs in found.values() for output in outputs if output.output_type == "error"
    ]
    assert re.search("wikitext-2-small .* with python-docs", printed(found["data"]))
    assert shown(found["tensorboard"], "text/html") and "ERROR" not in str(found["tensorboard"])
    assert (
        len(shown(found["pi"], "image/gif")) == 1 and len(shown(found["derive"], "image/png")) == 1
    )
    (blocks,) = re.findall(r"^architecture: (\w+) ", printed(found["derive"]), re.MULTILINE)
    networks = [
        line.split("  ")[0].strip()
        for line in printed(found["compare"]).splitlines()
        if " valid " in line
    ]
    assert networks[:2] == ["ss soft", "ss argmax"] and {blocks, "ad", "Kneser-Ney"} == {
        name.split()[0] for name in networks[2:]
    }
    # what follows depends on CPython's texts and the CPU
    assert re.search(r"^The first.{20}", printed(found["generate"]), re.MULTILINE | re.DOTALL)
    assert shown(found["load"], "text/plain")[0].startswith("array([[0.")
    (text,) = shown(found["surprise"], "text/html")
    assert text.count("<span title=") > 20
    assert len(shown(found["attention"], "image/png")) == 1
    assert len(re.findall(r" \d\.\d\d", printed(found["nearest"]))) == 5 * 6
    again = executed(place, last="train", **SMALL | {"TENSORBOARD": False})
    done = re.findall(
        r"^(already )?done: \d+ steps",
        printed(again["search"]) + printed(again["train"]),
        re.MULTILINE,
    )
    assert done == ["already "] * 3 and "is there already" in printed(again["data"])


@pytest.mark.slow
def test_a_notebook_away_from_the_project_says_what_to_do(tmp_path):
    with pytest.raises(
        nbclient.exceptions.CellExecutionError, match="fill in REPOSITORY, or upload"
    ):
        executed(tmp_path, last="install")
