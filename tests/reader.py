"""A reader who types what the pages say, in a copy of the project that has been made small.

What is smaller: the recipes (SMALL; no sample texts), with them the networks of six blocks that
the pages name, of which the first ones stay, and the corpora, which are some pages of Python's own
documentation under the corpora's names.
What is filled in: the placeholders logs/SEARCH, logs/RUN and logs/OTHER, table.npz, and the hash
at the end of a run's default name. All else is typed as it is
written. Commands of one tool run inside one process, so that TensorFlow starts once, all others in
a shell. The Python of the pages has a process,
too, as what a tool sets for TensorFlow stays set. `python tests/reader.py` is such a process.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pages
from pages import ROOT

BLOCKS, SMALL_BLOCKS = 6, 3
SMALL = {
    "num_blocks": SMALL_BLOCKS,
    "vocab_size": 400,
    "batch_size": 8,
    "seq_len": 16,
    "d_model": 16,
    "num_heads": 2,
    "d_ffn": 32,
    "mem_len": 8,
    "cutoffs": 0,  # each a sixteenth
    "warmup_steps": 5,
    "arch_warmup": 2,
    "epochs": 1,
}
PLACEHOLDERS = {
    "logs/SEARCH": "logs/search",
    "logs/RUN": "logs/derived",
    "logs/OTHER": "logs/interleaved",
}
OWN = 70_000  # bytes of mytext.txt
BYTES = {"train": 30_000, "valid": 4_000, "test": 4_000}  # of a corpus


class Reader:
    """Types commands in a directory of its own, one after another."""

    def __init__(self, folder: Path):
        self.root = folder / "project"
        for name in ("par", "tools", "docs"):
            shutil.copytree(
                ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__")
            )
        (self.root / "par" / "tools").symlink_to("../tools")  # where the installation has it
        for recipe in (self.root / "tools" / "recipes").iterdir():
            recipe.write_text(
                re.sub(r"^--(\w+)=(.*)$", _smaller, recipe.read_text(), flags=re.MULTILINE)
                + "--sample_length=0\n"
            )
        self._write_texts()
        self._write_table()
        programs = folder / "bin"
        programs.mkdir()
        (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
        (programs / "python").chmod(0o755)
        path = {"PYTHONPATH": str(self.root), "PATH": f"{programs}:{os.environ['PATH']}"}
        own = {"PYTHONWARNINGS": "default", "PAR_CACHE_DIR": str(folder / "cache")}
        self._environment = {**os.environ, **path, **own}
        self._folder, self._processes = folder, {}

    def _write_table(self) -> None:
        from par.search import block_table_file  # not in the processes of the pages' Python
        from tables import make_table

        block_table_file.save(self.root / "table.npz", make_table(6, (0, 1, 2), 5))

    def _write_texts(self) -> None:
        from pydoc_data.topics import topics

        everything = "\n".join(topics[name] for name in sorted(topics))
        (self.root / "mytext.txt").write_text(everything[:OWN], encoding="utf-8")
        (self.root / "start.txt").write_text("The list\n", encoding="utf-8")
        for number, corpus in enumerate(("python-docs", "wikitext-2-small"), 1):
            at = number * 100_000
            (self.root / "text" / corpus).mkdir(parents=True)
            for split, size in BYTES.items():
                (self.root / "text" / corpus / f"{split}.txt").write_text(
                    everything[at : at + size], encoding="utf-8"
                )
                at += size

    def typed(self, text: str) -> str:
        """A command as it is typed here."""
        for placeholder, name in PLACEHOLDERS.items():
            text = re.sub(rf"\b{placeholder}\b", name, text)
        named = rf"(--architecture=[ad]{{{SMALL_BLOCKS}}})[ad]{{{BLOCKS - SMALL_BLOCKS}}}\b"
        text = re.sub(named, r"\1", text)
        text = re.sub(r"--corpus=([\w-]+)", r"--input_text=text/\1", text)
        return re.sub(r"(logs/[\w-]+-seed\d+-)[0-9a-f]{8}", self._run, text)

    def _run(self, name: re.Match[str]) -> str:
        found = sorted(self.root.glob(f"{name[1]}????????"))
        return str(found[0].relative_to(self.root)) if found else name[0]

    def command(self, command: pages.Command) -> str:
        """Runs a command. Returns what went wrong; empty if nothing did."""
        text = self.typed(command.text)
        [first, *others] = pages.calls(text)
        if (
            not others
            and first[0] == "python"
            and first[1].startswith("tools/")
            and ">" not in text
        ):
            return self._ask("tools", {"tool": Path(first[1]).stem, "arguments": first[2:]})
        shell = ["bash", "-o", "pipefail", "-c", text.replace(".venv/bin/python", "python")]
        done = subprocess.run(
            shell,
            cwd=self.root,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return "" if done.returncode == 0 else f"exit code {done.returncode}: {done.stderr}"

    def python(self, code: str) -> str:
        """Runs the Python of a page, by itself. Returns what went wrong; empty if nothing did."""
        return self._ask("python", {"code": self.typed(code)})

    def _ask(self, name: str, job: dict[str, Any]) -> str:
        process = self._processes.get(name) or self._start(name)
        process.stdin.write(json.dumps(job) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        return (
            json.loads(answer)
            if answer
            else f"the process ended with {process.wait()}: {self._said(name).read_text()[-2000:]}"
        )

    def _said(self, name: str) -> Path:
        return self._folder / f"{name}.said"

    def _start(self, name: str) -> subprocess.Popen:
        own = [sys.executable, str(ROOT / "tests" / "reader.py")]
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with self._said(name).open("w") as said:
            self._processes[name] = subprocess.Popen(
                own, cwd=self.root, env=self._environment, stderr=said, text=True, **streams
            )
        return self._processes[name]

    def close(self) -> None:
        """Ends the processes."""
        for process in self._processes.values():
            process.stdin.close()
            process.stdout.close()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:  # after a failure it may be in the middle of a job
                process.kill()
                process.wait()


def _smaller(setting: re.Match[str]) -> str:
    name, value = setting.groups()
    return f"--{name}={int(value) // 16 if name == 'cutoffs' else SMALL.get(name, value)}"


def serve() -> None:
    """Does each job of standard input, a JSON line, and answers with a JSON line: what went wrong,
    or nothing."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what child processes print is not an answer
    for line in sys.stdin:
        job, out, err = json.loads(line), io.StringIO(), io.StringIO()
        code: Any = 0
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                if "code" in job:
                    exec(job["code"], {"__name__": "__main__"})
                else:
                    code = importlib.import_module(f"par.tools.{job['tool']}").main(
                        job["arguments"]
                    )
            except BaseException:
                code = traceback.format_exc()
        wrong = (
            ""
            if code == 0 and out.getvalue()
            else f"{code}: {err.getvalue()[-2000:]}{out.getvalue()[-500:]}"
        )
        print(json.dumps(wrong), file=answers, flush=True)


if __name__ == "__main__":
    serve()
