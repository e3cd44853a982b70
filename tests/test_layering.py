"""The wings of the library: imports only go one way; what can do without TensorFlow does, and so
does every command until it works."""

from __future__ import annotations

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from project import ROOT

# The wings of par/ from the bottom up: a module imports from its own wing and from those before
# it.
WINGS = (
    "core",
    "data.fetching",
    "data",
    "data.synthetic",
    "data.characters",
    "data.beam",
    "baselines",
    "search",
    "nn",
    "objectives",
    "objectives.contexts",
    "objectives.electra",
    "objectives.towers",
    "train.distributed",
    "train",
    "evaluate",
    "evaluate.yardsticks",
    "evaluate.compare",
    "evaluate.certify",
    "composing",
    "bench",
    "export.shipped",
    "export",
    "export.page",
    "shelf",
    "report",
)
GLUE = ("__init__", "notebook")  # of par itself: they may import anything
# What imports TensorFlow or Keras; all else does without, so that a command answers at once.
WITH_TENSORFLOW = [
    "bench.block_latency",
    "bench.checkpoint_speed",
    "bench.dry_run",
    "bench.generation_speed",
    "bench.gradient_estimators",
    "bench.softmax_speed",
    "bench.step_parts",
    "bench.step_products",
    "bench.training_speed",
    "composing.layer",
    "composing.network",
    "evaluate.compare.runner",
    "evaluate.detection",
    "evaluate.evaluation",
    "evaluate.filled_sentences",
    "evaluate.filling",
    "evaluate.generation",
    "evaluate.inherited",
    "evaluate.masked_positions",
    "evaluate.pseudo",
    "evaluate.replaced_passages",
    "evaluate.sampling",
    "evaluate.text_vectors",
    "evaluate.trained_model",
    "evaluate.training_hooks",
    "export.array_functions",
    "export.detecting",
    "export.filling",
    "export.graph_tokenizer",
    "export.litert",
    "export.onnx_graphs",
    "export.page.html",
    "export.plain",
    "export.reading",
    "export.safetensors",
    "export.saved_model",
    "export.self_check",
    "export.shipped_speed",
    "export.shipping",
    "export.writing",
    "nn.adaptive_softmax",
    "nn.attention",
    "nn.blocks",
    "nn.composition",
    "nn.forward_mode",
    "nn.gradient_checkpointing",
    "nn.memory_layout",
    "nn.ops",
    "nn.positions",
    "nn.resampling",
    "nn.supernet",
    "nn.transformer",
    "objectives.authors",
    "objectives.causal_lm",
    "objectives.composed",
    "objectives.contrast",
    "objectives.document_reader",
    "objectives.masked_lm",
    "objectives.masking",
    "objectives.stream_windows",
    "objectives.contexts.context_mlm",
    "objectives.contexts.mask_words",
    "objectives.contexts.thread_mlm",
    "objectives.electra.boundaries",
    "objectives.electra.replaced",
    "objectives.electra.span_electra",
    "objectives.towers.classify",
    "objectives.towers.distill",
    "objectives.typos",
    "search.bilevel",
    "search.gumbel",
    "search.latency_penalty",
    "train.base_weights",
    "train.checkpoints",
    "train.distributed.devices",
    "train.distributed.replicas",
    "train.distributed.workers",
    "train.elements",
    "train.hooks",
    "train.learner",
    "train.loading",
    "train.logs",
    "train.optimization",
    "train.search_watch",
    "train.session",
    "train.tensorboard",
    "train.trainer",
    "train.weight_transfer",
]
MODULES = sorted(path for path in (ROOT / "par").rglob("*.py") if path.parent != ROOT / "par")
TOOLS = sorted(path for path in (ROOT / "tools").glob("*.py") if path.stem != "__init__")


