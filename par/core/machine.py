"""What a process may use of the machine: cores by its affinity, memory by its control groups; and
the processor's name."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator
from pathlib import Path


def core_count() -> int:
    """Cores that this process may run on: fewer than the machine's under taskset or a cpuset."""
    return len(os.sched_getaffinity(0))


def processor(root: Path = Path("/")) -> str:
    """Name of the processor, as Linux tells it, or else the kind of machine: `x86_64`.

    root: where proc lies.
    """
    with contextlib.suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name" and value.strip():
                return " ".join(value.split())
    return platform.machine()


def memory_bytes(root: Path = Path("/")) -> int:
    """Bytes of memory that this process may use: the machine's, or the limit of a container, which
    is the lowest of its control group (cgroup v1 or v2) and of the groups above it.

    root: where proc and sys lie.
    """
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_group_limits(root)])


def _group_limits(root: Path) -> Iterator[int]:
    for directory, group, name in _memory_groups(root):
        # a container may see only the groups below its own, under the path that its host knows
        for path in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):  # not here; "max" stands for no limit
                yield int((directory / path / name).read_text(encoding="ascii"))


def _memory_groups(root: Path) -> Iterator[tuple[Path, Path, str]]:
    """Where memory groups are mounted, which of them is this process's, and the limit's file."""
    groups = root / "sys/fs/cgroup"
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        group = Path(path.lstrip("/"))
        if not controllers:
            yield groups, group, "memory.max"
        elif "memory" in controllers.split(","):
            yield groups / "memory", group, "memory.limit_in_bytes"
