"""The synthetic tasks by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import NamedTuple

from par.data.synthetic import dialects, threads, two_latents
from par.data.synthetic.settings import Bound, Document, SyntheticConfig


class Task(NamedTuple):
    """uses: the settings that it reads. split_by: what `build_data` must keep together."""

    uses: tuple[str, ...]
    split_by: str
    documents: Callable[[SyntheticConfig, int], Iterator[Document]]
    count: Callable[[SyntheticConfig], int]
    bounds: Callable[[SyntheticConfig], list[Bound]]


def _task(module: ModuleType) -> Task:
    return Task(module.USES, module.SPLIT_BY, module.documents, module.count, module.bounds)


TASKS = {
    "dialects": _task(dialects),
    "threads": _task(threads),
    "two_latents": _task(two_latents),
}
