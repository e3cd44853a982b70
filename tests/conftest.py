"""What all tests share: a quiet and repeatable TensorFlow, and the commands run as a user runs
them."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from project import ROOT, Finished

# Before anything imports TensorFlow, and inherited by the commands that the tests start.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# sums are split by thread: the same count on every machine gives the same figures
os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "2")
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "2")
# two processes share the cores, and OpenBLAS' threads wait for each other by spinning
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever a user's keras.json says
os.environ["MPLBACKEND"] = "agg"
# Where the network is behind a proxy: the tests' own servers, TensorBoard and chromedriver are
# not.
_direct = ",".join(
    filter(
        None, (os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "localhost", "127.0.0.1")
    )
)
os.environ.update({"no_proxy": _direct, "NO_PROXY": _direct})
# A shell that starts the suite in the background ignores SIGINT, nohup SIGHUP, and the commands
# under test inherit that.
for _number, _handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, _handler)


# tests/test_fuzz.py: the same examples every time; --hypothesis-profile=long draws others, and
# many, with --hypothesis-seed=N the same ones again.
_CALM = {
    "deadline": None,
    "database": None,
    "suppress_health_check": list(HealthCheck),
    "print_blob": False,
}
settings.register_profile("fixed", derandomize=True, **_CALM)
settings.register_profile("long", derandomize=False, max_examples=5_000, **_CALM)
settings.load_profile("fixed")


@pytest.fixture(scope="session")
def run_tool() -> Callable[..., Finished]:
    """Runs `python tools/NAME.py FLAGS...` and returns its exit code and what it printed; a
    traceback fails the test unless it is expected.

    prefix: the start of the command line, such as a limit (tests/faults.py).
    """

    def run(
        name: str,
        *flags: object,
        cwd: Path = ROOT,
        env: dict[str, str] | None = None,
        traceback: bool = False,
        seconds: float = 300,
        prefix: tuple[str, ...] = (),
    ) -> Finished:
        command = [*prefix, sys.executable, str(ROOT / "tools" / f"{name}.py"), *map(str, flags)]
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds,
        )
        finished = Finished(done.returncode, done.stdout.decode(), done.stderr.decode())
        assert traceback or "Traceback" not in finished.err, finished.err
        return finished

    return run


@pytest.fixture(scope="session")
def call() -> Callable[..., Finished]:
    """Runs a command in this process: as `run_tool`, without the seconds that a start takes. For
    all that is not about the process itself: limits, signals, what is imported."""

    def run(name: str, *flags: object, cwd: Path | None = None) -> Finished:
        out, err = (
            io.TextIOWrapper(io.BytesIO(), "utf-8", errors, newline="")
            for errors in ("strict", "backslashreplace")
        )
        with (
            contextlib.chdir(cwd or Path.cwd()),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            tool = importlib.import_module(f"par.tools.{name}")
            code = tool.main([str(flag) for flag in flags])
        for stream in (out, err):
            stream.seek(0)
        finished = Finished(code, out.read(), err.read())
        assert "Traceback" not in finished.err, finished.err
        return finished

    return run


# The files that take longest, longest first: begun late, one process would wait for the other.
LONGEST = [
    # with the slow tests, which take minutes each
    "test_docs",
    "test_packaging",
    "test_workers",
    "test_faults",
    "test_soak",
    "test_command",
    "test_runner",
    "test_notebook",
    "test_trainer",
    "test_killed",
    "test_replicas",
    "test_conformance",
    "test_benchmark",
    "test_tensorboard",
    "test_seeds",
    "test_fuzz",
    "test_bare_environments",
    "test_killed_exports",
    "test_context_mlm",
    "test_bounds_reached",
    "test_authors",
    "test_all_networks",
    # always
    "test_probe",
    "test_trained_model",
    "test_results",
    "test_build_data",
    "test_saved_model",
    "test_tools",
    "test_pipeline",
    "test_scripts",
    "test_contract",
    "test_pi_plots",
    "test_report",
    "test_graph_tokenizer",
    "test_context_gain",
    "test_weight_transfer",
    "test_layering",
    "test_search",
]


@pytest.hookimpl(tryfirst=True)  # before pytest leaves out what is marked slow
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Runs the longest files first, and makes all but some examples of a claim slow."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(places)))
    claims: dict[str, list[pytest.Item]] = {}
    for item in items:
        claims.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for examples in claims.values():
        if mark := examples[0].get_closest_marker("quick"):
            quick = evenly_spaced(len(examples), mark.args[0])
            for place, item in enumerate(examples):
                if place not in quick:
                    item.add_marker(pytest.mark.slow)


def evenly_spaced(count: int, wanted: int) -> set[int]:
    """Places of `wanted` of `count` examples, the first and the last among them."""
    return {round(place * (count - 1) / max(wanted - 1, 1)) for place in range(wanted)}