def imported(path: Path) -> set[str]:
    """Every module that a file imports, anywhere in it; `from par.core import x` counts as
    par.core.x."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} line {node.lineno}: write imports in full"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def dotted(path: Path) -> str:
    """`nn.attention` for par/nn/attention.py, `nn` for par/nn/__init__.py."""
    return ".".join(path.relative_to(ROOT / "par").with_suffix("").parts).removesuffix(".__init__")


NAMES = {dotted(path): path for path in MODULES}


def wing(name: str) -> str:
    """The wing of a module, or of a name that a module holds: `train.distributed` for
    `train.distributed.cluster`."""
    return max((each for each in WINGS if f"{name}.".startswith(f"{each}.")), key=len, default="")


def inner(path: Path) -> set[str]:
    """The modules of par that a file imports, without the `par.`; a name that is no module counts
    as the module that holds it."""
    found = {name.removeprefix("par.") for name in imported(path) if name.startswith("par.")} - {
        "__version__"
    }
    return {name if name in NAMES else name.rpartition(".")[0] or name for name in found}


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_imports_from_its_own_wing_and_from_those_before_it(path):
    mine = wing(dotted(path))
    assert mine, f"{path.relative_to(ROOT)} has no place in WINGS: give it one"
    for name in sorted(inner(path)):
        assert wing(name), f"{path.name} imports par.{name}, which has no place in WINGS"
        assert WINGS.index(wing(name)) <= WINGS.index(mine), (
            f"{path.relative_to(ROOT)} imports par.{name}, a later wing"
        )


def test_the_modules_of_a_wing_import_each_other_in_one_order():
    graph = {
        name: {other for other in inner(path) if wing(other) == wing(name) and other != wing(name)}
        for name, path in NAMES.items()
    }
    # raises CycleError, which names the circle
    tuple(graphlib.TopologicalSorter(graph).static_order())


def test_a_wing_has_at_most_about_twenty_modules_and_a_docstring_that_tells_it():
    for each in WINGS:
        members = [name for name in NAMES if wing(name) == each and name != each]
        assert 1 <= len(members) <= 22, (each, len(members))
        assert ast.get_docstring(ast.parse(NAMES[each].read_text(encoding="utf-8"))), (
            f"par/{each}/__init__.py has no docstring"
        )


def test_what_exports_take_along_knows_nothing_of_the_project():
    shipped = [path for name, path in NAMES.items() if name.startswith("export.shipped.")]
    assert shipped and not any(inner(path) for path in shipped)


def test_only_the_glue_lies_beside_the_wings():
    assert {path.stem for path in (ROOT / "par").glob("*.py")} == set(GLUE)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_defines_no_flags_and_knows_no_tool(path):
    assert not {
        name
        for name in imported(path)
        if name.split(".")[0] == "absl" or name.startswith("par.tools")
    }


def test_the_tools_share_only_what_is_in_cli():
    dispatchers = {
        "benchmark": "benchmarks",
        "results": "experiments",
        "compare": "comparisons",
        "derive": "derivations",
        "evaluate": "evaluations",
    }
    for path in TOOLS:
        shared = {name for name in imported(path) if name.startswith(("par.tools", "tools"))}
        if own := dispatchers.get(path.stem):  # what it dispatches to
            shared = {name for name in shared if not name.startswith(f"par.tools.{own}.")}
        assert all(name.startswith("par.tools.cli.") for name in shared), path.name


def test_the_subjects_of_benchmark_share_only_settings_and_output():
    allowed = ("par.tools.cli.", "par.tools.benchmarks.settings", "par.tools.benchmarks.output")
    for path in (ROOT / "tools" / "benchmarks").glob("*.py"):
        shared = {name for name in imported(path) if name.startswith(("par.tools", "tools"))}
        assert all(name.startswith(allowed) for name in shared), path.name


@pytest.mark.parametrize("folder", ("experiments", "comparisons", "derivations", "evaluations"))
def test_a_folder_of_tools_shares_what_is_in_cli_and_is_imported_in_one_order(folder):
    graph = {}
    for path in (ROOT / "tools" / folder).glob("*.py"):
        shared = {name for name in imported(path) if name.startswith(("par.tools", "tools"))}
        own = {name for name in shared if name.startswith(f"par.tools.{folder}.")}
        assert all(name.startswith("par.tools.cli.") for name in shared - own), path.name
        graph[path.stem] = {name.split(".")[3] for name in own}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_what_the_tools_share_knows_none_of_them_and_is_imported_in_one_order():
    graph = {}
    for path in (ROOT / "tools" / "cli").glob("*.py"):
        shared = {name for name in imported(path) if name.startswith(("par.tools", "tools"))}
        assert all(name.startswith("par.tools.cli.") for name in shared), path.name
        graph[path.stem] = {name.split(".")[3] for name in shared}
    tuple(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_what_can_do_without_tensorflow_does():
    # those two import what need not be installed
    apart = ("data.beam", "export.shipped")
    light = [name for name in NAMES if name not in WITH_TENSORFLOW and wing(name) not in apart]
    program = (
        "import importlib, sys, par\nfor name in sys.argv[1].split(','):\n   "
        " importlib.import_module(f'par.{name}')\n"
    )
    program += (
        "    heavy = {'tensorflow', 'keras', 'matplotlib.pyplot', 'absl.flags'} &"
        " set(sys.modules)\n    assert not heavy, (name, heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, ",".join(light)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert set(WITH_TENSORFLOW) < set(NAMES) and len(light) > 50


def quick(path: Path, flag: str) -> tuple[int, str, list[str], set[str]]:
    """Runs a tool with one flag: exit code, stdout, the lines of stderr, and the top-level
    packages that it imported."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(path), flag],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    lines = done.stderr.splitlines()
    times = [line for line in lines if line.startswith("import time:")]
    return (
        done.returncode,
        done.stdout,
        [line for line in lines if line not in times],
        {line.split("|")[-1].strip().split(".")[0] for line in times},
    )


@pytest.mark.quick(4)
@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.stem)
def test_help_is_the_docstring_and_the_flags_and_needs_no_tensorflow(path):
    code, out, err, packages = quick(path, "--help")
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")), clean=False)
    assert (code, err) == (0, []) and out.startswith(doc.strip() + "\n")
    assert f"python tools/{path.name} " in doc and re.search(r"^  --\w", out, re.MULTILINE)
    assert "absl" in packages and not packages & {"tensorflow", "keras", "matplotlib"}


@pytest.mark.quick(4)
@pytest.mark.parametrize("path", TOOLS, ids=lambda path: path.stem)
def test_an_unknown_flag_is_one_line_and_needs_no_tensorflow(path):
    code, out, err, packages = quick(path, "--colour=red")
    assert (
        (code, out, len(err)) == (1, "", 1)
        and err[0].startswith("error: Unknown command line flag 'colour'")
        and err[0].endswith("; see --help")
    )
    assert "absl" in packages and not packages & {"tensorflow", "keras", "matplotlib"}


def test_there_are_tools():
    assert {"derive", "plot_pi"} <= {path.stem for path in TOOLS}
