"""The processes that train one network together, and which of them this one is: TF_CONFIG, as
TensorFlow defines it.

    TF_CONFIG='{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker",
    "index": 0}}'

Every process of a job has the same cluster and its own task. The chief, which alone writes the
run, is the task of type chief, or worker 0 if there is none.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from par.core import schema
from par.core.errors import UsageError

VARIABLE = "TF_CONFIG"
EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
)


class Cluster(NamedTuple):
    """The processes of a job, the chief first, and the number of this one among them."""

    addresses: tuple[str, ...]  # host:port
    index: int

    @property
    def is_chief(self) -> bool:
        return self.index == 0

    def __str__(self) -> str:
        return f"worker {self.index} of {len(self.addresses)} ({self.addresses[self.index]})"


def _is_address(value: object) -> bool:
    found = re.fullmatch(r"\S+:(\d{1,5})", value) if isinstance(value, str) else None
    return bool(found) and 1 <= int(found[1]) <= 65535


def from_environment() -> Cluster:
    """The cluster of TF_CONFIG. Raises: UsageError if that is not set, or is not a cluster and a
    task of it."""
    text = os.environ.get(VARIABLE, "")
    if not text:
        raise UsageError(
            f"--distribute=multi_worker needs {VARIABLE} in the environment of every worker, such"
            f" as {EXAMPLE}; it is not set"
        )
    try:
        return parse(text)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise UsageError(
            f"{VARIABLE} must be like {EXAMPLE} ({error}), but is {text[:300]}"
        ) from None


def parse(text: str) -> Cluster:
    """The cluster of a TF_CONFIG. Raises: ValueError, LookupError, TypeError or AttributeError for
    any other text."""
    value = schema.parse_json(text.encode("utf-8", "replace"))
    jobs, task = value["cluster"], value["task"]
    if unknown := set(jobs) - {"chief", "worker"}:
        raise ValueError(f"a cluster has chief and worker only, not {', '.join(sorted(unknown))}")
    if task["type"] not in jobs or len(jobs.get("chief", [0])) != 1:
        raise ValueError("the task's type must be in the cluster, and there is one chief at most")
    addresses = (*jobs.get("chief", ()), *jobs.get("worker", ()))
    if not all(map(_is_address, addresses)) or len(set(addresses)) < len(addresses):
        raise ValueError(
            "every address must be host:port, and another one, with a port from 1 to 65535"
        )
    index = int(task["index"])
    if not 0 <= index < len(jobs[task["type"]]):
        raise ValueError(f"there is no {task['type']} {index}")
    return Cluster(
        addresses, index if task["type"] == "chief" else index + len(jobs.get("chief", ()))
    )
