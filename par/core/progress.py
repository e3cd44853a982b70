"""Progress of long work, on stderr, as results go to stdout."""

from __future__ import annotations

import shutil
import sys
import time

from tqdm import tqdm

REPORT_EVERY = 10.0  # seconds between two lines of progress where there is no terminal


def announce(line: str) -> None:
    """Writes a line to stderr without breaking a progress bar."""
    tqdm.write(line, file=sys.stderr)


class Progress:
    """Shows progress on stderr: on a terminal a bar with rate and time left, otherwise a line at
    most every ten seconds."""

    def __init__(self, what: str, unit: str, total: int, done: int = 0, shown: bool = True):
        self._shown = shown
        self._what, self._unit, self._total, self._done = what, unit, total, done
        self._last = time.monotonic()
        # 80 if a terminal tells no size: tqdm would draw nothing
        columns = shutil.get_terminal_size().columns
        self._bar = tqdm(
            desc=what,
            unit=unit,
            total=total,
            initial=done,
            unit_scale=total > 100_000,
            leave=False,
            ncols=columns,
            disable=None if shown else True,
        )

    def __call__(self, made: int, text: str = "") -> None:
        """Adds `made` finished units; `text` is shown behind the bar."""
        self._done += made
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(made)
        if self._shown and self._bar.disable and time.monotonic() - self._last >= REPORT_EVERY:
            self._last = time.monotonic()
            print(
                f"{self._what}: {self._done:,} of {self._total:,} {self._unit}s {text}".rstrip(),
                file=sys.stderr,
                flush=True,
            )

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
