"""Long trials of what a run must survive, by hand; a short form of each is in test_soak.py.

    python tests/soak.py --kills=20                         a search, killed (SIGKILL) at 20 random
    moments and started again each time
    python tests/soak.py --kills=20 --architecture=ad       the same for a fixed network
    python tests/soak.py --memory --steps=20000             the memory of one process over so many
    steps, and the size of what it logs

The moments are drawn from --seed, and lie in turn in the start-up, in the first trace, between
steps, in a save, and in an evaluation. A run that
comes to its end is compared with one that met nothing (final_state.differences), and the next one
begins, until there were so many kills. Exit code 1
if anything differs.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from project import ROOT
from small import RATES, SHAPE, small_config, small_data, trainer

NETWORK = (*SHAPE, *RATES, "--arch_lr=0.03")
LOGGING = ("--log_every=13", "--record_every=7", "--save_every=20")
SECONDS = 600  # in which a step of the plan must have come


class Moment(NamedTuple):
    """When a process is killed: `delay` seconds after it has come to a place for the `times`th
    time."""

    place: str
    delay: float
    times: int = 1


class Run:
    """A run of the command, and where it is."""

    def __init__(self, data: Path, run_dir: Path, architecture: str, epochs: int):
        flags = (
            f"--data={data}",
            f"--run={run_dir}",
            f"--architecture={architecture}",
            f"--epochs={epochs}",
            *NETWORK,
            *LOGGING,
        )
        self.command = [sys.executable, str(ROOT / "tools" / "train.py"), *flags]
        self.path = run_dir
        self.said = run_dir.with_name(f"{run_dir.name}.stderr")

    def start(self) -> subprocess.Popen:
        """The process; what it says on stderr goes to a file."""
        with open(self.said, "w") as said:
            return subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said
            )

    def rows(self) -> tuple[int, int]:
        """Lines of the log that tell a step, and of those that tell an evaluation."""
        path = self.path / "training_log.log"
        text = path.read_text() if path.is_file() else ""
        return text.count("/"), text.count(" valid (")

    def saves(self) -> bool:
        """Whether a checkpoint is being written."""
        return any(
            name.endswith("_temp")
            for sub in ("checkpoints", "checkpoints/best")
            for name in _names(self.path / sub)
        )


def _names(directory: Path) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []


def moments(seed: int) -> Iterator[Moment]:
    """Random moments without end, the places in turn."""
    draw = random.Random(seed)
    while True:
        yield Moment("start-up", draw.uniform(0.0, 4.0))
        yield Moment("first trace", draw.uniform(0.0, 3.0))
        yield Moment("between steps", draw.uniform(0.0, 0.2), draw.randint(1, 12))
        yield Moment("save", draw.uniform(0.0, 0.004), draw.randint(1, 9))
        yield Moment("evaluation", draw.uniform(0.0, 0.2), draw.randint(1, 4))


def wait_for(moment: Moment, run: Run, process: subprocess.Popen) -> bool:
    """Waits for the moment; false if the process came to its end before."""
    lines, scores = run.rows()
    saves = _Counted(run.saves)
    reached: dict[str, Callable[[], bool]] = {
        "start-up": lambda: True,
        "first trace": lambda: " in " in run.said.read_text(),  # training sd in RUN: step 0 of 186
        "between steps": lambda: run.rows()[0] >= lines + moment.times,
        "save": lambda: saves() == moment.times,
        # two of a search, soft and argmax; then the best and the last are saved
        "evaluation": lambda: run.rows()[1] >= scores + moment.times,
    }
    end = time.monotonic() + SECONDS
    while process.poll() is None and not reached[moment.place]():
        if time.monotonic() > end:
            raise TimeoutError(
                f"no {moment.place} of {run.path} within {SECONDS} s: {run.said.read_text()}"
            )
        time.sleep(0 if moment.place == "save" else 0.002)
    time.sleep(moment.delay)
    return process.poll() is None


class _Counted:
    """How often something has become true, of all the times that it was asked."""

    def __init__(self, ask: Callable[[], bool]):
        # what a killed save has left does not count
        self._ask, self._was, self._count = ask, ask(), 0

    def __call__(self) -> int:
        now = self._ask()
        self._count += now and not self._was
        self._was = now
        return self._count


def whole(run: Run) -> None:
    """A run that meets nothing."""
    process = run.start()
    if process.wait(timeout=SECONDS):
        raise RuntimeError(run.said.read_text())


def kill_again_and_again(
    work: Path,
    data: Path,
    architecture: str,
    epochs: int,
    kills: int,
    seed: int,
    tell: Callable[[str], None],
) -> list[str]:
    """Kills runs until there were so many kills, and lets the last one come to its end. Returns
    what is wrong, a line each."""
    from final_state import differences

    expected = Run(data, work / "whole", architecture, epochs)
    whole(expected)
    wrong: list[str] = []
    places: Counter[str] = Counter()
    cut = named = ended = 0
    plan = moments(seed)
    for number in itertools.count():
        run = Run(data, work / f"run{number}", architecture, epochs)
        while True:
            process = run.start()
            killed = places.total() < kills and wait_for(moment := next(plan), run, process)
            if killed:
                process.kill()
            code = process.wait(timeout=SECONDS)
            said = run.said.read_text()
            named += "was killed, as the system does" in said
            if code != (-9 if killed else 0) or "can't be used" in said or "Traceback" in said:
                wrong.append(f"{run.path.name} ended with {code}: {said[-500:]}")
                break
            if not killed:
                break
            places[moment.place] += 1
            cut += run.saves()
            tell(
                f"kill {places.total()}: {moment.delay:.3f} s into {moment.place} {moment.times};"
                f" {_state(run)}"
            )
        found = differences(run.path, expected.path) if not wrong else []
        wrong += [f"{run.path.name}: {line}" for line in found]
        ended += 1
        tell(f"{run.path.name} came to its end: {len(found)} differences")
        if places.total() >= kills or wrong:
            break
    where = ", ".join(f"{count} {place}" for place, count in places.items())
    tell(
        f"{architecture}: {places.total()} kills ({where}), {cut} left a save half-written,"
        f" {named} were named by the next start"
    )
    tell(f"{ended} runs of {epochs} epochs, {len(wrong)} differences")
    return wrong


def _state(run: Run) -> str:
    saved = sorted(
        int(name[5:-6]) for name in _names(run.path / "checkpoints") if name.endswith(".index")
    )
    return f"checkpoints {saved}{', one half-written' * run.saves()}"


def resident_megabytes() -> float:
    """Memory of this process that is in use now, in MB of 1024 kB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def memory(
    work: Path, data: Path, architecture: str, steps: int, points: int = 10
) -> tuple[dict[int, float], Path]:
    """Trains one tiny network for so many steps in this process. Returns the memory in MB at
    `points` steps, and the run."""
    import gc

    from par.data import manifest

    config = small_config(
        data, architecture, epochs=-(-steps // manifest.load(data).splits["train"].steps)
    )
    run = trainer(work / "memory", config, data)
    found: dict[int, float] = {}

    def note(made: int, text: str) -> None:
        if run.step % (steps // points) == 0:
            gc.collect()
            found[run.step] = resident_megabytes()

    run.run(progress=note)
    return found, run.run_dir


def sizes(run_dir: Path) -> dict[str, int]:
    """Bytes of each log of a run."""
    logs = {name: run_dir / name for name in ("history.jsonl", "training_log.log")}
    found = {name: path.stat().st_size for name, path in logs.items()}
    return found | {
        "tensorboard": sum(path.stat().st_size for path in run_dir.glob("tensorboard/*/*"))
    }


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--architecture", default="sd")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--steps", type=int, default=20_000)
    values = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if not values.memory:
            data = small_data(Path(scratch) / "data", valid=3_000)
            wrong = kill_again_and_again(
                Path(scratch),
                data,
                values.architecture,
                values.epochs,
                values.kills,
                values.seed,
                functools.partial(print, flush=True),
            )
            print("\n".join(wrong))
            return int(bool(wrong))
        data = small_data(Path(scratch) / "data", train=16_100)  # 503 steps an epoch
        found, run_dir = memory(Path(scratch), data, values.architecture, values.steps)
        for step, megabytes in found.items():
            print(f"{step:>9,} steps {megabytes:>9.1f} MB")
        first = min(found)
        print(
            f"growth from step {first:,} to {max(found):,}:"
            f" {found[max(found)] - found[first]:+.1f} MB"
        )
        print(
            "logs: " + ", ".join(f"{name} {size:,} bytes" for name, size in sizes(run_dir).items())
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
