"""The library is layered: imports only go upward in LAYERS; what can do without TensorFlow does, and so does every command until it works."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LAYERS = (
    "errors files fields progress apart config promise architecture live cluster rendezvous",
    "download archive corpus corpora model_proto tokenizer sharding encoding batching manifest record_file records build",
    "beam_files beam_work beam_run beam_build data_speed cutoffs",
    "replicas workers initial phase sampling products positions attention blocks adaptive_softmax gumbel supernet recompute transformer objectives",
    "optimizers schedules bilevel metrics neighbours cost growth scaling latency latency_penalty",
    "runs origin reading context derive budget history seeds opponents student compare plan findings truth guard "
    "pictures heat_map pi_pictures consensus_picture network_picture attention_picture markup shown_text plots front notebook",
    "checkpoints learner loading inherit estimators evaluation decoding model softmax_timing timing memory",
    "scaling_timing latency_timing board logs samples training comparison",
    "graph_tokenizer model_card export report_page report_run report_search report_network report_comparison report_setup report",
)
ORDER = " ".join(LAYERS).split()
# Of the second and of later layers, whose others need TensorFlow.
LIGHT = "download archive corpus corpora sharding batching manifest cutoffs metrics neighbours cost growth scaling latency model_card "
LIGHT += "report_page report_run report_search report_network report_comparison report_setup report"
WITHOUT_TENSORFLOW = " ".join((LAYERS[0], LIGHT, LAYERS[5])).split()
MODULES = sorted(path for path in (ROOT / "par").rglob("*.py") if path != ROOT / "par" / "__init__.py")
TOOLS = sorted(path for path in (ROOT / "tools").glob("*.py") if path.stem not in ("__init__", "common"))


def imported(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it; `from par import x` counts as par.x."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} line {node.lineno}: write imports in full"
            found |= {f"{node.module}.{alias.name}" for alias in node.names} if node.module == "par" else {node.module}
    return found


def layer(path: Path) -> str:
    """`attention` for par/attention.py, `objectives` for par/objectives/causal_lm.py."""
    return path.relative_to(ROOT / "par").parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_only_go_upward(path):
    assert layer(path) in ORDER, f"par/{layer(path)} has no place in LAYERS: give it one"
    mine = ORDER.index(layer(path))
    for name in sorted(imported(path)):
        if name.startswith("par."):
            other = name.split(".")[1]
            inside = other == layer(path) == "objectives"
            assert other == "__version__" or inside or other in ORDER, f"{path.name} imports {name}, which has no place in LAYERS"
            assert other == "__version__" or inside or ORDER.index(other) < mine, f"{path.name} imports {name}, which lies below it"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_defines_no_flags_and_knows_no_tool(path):
    assert not {name for name in imported(path) if name.split(".")[0] == "absl" or name.startswith("par.tools")}


def test_no_module_but_common_is_shared_by_the_tools():
    for path in TOOLS:
        assert {name for name in imported(path) if name.startswith(("par.tools", "tools"))} <= {"par.tools"}, path.name


def test_what_can_do_without_tensorflow_does():
    present = [name for name in WITHOUT_TENSORFLOW if (ROOT / "par" / f"{name}.py").is_file()]
    program = "import importlib, sys, par\nfor name in sys.argv[1].split(','):\n    importlib.import_module(f'par.{name}')\n"
    program += "    heavy = {'tensorflow', 'keras', 'matplotlib.pyplot', 'absl.flags'} & set(sys.modules)\n    assert not heavy, (name, heavy)\n"
    done = subprocess.run([sys.executable, "-c", program, ",".join(present)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(present) >= 8


def quick(path: Path, flag: str) -> tuple[int, str, list[str], set[str]]:
    """Runs a tool with one flag: exit code, stdout, the lines of stderr, and the top-level packages that it imported."""
    done = subprocess.run([sys.executable, "-X", "importtime", str(path), flag], capture_output=True, text=True, cwd=ROOT)
    lines = done.stderr.splitlines()
    times = [line for line in lines if line.startswith("import time:")]
    return done.returncode, done.stdout, [line for line in lines if line not in times], {line.split("|")[-1].strip().split(".")[0] for line in times}


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.stem)
def test_help_is_the_docstring_and_the_flags_and_needs_no_tensorflow(path):
    code, out, err, packages = quick(path, "--help")
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=False)
    assert (code, err) == (0, []) and out.startswith(doc.strip() + "\n")
    assert f"python tools/{path.name} " in doc and re.search(r"^  --\w", out, re.MULTILINE)
    assert "absl" in packages and not packages & {"tensorflow", "keras", "matplotlib"}


@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.stem)
def test_an_unknown_flag_is_one_line_and_needs_no_tensorflow(path):
    code, out, err, packages = quick(path, "--colour=red")
    assert (code, out, len(err)) == (1, "", 1) and err[0].startswith("error: Unknown command line flag 'colour'") and err[0].endswith("; see --help")
    assert "absl" in packages and not packages & {"tensorflow", "keras", "matplotlib"}


def test_there_are_tools():
    assert {"derive", "plot_pi"} <= {path.stem for path in TOOLS}
