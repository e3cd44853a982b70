"""The line that shows the progress of training: redrawn on a terminal, a new one every ten seconds
elsewhere.

    6s  12,300/20,240  1.9k tok/s  3:10 left  loss 4.31  ppl/word 912  tau 0.42  a?d?ii

It goes to stderr, as results go to stdout. On a narrow terminal the least needed fields are left
out.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from par.core.metrics import Figure, Sums
from par.core.progress import REPORT_EVERY
from par.search.architecture import KINDS

GAP = "  "  # between two fields
# from left to right
ORDER = ("name", "step", "speed", "left", "loss", "figure", "tau", "blocks")
# the most needed first
NEEDED = ("step", "left", "blocks", "loss", "figure", "speed", "tau", "name")
HORIZON = 100  # steps after which a loss counts 1/e in the running mean
SETTLED = 0.5  # a kind at least so probable is shown, as no other can be ahead of it


class Chunk(NamedTuple):
    """The sums of the steps just made."""

    nll: float  # sum in nats
    tokens: float
    seconds: float
    # tau and pi [L, O] of a search, else None; called only when a line is shown
    look: Callable[[], tuple[float, np.ndarray] | None]
    parts: tuple[float, ...] = ()  # sum and weight of each part of the objective


class StatusLine:
    """Shows on stderr how a run stands. Called with the steps just made and their sums."""

    def __init__(
        self,
        name: str,
        total: int,
        done: int,
        tokens_per_word: float,
        figure: Figure,
        quiet: bool = False,
        parts: tuple[str, ...] = (),
        unit: str = "tok",
    ):
        """total, done: steps. tokens_per_word: of the train split. figure: what is shown beside
        the loss. quiet: nothing is shown. parts: names of what `Chunk.parts` holds. unit:
        what a loss is the mean over, in a word."""
        self._unit = unit
        self._name, self._total, self._done, self._quiet = name, total, done, quiet
        self._tokens_per_word, self._figure = tokens_per_word, figure
        # running sums; the first chunk is not timed: its graph was still to be traced
        self._nll = self._tokens = self._timed = self._seconds = 0.0
        self._names, self._parts = parts, [0.0] * (2 * len(parts))
        self._begun: tuple[int, float] | None = None  # step and time after the first chunk
        self._look: Callable[[], tuple[float, np.ndarray] | None] = lambda: None
        self._last = time.monotonic()
        self._bar = _Drawn(
            self,
            total=total,
            initial=done,
            miniters=1,
            leave=False,
            disable=True if quiet else None,
        )

    def __call__(self, made: int, chunk: Chunk) -> None:
        """`made` more steps are done."""
        self._done += made
        self._look = chunk.look
        kept = math.exp(-made / HORIZON)
        self._nll, self._tokens = kept * self._nll + chunk.nll, kept * self._tokens + chunk.tokens
        self._parts = [kept * old + new for old, new in zip(self._parts, chunk.parts)]
        if self._begun:
            self._timed, self._seconds = (
                kept * self._timed + chunk.tokens,
                kept * self._seconds + chunk.seconds,
            )
        self._begun = self._begun or (self._done, time.monotonic())
        self._bar.update(made)
        if self._bar.disable and not self._quiet and time.monotonic() - self._last >= REPORT_EVERY:
            self._last = time.monotonic()
            print(self.line(), file=sys.stderr, flush=True)

    def line(self, columns: int | None = None) -> str:
        """The line, of all fields or of those that `columns` have room for."""
        found = {"name": self._name, "step": f"{self._done:,}/{self._total:,}"}
        if self._seconds:
            found["speed"] = f"{_short(self._timed / self._seconds)} {self._unit}/s"
        if self._begun and self._done > self._begun[0]:
            # evaluations and saving included
            pace = (time.monotonic() - self._begun[1]) / (self._done - self._begun[0])
            found["left"] = (
                f"{tqdm.format_interval(pace * (self._total - self._done)).removeprefix('0')} left"
            )
        if self._tokens:
            mean = self._nll / self._tokens
            found["loss"] = f"loss {mean:.2f}"
            if self._figure.name != "nll_per_token":  # else it is the loss
                found["figure"] = f"{self._figure.short} {self._shown(mean)}"
        if search := self._look():
            found |= {"tau": f"tau {search[0]:.2f}", "blocks": decided_blocks(search[1])}
        return fitted(found, columns)

    def _shown(self, mean: float) -> str:
        """The figure of a mean loss, in few digits."""
        per_word = self._tokens_per_word
        parts = dict(zip(self._names, zip(self._parts[::2], self._parts[1::2])))
        sums = Sums(mean * per_word, tokens=per_word, words=1.0, parts=parts)
        found = self._figure.of(sums)
        return _rounded(found) if self._figure.is_perplexity else self._figure.text(found)

    def __enter__(self) -> StatusLine:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()


class _Drawn(tqdm):
    """tqdm's throttle, and its handling of lines written meanwhile, with a line of our own."""

    monitor_interval = 0  # no thread may look at the network while it learns

    def __init__(self, line: StatusLine, **settings: Any):
        self._line = line
        super().__init__(**settings)

    def __str__(self) -> str:
        # a full last column makes some terminals go on to the next line
        return self._line.line(columns() - 1)


def decided_blocks(pi: np.ndarray) -> str:
    """One letter a block: its kind if that has half of the probability, else `?`. pi [L, O]."""
    return "".join(KINDS[row.argmax()] if row.max() >= SETTLED else "?" for row in pi)


def fitted(fields: dict[str, str], columns: int | None = None) -> str:
    """The fields side by side; the least needed ones are left out if `columns` are too few."""
    kept, room = set(), math.inf if columns is None else columns + len(GAP)
    for name in NEEDED:
        if name in fields and len(fields[name]) + len(GAP) <= room:
            kept.add(name)
            room -= len(fields[name]) + len(GAP)
    return GAP.join(fields[name] for name in ORDER if name in kept)


def columns() -> int:
    """Current width of the terminal on stderr, which may have been resized; 80 if unknown."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return shutil.get_terminal_size().columns


def _short(rate: float) -> str:
    """930, 1.9k, 19k: of nearly constant width."""
    return f"{rate:.0f}" if rate < 999.5 else f"{rate / 1000:.{1 if rate < 9950 else 0}f}k"


def _rounded(nll: float) -> str:
    """exp(nll) with three or four digits: 1,912, 91.2, and 1e9 for a large one."""
    if nll > math.log(1e7):
        return f"1e{nll / math.log(10):.0f}"
    return f"{math.exp(nll):,.{0 if nll > math.log(100) else 1}f}"
