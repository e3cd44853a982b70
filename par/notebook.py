"""Helpers of colab.ipynb: installing the project, and running its commands in a cell.

All sections but the last run commands, each in a process of its own. So the notebook's session
imports TensorFlow only when everything is trained, and a package that was replaced while the
session ran does no harm before that.
"""

from __future__ import annotations

import importlib.metadata
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from par.core.errors import DataError
from par.data import named_corpora

PROJECT = Path(__file__).resolve().parent.parent
DISTRIBUTION = "par-transformer-xl"
# module -> distribution: packages that a session may have imported, whose modules have the version
# of the distribution
LOADED = {
    "numpy": "numpy",
    "google.protobuf": "protobuf",
    "matplotlib": "matplotlib",
    "PIL": "pillow",
    "tqdm": "tqdm",
    "tensorflow": "tensorflow",
    "keras": "keras",
    "tensorboard": "tensorboard",
    "sentencepiece": "sentencepiece",
}
OFFLINE = "python-docs"
TIMEOUT = 5  # seconds to wait for a server: there is another corpus


class Stop(Exception):
    """Ends a cell, and with it Run all, with one line instead of a traceback.

    code: exit code of the command that failed, or 1.
    """

    def __init__(self, message: str, code: int = 1):
        super().__init__(message)
        self.code = code

    def _render_traceback_(self) -> list[str]:  # IPython shows these lines
        return [f"stopped: {self}"]


def install() -> None:
    """Installs the project with its dependencies into the session's Python, unless it is
    installed; on a machine with an Nvidia GPU with CUDA.

    Raises: Stop if pip fails, or if the session has imported a package that is now installed in
    another version.
    """
    if not _version(DISTRIBUTION):
        what = f"{PROJECT}[gpu]" if shutil.which("nvidia-smi") else str(PROJECT)
        print(f"installing {what}: this takes a minute or two", flush=True)
        if code := _run_shown(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                what,
            ]
        ):
            raise Stop("pip could not install the project, for the reasons above", code)
    if old := outdated_packages():
        raise Stop(f"{', '.join(old)}: choose Runtime > Restart session, then run all cells again")
    if (board := Path(sys.executable).with_name("tensorboard")).is_file():
        # a kernel may run without its environment's PATH
        os.environ.setdefault("TENSORBOARD_BINARY", str(board))
    names = ("tensorflow", "keras", "numpy")
    print(
        f"Python {sys.version.split()[0]},"
        f" {', '.join(f'{name} {_version(name)}' for name in names)}"
    )


def outdated_packages() -> list[str]:
    """A line `NAME 1.0 is loaded, but 2.0 is installed` for each package that this session has
    imported in another version than the installed one."""
    found = []
    for module, distribution in LOADED.items():
        loaded, installed = (
            getattr(sys.modules.get(module), "__version__", None),
            _version(distribution),
        )
        if loaded and installed and loaded != installed:
            found.append(f"{distribution} {loaded} is loaded, but {installed} is installed")
    return found


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def run_tool(name: str, *flags: str) -> None:
    """Runs `python tools/NAME.py FLAGS...`, and shows the command and its output line by line.

    An interrupted cell lets the command save; a second interrupt ends it at once.
    Raises: Stop with the command's exit code, if that is not 0.
    """
    print(
        "$", shlex.join(_command(name, *flags, python="python", folder=Path("tools"))), flush=True
    )
    if code := _run_shown(_command(name, *flags)):
        raise Stop(f"{name} ended with exit code {code}, for the reason above", code)


def run_directory(*flags: str) -> str:
    """The run directory of these flags of `train`. Raises: Stop with the error of `train`, if
    any."""
    done = subprocess.run(
        _command("train", *flags, "--print_run"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise Stop(done.stderr.strip(), done.returncode)
    return done.stdout.strip()


def build(corpus: str) -> str:
    """Builds a data set for the recipe quick, unless it exists; returns its directory.

    corpus: a named corpus, or the user's own text (a file, directory or glob). If a corpus can't
    be downloaded, python-docs is built, which every Python contains.
    Raises: Stop if there is no such corpus or text.
    """
    try:
        return _built(corpus)
    except Stop as stop:
        if (
            stop.code != DataError.exit_code
            or corpus not in named_corpora.NAMED
            or corpus == OFFLINE
        ):
            raise
        print(
            f"\n{corpus} can't be downloaded; continuing with {OFFLINE}, the documentation that"
            " every Python contains\n",
            flush=True,
        )
        return _built(OFFLINE)


def _built(corpus: str) -> str:
    named = corpus in named_corpora.NAMED
    name = corpus if named else Path(corpus).stem.strip("*") or "own"
    # create_tfrecords.sh builds these for another recipe
    suffix = "-quick" if corpus in ("wikitext-2", "wikitext-103") else ""
    directory = f"data/{name}{suffix}"
    text = f"--corpus={corpus}" if named else f"--input_text={corpus}"
    run_tool(
        "build_data", text, "--recipe=quick", f"--output_dir={directory}", f"--timeout={TIMEOUT}"
    )
    return directory


def _command(
    name: str, *flags: str, python: str = sys.executable, folder: Path = PROJECT / "tools"
) -> list[str]:
    return [python, str(folder / f"{name}.py"), *flags]


def _run_shown(command: list[str]) -> int:
    """Runs a command, shows its output line by line, and returns its exit code.

    The command is in the process group of the notebook's session, so that it gets the signals of
    that session.
    """
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(
        command, **streams, text=True, encoding="utf-8", errors="replace"
    ) as process:
        try:
            _copy(process)
        except KeyboardInterrupt:
            try:
                _copy(process)
            except KeyboardInterrupt:
                process.kill()
                raise
        return process.wait()


def _copy(process: subprocess.Popen) -> None:
    for line in process.stdout:
        print(line, end="", flush=True)
