"""Cores are those of this process, and memory is that of its container."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from par.core import machine

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
V1 = "9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n"
V2 = "0::/user.slice/job:7\n"
NO_LIMIT = 9223372036854771712  # as the first version of cgroups writes it


@pytest.mark.parametrize(
    ("cgroup", "limits", "expected"),
    [
        (None, {}, MACHINE),
        ("", {}, MACHINE),
        (V2, {}, MACHINE),
        (V2, {"user.slice/job:7/memory.max": "max"}, MACHINE),
        (V2, {"user.slice/job:7/memory.max": "4096"}, 4096),
        (V2, {"user.slice/job:7/memory.max": "max", "user.slice/memory.max": "8192"}, 8192),
        (V2, {"user.slice/job:7/memory.max": "8192", "user.slice/memory.max": "4096"}, 4096),
        ("0::/\n", {"memory.max": "4096"}, 4096),
        ("0::/../../outside\n", {"memory.max": "4096"}, 4096),
        (V1, {"memory/docker/abc/memory.limit_in_bytes": "4096"}, 4096),
        # a container sees its own group as the topmost
        (V1, {"memory/memory.limit_in_bytes": "4096"}, 4096),
        (V1, {"memory/docker/abc/memory.limit_in_bytes": str(NO_LIMIT)}, MACHINE),
        (V1, {"cpu/docker/abc/memory.limit_in_bytes": "4096"}, MACHINE),
        # the group of another controller
        (f"3:cpuset:/other\n{V1}", {"memory/other/memory.limit_in_bytes": "4096"}, MACHINE),
    ],
)
def test_memory_is_the_lowest_limit_of_the_control_groups(tmp_path, cgroup, limits, expected):
    if cgroup is not None:
        (tmp_path / "proc/self").mkdir(parents=True)
        (tmp_path / "proc/self/cgroup").write_text(cgroup)
    for name, limit in limits.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{limit}\n")
    assert machine.memory_bytes(tmp_path) == expected


@pytest.mark.parametrize(
    ("cpuinfo", "expected"),
    [
        ("processor\t: 0\nmodel name\t: Abacus  9 (R)\nmodel name\t: Other\n", "Abacus 9 (R)"),
        ("processor\t: 0\nmodel name\t: \n", platform.machine()),
        (None, platform.machine()),
    ],
)
def test_the_processor_s_name_is_what_linux_tells_or_else_its_kind(tmp_path, cpuinfo, expected):
    if cpuinfo is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc/cpuinfo").write_text(cpuinfo)
    assert machine.processor(tmp_path) == expected


def test_this_process_has_some_memory_and_no_more_than_the_machine():
    assert 1 << 26 < machine.memory_bytes() <= MACHINE


def test_cores_are_those_that_the_process_may_run_on():
    program = (
        "import os; from par.core import machine; os.sched_setaffinity(0,"
        " [min(os.sched_getaffinity(0))]); print(machine.core_count())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "1\n" and machine.core_count() == len(os.sched_getaffinity(0))
