"""How fast several devices or processes of this machine train one network together, beside one
alone."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
from collections.abc import Callable
from typing import Any

from par.core import processes
from par.train.run_config import RunConfig

# measurements in a process; the fastest counts: other work on a machine only ever slows it down
ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Layout:
    """Processes that train together, each on cores of its own and with some devices, which share
    the batch or a part of it."""

    name: str
    processes: int = 1
    devices: int = 1
    cores: int = 1  # of each process
    # one in `share` of the batch's rows is trained on: the work of one of several workers
    share: int = 1


def layouts(workers: int) -> tuple[Layout, ...]:
    """The layouts that are compared: one core with the whole batch, one core with one worker's
    rows, and `workers` cores that share the batch in three ways."""
    return (
        Layout("one core"),
        Layout(f"one core, 1/{workers} of the rows", share=workers),
        Layout(f"one device of {workers} cores", cores=workers),
        Layout(f"mirrored, {workers} devices", devices=workers, cores=workers),
        Layout(f"multi_worker, {workers} processes", processes=workers),
    )


def rate(
    layout: Layout, config: RunConfig, steps: int, start_tensorflow: Callable[[str, int], Any]
) -> float:
    """Steps per second of a layout.

    start_tensorflow: takes (distribute, num_devices) and returns the strategy; a function of a
    module. Raises: ResourceError if a process was killed, as by a lack of memory.
    """
    batch_size = config.data.batch_size // layout.share
    config = dataclasses.replace(
        config, data=dataclasses.replace(config.data, batch_size=batch_size)
    )
    cluster = {"worker": [f"127.0.0.1:{port}" for port in _free_ports(layout.processes)]}
    calls = []
    for index in range(layout.processes):
        cores = list(range(index * layout.cores, (index + 1) * layout.cores))
        task = (
            json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}})
            if layout.processes > 1
            else None
        )
        calls.append(
            processes.Call(_train, config, steps, cores, layout.devices, task, start_tensorflow)
        )
    return min(call.result() for call in calls)


def _train(
    config: RunConfig,
    steps: int,
    cores: list[int],
    devices: int,
    task: str | None,
    start_tensorflow: Callable[[str, int], Any],
) -> float:
    available = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {available[core % len(available)] for core in cores})
    if len(cores) == 1:
        os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    if task:
        os.environ["TF_CONFIG"] = task
    strategy = start_tensorflow(
        "multi_worker" if task else "mirrored" if devices > 1 else "none",
        devices if devices > 1 else 0,
    )
    from par.bench import training_speed
    from par.train.distributed import workers

    team = workers.Workers(strategy)
    with team.watched():
        trial = training_speed.TimedTraining(config, steps, replicas=team.replicas)
        return max(trial.run() for _ in range(ROUNDS))


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
