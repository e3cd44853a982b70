"""Small data sets of texts with authors and groups, built as a user builds them."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import numpy as np

from made_documents import write_lines
from par.data import manifest
from par.objectives import OBJECTIVES
from par.tools import build_data
from par.train.run_config import DataIdentity, RunConfig
from small import small_config

SHARES = tuple(f"--split_fractions={share}" for share in (0.5, 0.3, 0.2))
SHAPE = ("--batch_size=4", "--seq_len=8", "--baseline=none", "--model_type=word", *SHARES)


def build(root: Path, name: str, found: list[dict[str, Any]], *flags: str) -> Path:
    """The data set root/name of documents as lines of JSON, divided by author."""
    path = write_lines(root / f"{name}.jsonl", found)
    given = (f"--input_documents={path}", f"--output_dir={root / name}", "--split_by=author")
    assert build_data.main([*given, *SHAPE, *flags]) == 0
    return root / name


def coded(authors: int = 12, each: int = 9, groups: int = 4) -> list[dict[str, Any]]:
    """Texts of one to six words. An author writes a word of two letters that no other writes, or
    one of a few others."""
    draw, found = np.random.default_rng(3), []
    for number in range(authors * each):
        author = number % authors
        words = ["cdfg"[author // 4 % 4] + "aeiou"[author % 4]] * int(draw.integers(1, 4))
        words += [f"t{'aeiou'[i]}" for i in draw.integers(5, size=draw.integers(3))]
        found.append(
            {
                "id": f"{number}",
                "text": " ".join(words),
                "author": f"writer {author}",
                "group": f"place {draw.integers(groups)}",
            }
        )
    return found


def hidden_code(authors: int = 48, each: int = 8) -> list[dict[str, Any]]:
    """Texts of three words by which an author is known, of eight that authors share, among nine
    of twelve that say nothing."""
    draw, found = np.random.default_rng(5), []
    codes = list(itertools.combinations([f"c{vowel}" for vowel in "aeiouxyz"], 3))
    codes = [codes[i] for i in draw.permutation(len(codes))[:authors]]  # another for each author
    for number in range(authors * each):
        author = number % authors
        noise = [f"n{letter}" for letter in draw.choice(list("abcdefghijkl"), 9, replace=False)]
        words = draw.permutation([*codes[author], *noise])
        found.append(
            {
                "id": f"{number}",
                "text": " ".join(words),
                "author": f"writer {author}",
                "group": f"place {draw.integers(4)}",
            }
        )
    return found


def answering(found: list[dict[str, Any]], authors: int = 12) -> list[dict[str, Any]]:
    """The texts of `coded`, of which each answers the one before of its author; every fourth
    begins a thread."""
    return [
        each | ({"parent": f"{number - authors}"} if number // authors % 4 else {})
        for number, each in enumerate(found)
    ]


DEFAULTS = {
    "authors": {"anchors": 3, "doc_len": 6},
    "context_mlm": {"contexts": 3, "doc_len": 8, "context": "author"},
    "thread_mlm": {},
}


def config(
    data_dir: Path,
    blocks: str = "ad",
    epochs: int = 2,
    objective: str = "authors",
    **settings: Any,
) -> RunConfig:
    """A run of `small_config` of an objective that reads documents; settings of the objective, the
    rest of the network and its training."""
    contract = OBJECTIVES[objective]
    names = [field.name for field in dataclasses.fields(contract.settings)]
    own = {name: settings.pop(name) for name in names if name in settings}
    of_data = DataIdentity.from_manifest(manifest.load(data_dir), contract)
    return dataclasses.replace(
        small_config(data_dir, blocks, epochs=epochs, **settings),
        objective=objective,
        objective_settings=contract.settings(**DEFAULTS[objective] | own),
        data=of_data,
    )
