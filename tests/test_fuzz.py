"""Hostile files: whatever stands in an artefact, its loader returns what is consistent or refuses
it in one line, in bounded time and memory.

    tests/run.sh tests/test_fuzz.py                                              the same few
    examples every time
    tests/run.sh --all tests/test_fuzz.py                                        more of them
    tests/run.sh tests/test_fuzz.py --hypothesis-profile=long [--hypothesis-seed=N]    5,000 others
    for each artefact

What is consistent is said here by predicates of their own, not by the loaders' code.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import math
import resource
import shutil
import signal
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import mutations
from composed import some_base
from forged_records import example, seal
from par.core import config, files, schema
from par.core.errors import DataError, UsageError
from par.data import documents, records
from par.data.corpus import FOUND
from par.data.manifest import DocumentFile, Documents, Manifest
from par.data.tokenizer import Tokenizer
from par.evaluate.compare import plan, statistics, supernet_ablation
from par.evaluate.compare.results import Ablation, Scores
from par.nn import cutoffs
from par.objectives import OBJECTIVES
from par.report import comparison_section
from par.search import architecture, block_table_file, diagnostics, latency_table
from par.search.architecture import Architecture
from par.search.baselines import Cost
from par.search.block_table import BlockTable
from par.search.latency_check import Case, LatencyCheck
from par.search.latency_table import LatencyTable, Spread
from par.shelf import entry as entries
from par.shelf import packing
from par.shelf.entry import About, Entry, File, Index, Listed
from par.tools.cli.recipes import RECIPES, recipe_lines
from par.tools.experiments import pages, record, steps
from par.tools.experiments import settings as settings_of
from par.tools.experiments.settings import Settings
from par.train import checkpoints, history, run_config
from recorded_run import make_run
from reported import write_comparison
from synthetic import make_data, word_tokenizer
from tables import make_table

B, T, V = 3, 7, 53
SECONDS = 10  # of this process' own time
# bytes that Python and NumPy may take for one file, beside 40 for each of its bytes
MEMORY = 64 << 20
RESIDENT = 512 << 10  # KiB by which the process may grow: TensorFlow's memory, too
PI = ((0.7, 0.2, 0.1), (0.25, 0.5, 0.25))


class Artefact(NamedTuple):
    """A file, how it is mutated, the loader that reads it, and what must be true of what comes
    out."""

    path: Path
    mutated: Callable[[bytes], st.SearchStrategy[bytes]]
    load: Callable[[], Any]
    check: Callable[[Any], None]
    refuses: tuple[type[Exception], ...] = (DataError,)
    # whether Python's memory is watched, which makes a loader that traces graphs slow; else only
    # the process'
    traced: bool = True


@contextlib.contextmanager
def bounded(size: int, traced: bool) -> Iterator[None]:
    """Fails if the block takes longer than SECONDS, or more memory than a file of `size` bytes
    needs."""

    def late(*_: Any) -> None:
        raise AssertionError(f"it takes more than {SECONDS} s")

    before, resident = (
        signal.signal(signal.SIGPROF, late),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    )
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    if traced:
        tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
    assert peak < MEMORY + 40 * size, f"{peak:,} bytes for a file of {size:,}"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - resident < RESIDENT


def met(artefact: Artefact, content: bytes) -> bool:
    """Whether the loader takes a file of this content. Fails if what it takes is not consistent,
    or its refusal is not one line of bounded length."""
    artefact.path.write_bytes(content)
    try:
        with bounded(len(content), artefact.traced):
            value = artefact.load()
    except artefact.refuses as error:
        said = str(error)
        assert said.isprintable() and 10 < len(said) < 4_100, said[:200]
        return False
    artefact.check(value)
    return True


# ---- what is consistent ----


def sound_manifest(made: Manifest) -> None:
    size = made.batch_size * made.seq_len
    assert (
        size > 0
        and made.vocab_size > 0
        and set(made.splits) == {"train", "valid", "test"}
        and "/" not in made.name
    )
    for name, split in made.splits.items():
        targets = split.tokens - 1
        assert (
            split.steps == (targets // size if name == "train" else math.ceil(targets / size)) > 0
        )
        assert split.dropped == (targets % size if name == "train" else 0)
        assert sum(file.steps for file in split.files) == split.steps and len(
            {file.name for file in split.files}
        ) == len(split.files)
        assert all(
            file.steps > 0 and file.size > 4 * size * file.steps and file.size % file.steps == 0
            for file in split.files
        )
        assert not any(".." in file.name or file.name.startswith("/") for file in split.files)
        assert (
            0
            <= split.lines
            <= split.words
            <= split.characters
            <= split.bytes
            <= 4 * split.characters
            and split.words > 0
        )
    assert (made.settings["batch_size"], made.settings["seq_len"], made.settings["lowercase"]) == (
        made.batch_size,
        made.seq_len,
        made.lowercase,
    )


def sound_config(made: tuple[run_config.RunConfig, Path]) -> None:
    own = made[0]
    model, data, search = own.model, own.data, own.search
    assert (
        own.total_steps == own.training.epochs * data.steps_per_epoch > 0
        and set(own.architecture.blocks) <= set("adis")
        and own.architecture.blocks
    )
    assert list(model.cutoffs) == sorted(set(model.cutoffs)) and all(
        0 < cutoff < data.vocab_size for cutoff in model.cutoffs
    )
    assert model.d_model % model.num_heads == 0 and len(model.proj_dims) in (0, len(model.cutoffs))
    assert all(
        math.isfinite(value)
        for group in (model, search, own.training)
        for value in vars(group).values()
        if isinstance(value, float)
    )
    assert data.batch_size > 0 and data.seq_len > 0 and "/" not in data.name + own.recipe
    assert "s" not in own.architecture.blocks or search.arch_warmup < own.total_steps
    if own.base:
        parts = [part for level in own.base.stack.levels for part in level]
        names = [part.name for part in parts]
        assert all(own.base.stack.levels) and len(set(names)) == len(names) <= 64
        assert set(own.base.trained) <= set(names) and not model.tie_embeddings
        assert own.objective != "causal_lm" or {part.visibility for part in parts} == {"causal"}
        for part in parts:
            assert (
                set(part.blocks) <= set("adis") and part.model.d_model % part.model.num_heads == 0
            )
            assert not {" ", ",", "/", "\n"} & set(part.name) and len(part.train_sha256) == 64
    json.dumps(own.identity(), allow_nan=False).encode("ascii")


def sound_run(made: history.Run) -> None:
    train, valid = made.rows["train"], made.rows["valid"]
    assert 0 < made.last_step <= made.total_steps
    for rows in (train, valid):
        assert all(1 <= row["step"] <= made.last_step and row["seconds"] >= 0 for row in rows)
        assert all(
            a["step"] <= b["step"] and a["seconds"] <= b["seconds"]
            for a, b in itertools.pairwise(rows)
        )
    assert all(
        a["step"] < b["step"] and a["tau"] >= b["tau"] * 0.9999
        for a, b in itertools.pairwise(train)
    )
    assert all(
        0.0999 < row["tau"] < 1.0001 and 0 <= row["learning_rate"] < 0.00101 for row in train
    )
    pi = made.pi()
    assert (
        pi.shape == (len(train), len(made.blocks), 3)
        and (pi >= 0).all()
        and np.allclose(pi.sum(2), 1, atol=1e-3)
    )
    assert all(
        pi[:, place, "adi".index(kind)].all()
        for place, kind in enumerate(made.blocks)
        if kind != "s"
    )
    assert all(
        math.isclose(
            row["perplexity_per_token"] or math.inf,
            math.exp(min(row["nll_per_token"], 709.7)),
            rel_tol=1e-3,
        )
        for row in valid
        if row["nll_per_token"] < 700
    )
    assert all((row["evaluate_as"] == "fixed") == ("s" not in made.blocks) for row in valid)
    history.table(made.rows, OBJECTIVES["causal_lm"])


def sound_architecture(made: Architecture) -> None:
    assert (
        made.blocks
        and set(made.blocks) <= set("adis")
        and made.rule in ("hand", "argmax", "consensus", "budget", "paper")
    )
    assert bool(made.pi) == (made.rule in ("argmax", "consensus", "budget")) and (
        not made.search_run or made.pi
    )
    if made.pi:
        assert (
            len(made.pi) == len(made.blocks)
            and np.allclose(np.sum(made.pi, 1), 1, atol=1e-3)
            and "s" not in made.blocks
        )
    if made.rule in ("argmax", "consensus"):
        assert all(row["adi".index(kind)] == max(row) for kind, row in zip(made.blocks, made.pi))
    if made.latency:
        own = next(case for case in made.latency.cases if case.what == made.latency.chosen_by)
        assert made.latency.budget_ms is None or own.network_ms <= made.latency.budget_ms * 1.0001
        assert made.latency.budget_ratio is None or math.isclose(
            made.latency.budget_ms, made.latency.budget_ratio * own.interleaved_ms, rel_tol=1e-4
        )
        made.latency.lines("ad", "ad")
    assert made.to_json() == json.loads(json.dumps(made.to_json(), allow_nan=False))


def sound_table(made: LatencyTable) -> None:
    for what in ("inference", "training_step", "decoding"):
        costs = made.costs(what)
        assert (
            all(0 <= ms < math.inf for ms in costs)
            and costs.constant > 0
            and 0 < costs.share_of_interleaved("ad") < math.inf
        )
        assert all(
            spread.low <= spread.milliseconds <= spread.high
            for spread in getattr(made, what).values()
        )
    assert (
        made.vocab_size > max(made.model.cutoffs, default=0)
        and made.batch_size > 0
        and made.seq_len > 0
    )
    json.dumps(made.to_json(), ensure_ascii=False, allow_nan=False).encode("utf-8")


def sound_block_table(made: BlockTable) -> None:
    size, seeds, epochs = made.valid_nll.shape
    assert size == 2 ** (made.num_blocks + 1) - 1 == len(set(made.networks))
    assert made.seeds.shape == (seeds,) and sorted(set(made.seeds.tolist())) == list(made.seeds)
    for name in ("train_nll", "valid_nll", "seconds"):
        values = getattr(made, name)
        assert values.shape == (size, seeds, epochs) and values.dtype == np.float32
        # what is known are the first epochs
        assert (np.isfinite(values).sum(axis=2) == made.epochs_trained).all()
        assert not (values < 0).any() and not np.isinf(values).any()
    assert made.test_nll.shape == (size, seeds)
    assert (made.epochs_trained[made.is_whole] == epochs).all()
    for name in ("parameters", "latency_ms", "measured_latency_ms"):
        values = getattr(made, name)
        assert values.shape == (size,) and (np.isnan(values) | (values > 0)).all()
    assert min(*made.tokens, made.steps_per_epoch) > 0 and all(
        0 < n < math.inf for n in made.words
    )
    json.dumps(made.about, allow_nan=False).encode("ascii")
    for network, seed in zip(made.networks, itertools.repeat(made.seeds[0].item())):
        with contextlib.suppress(UsageError):
            assert made.query(network, "test_perplexity_per_word", seed=seed) >= 1


def sound_counts(made: np.ndarray) -> None:
    assert (
        made.shape == (V,)
        and made.dtype == np.int64
        and made.min() >= 0
        and int(made.sum()) == 503
    )


def sound_frequencies(made: np.ndarray) -> None:
    assert len(made) >= 2 and np.isfinite(made).all() and made.min() >= 0 < made.max()


def sound_note(made: dict[str, Any]) -> None:
    assert (
        made["best"] is None
        or made["best"]["step"] >= 0 <= made["best"]["nll_per_token"] < math.inf
    )
    assert (
        all(nll >= 0 <= weight for nll, weight in made["sums"].values())
        and 0 <= made["seconds"] < math.inf
    )
    assert all(
        type(length) is int and length >= 0 for length in made["files"].values()
    ) and isinstance(made["run"], dict)
    watch = diagnostics.Stability.from_json(made["watch"])
    assert len(watch.choice) == len(watch.unchanged) and 0 <= watch.stable_share() <= 1
    json.dumps(made, allow_nan=False)


def sound_scores(made: Scores) -> None:
    figures = (made.parameters, made.seconds, made.compared, *made.others.values())
    assert all(0 <= figure < math.inf for figure in figures)


def sound_results(made: record.Results) -> None:
    assert made.name == "small" and made.rows and made.commits and 0 <= made.seconds < math.inf
    assert made.machine.cores > 0 and all(len(digest) == 64 for digest in made.corpus.values())
    values = [value for row in made.rows for value in row.values()]
    assert all(isinstance(value, str | int | float | None) for value in values)
    list(settings_of.differences(made.settings, made.settings))
    pages.source("README.md", made)


def sound_step(made: steps.StepRecord) -> None:
    assert made.key == "0" * 64 and made.commit.isalnum() and 0 <= made.seconds < math.inf
    assert isinstance(made.output, dict)


def sound_flags(made: list[str]) -> None:
    assert all(line.startswith("-") and "\n" not in line for line in made)


# ---- the artefacts, as the program makes them ----

SPREADS = {
    "constant": Spread(5.0, 4.5, 6.0),
    "a": Spread(2.0, 1.0, 3.0),
    "d": Spread(0.75, 0.5, 1.0),
    "i": Spread(0.125, 0.0, 0.25),
}
FIGURES = {
    "nll_per_token": 3.0,
    "perplexity_per_token": math.exp(3.0),
    "perplexity_per_word": math.exp(12.0),
}
FIGURES |= {"bits_per_character": 2.5, "bits_per_byte": 2.0, "tokens": 200, "words": 50.0}
SCORES = {"step": 7, "parameters": 77, "seconds": 1.5, "valid": FIGURES, "test": FIGURES}
NOTE = {
    "sums": {name: [1.5, 2.0] for name in ("log", "record", "evaluation")},
    "seconds": 1.5,
    "best": {"step": 5, "nll_per_token": 3.0},
}
NOTE |= {
    "files": {"history.jsonl": 100},
    "run": {"model.d_model": 16, "objective": "causal_lm"},
    "watch": diagnostics.Stability("ad", (1, 2), ("still",)).to_json(),
}


def own_manifest(root: Path) -> Artefact:
    return Artefact(
        root / "data" / "manifest.json",
        mutations.json_file,
        lambda: records.load(root / "data"),
        sound_manifest,
    )


def some_documents(rows: int, sha256: str) -> Documents:
    """What a manifest says of documents of 5 authors and 7 groups."""
    table = DocumentFile(rows, 0, sha256)
    return Documents(
        "author", 5, 7, "0" * 64, dict.fromkeys(FOUND, 3), dict.fromkeys(records.SPLITS, table)
    )


def own_documents(root: Path) -> Artefact:
    """A manifest with documents."""
    path = root / "listed" / "manifest.json"
    path.parent.mkdir(exist_ok=True)
    whole = json.loads((root / "data" / "manifest.json").read_text())
    whole["documents"] = dataclasses.asdict(some_documents(0, "1" * 64))
    path.write_text(json.dumps(whole))

    def sound(made: Manifest) -> None:
        sound_manifest(made)
        if made.documents:
            assert set(made.documents.splits) == set(made.splits)
            assert set(made.documents.counts) == set(FOUND) and len(made.documents.sha256) == 64
            assert all(
                0 <= file.rows <= made.splits[name].lines and len(file.sha256) == 64
                for name, file in made.documents.splits.items()
            )

    return Artefact(path, mutations.json_file, lambda: records.load(path.parent), sound)


def own_document_table(root: Path) -> Artefact:
    """A table whose SHA-256 the manifest has, whatever it holds."""
    path = root / "tabled" / documents.path_of("train")
    path.parent.mkdir(parents=True, exist_ok=True)
    table = np.zeros([40, 6], np.int64)
    table[:, :4] = [[12 * i, 11, i % 6 - 1, i % 8 - 1] for i in range(40)]
    table[:, 4] = [i - 1 if i % 4 else -1 for i in range(40)]
    table[:, 5] = [i % 4 for i in range(40)]
    np.save(path, table)
    made = records.load(root / "data")

    def load() -> np.ndarray:
        listed = some_documents(40, files.sha256(path))
        return documents.load(
            root / "tabled", "train", dataclasses.replace(made, documents=listed)
        )

    def sound(table: np.ndarray) -> None:
        end = 0
        for start, length, author, group, parent, depth in table.tolist():
            assert start >= end and length > 0 and -1 <= author < 5 and -1 <= group < 7
            assert -1 <= parent < 40 and (depth == 0) == (parent == -1)
            assert parent == -1 or table[parent, 5] == depth - 1
            end = start + length
        assert end <= made.splits["train"].tokens - made.splits["train"].dropped

    return Artefact(path, mutations.damaged, load, sound)


def own_config(root: Path) -> Artefact:
    return Artefact(
        root / "run" / "config.json",
        mutations.json_file,
        lambda: run_config.load(root / "run"),
        sound_config,
    )


def own_tower(root: Path) -> Artefact:
    """The configuration of a run on a base."""
    path = root / "tower" / "config.json"
    path.parent.mkdir(exist_ok=True)
    value = json.loads((root / "run" / "config.json").read_text())
    path.write_text(json.dumps(value | {"base": some_base().to_json()}))
    return Artefact(path, mutations.json_file, lambda: run_config.load(path.parent), sound_config)


def run_of(root: Path) -> Callable[[], history.Run]:
    return lambda: history.read_run(root / "run")


def own_history(root: Path) -> Artefact:
    return Artefact(root / "run" / "history.jsonl", mutations.json_lines, run_of(root), sound_run)


def own_summary(root: Path) -> Artefact:
    path = root / "run" / "summary.json"
    path.write_text(
        json.dumps(
            {"step": 70, "seconds": 2.5, "best": None, "parameters": 99, "pi": PI, "blocks": "ad"}
        )
    )
    return Artefact(path, mutations.json_file, run_of(root), sound_run)


def own_architecture(root: Path) -> Artefact:
    cases = (Case("inference", 3.0, 4.0), Case("decoding", 0.5, 0.625))
    times = {
        "inference": np.array([[3.0, 4.0], [3.5, 4.5]]),
        "decoding": np.array([[0.5, 0.6], [0.5, 0.7]]),
    }
    made = Architecture(
        "ad", "argmax", "search", PI, (3,), LatencyCheck("inference", cases).with_measured(times)
    )
    made.save(root / "architecture.json")
    return Artefact(
        root / "architecture.json",
        mutations.json_file,
        lambda: architecture.load(root / "architecture.json"),
        sound_architecture,
    )


def own_budget(root: Path) -> Artefact:
    cases = (Case("inference", 3.0, 4.0), Case("decoding", 0.5, 0.625))
    Architecture(
        "id", "budget", "search", PI, (3,), LatencyCheck("inference", cases, 3.2, 0.8)
    ).save(root / "budget.json")
    return Artefact(
        root / "budget.json",
        mutations.json_file,
        lambda: architecture.load(root / "budget.json"),
        sound_architecture,
    )


def own_table(root: Path) -> Artefact:
    model = config.ModelConfig(d_model=16, num_heads=2, cutoffs=(10,))
    LatencyTable(
        {"machine": "abacus", "cpus": 2},
        model,
        V,
        B,
        T,
        "causal",
        "causal_lm",
        latency_table.NO_BASE,
        7,
        SPREADS,
        SPREADS,
        SPREADS,
    ).save(root / "latency.json")
    return Artefact(
        root / "latency.json",
        mutations.json_file,
        lambda: latency_table.load(root / "latency.json"),
        sound_table,
    )


def own_block_table(root: Path) -> Artefact:
    path = root / "table.npz"
    block_table_file.save(path, make_table(2, (0, 3), 2))
    return Artefact(
        path, mutations.archive_file, lambda: block_table_file.load(path), sound_block_table
    )


def own_counts(root: Path) -> Artefact:
    made = records.load(root / "data")
    return Artefact(
        root / "data" / "counts.txt",
        mutations.number_lines,
        lambda: records.read_counts(root / "data", made),
        sound_counts,
    )


def own_frequencies(root: Path) -> Artefact:
    (root / "counts.txt").write_text("9\n5.5\n3e2\n0\n1\n")
    return Artefact(
        root / "counts.txt",
        mutations.damaged,
        lambda: cutoffs.read_counts(root / "counts.txt"),
        sound_frequencies,
    )


def own_note(root: Path) -> Artefact:
    path = root / "note.json"
    path.write_text(json.dumps(NOTE))
    return Artefact(
        path,
        mutations.json_file,
        lambda: checkpoints.checked_note(path.read_bytes()),
        sound_note,
        (ValueError,),
    )


def own_scores(root: Path) -> Artefact:
    statistics.scores_path(root).write_text(json.dumps(SCORES))
    return Artefact(
        statistics.scores_path(root),
        mutations.json_file,
        lambda: statistics.read_scores(root, "test", OBJECTIVES["causal_lm"].comparison),
        sound_scores,
    )


def own_results(root: Path) -> Artefact:
    path = root / "small.json"
    record.save(
        path,
        record.Results(
            record.SCHEMA,
            "small",
            Settings(
                {"a": "python tools/train.py"}, {"quick": ("--epochs=4",)}, {"train": {"d": 1}}
            ),
            {"train.txt": "0" * 64},
            (0, 1),
            ("0123456789abcdef",),
            False,
            record.Machine("Abacus", 2, 8),
            {"python": "3", "tensorflow": "2"},
            12.5,
            ({"network": "ad", "seed": 1, "perplexity": 2.5, "kept": None},),
            {"a": "text\n"},
            {"picture": "1" * 64},
        ),
    )
    return Artefact(path, mutations.json_file, lambda: record.load(path), sound_results)


def own_step(root: Path) -> Artefact:
    path, key = root / "step.json", "0" * 64
    made = steps.StepRecord(steps.SCHEMA, key, "0123", False, 1.5, {"best": [1, 2]})
    schema.write_json(path, schema.encode(made))
    return Artefact(path, mutations.json_file, lambda: steps.load(path, key), sound_step)


def comparison(root: Path) -> plan.Plan:
    draw = plan.Draw("search", "ad", 2, "latency", Cost("latency", 5.0, (2.0, 0.75)), 0.05, 0)
    networks = [plan.Opponent(("derived",), "ad", False), plan.Opponent(("random 1",), "dd", True)]
    return plan.Plan(
        run_config.load(root / "run")[0],
        root / "data",
        root / "compare",
        draw,
        networks,
        1,
        range(1),
    )


def own_plan(root: Path) -> Artefact:
    made = comparison(root)
    made.keep()

    def same(_: None) -> None:
        assert json.loads((root / "compare" / "plan.json").read_text()) == made.draw.to_json()

    return Artefact(
        root / "compare" / "plan.json",
        mutations.json_file,
        made.keep,
        same,
        (DataError, UsageError),
    )


def own_measured(root: Path) -> Artefact:
    made = comparison(root)
    made.write_measured(
        {blocks: {what: [1.5, 2.0] for what in latency_table.CASES} for blocks in ("ad", "dd")},
        2,
        3,
    )

    def sound(found: dict[str, Any]) -> None:
        assert not found or set(found) == {"ad", "dd"}
        for times in found.values():
            assert all(
                len(times[what]) == 2 and all(0 < ms < math.inf for ms in times[what])
                for what in latency_table.CASES
            )

    return Artefact(
        root / "compare" / "measured.json", mutations.json_file, lambda: made.measured(2, 3), sound
    )


def own_supernet(root: Path) -> Artefact:
    origin = run_config.Origin("search", "last", 70, "0" * 64)
    own = run_config.load(root / "run")[0]
    made = supernet_ablation.AblationPlan(
        root / "run",
        "ss",
        2.5,
        own,
        root / "data",
        root / "compare",
        "ad",
        origin,
        range(1),
        1,
        1e-3,
    )
    made.write_untrained({way: SCORES for way in supernet_ablation.UNTRAINED})

    def sound(found: Ablation) -> None:
        assert supernet_ablation.lines(found) and json.dumps(found.to_json(), allow_nan=False)

    return Artefact(root / "compare" / "supernet.json", mutations.json_file, made.report, sound)


def own_report(root: Path) -> Artefact:
    write_comparison(root / "reported")

    def sound(found: comparison_section.Comparison) -> None:
        texts = [
            *found.opponents.sentences,
            *(cell for row in found.opponents.table.rows for cell in row),
        ]
        assert all(isinstance(text, str) for text in texts) and all(
            1 <= point.y[0] < math.inf for point in found.opponents.points
        )

    return Artefact(
        root / "reported" / "compare.json",
        mutations.json_file,
        lambda: comparison_section.load_comparison(root / "reported"),
        sound,
    )


def own_recipe(root: Path) -> Artefact:
    path = root / "own.flags"
    path.write_bytes((RECIPES / "quick.flags").read_bytes())
    return Artefact(
        path, mutations.damaged, lambda: recipe_lines(str(path)), sound_flags, (UsageError,)
    )


def own_tokenizer(root: Path) -> Artefact:
    path = root / "tokenizer.model"
    path.write_bytes(word_tokenizer(V).model)

    def sound(made: Tokenizer) -> None:
        ids = np.concatenate(made.encode(["w12 w13 and others", ""]))
        assert ids.min() >= 0 and ids.max() < made.vocab_size and (ids == 3).sum() == 2
        made.decode(ids)

    return Artefact(path, mutations.damaged, lambda: Tokenizer.load(path), sound)


ABOUT = About(
    *("en_docs", "v1", "MIT", "a network", "0.1.0", "causal_lm", "ad", "words", "0" * 64),
    parameters=100,
    step=7,
    checkpoints=("last", "best"),
    splits=("valid",),
)


def own_entry(root: Path) -> Artefact:
    path = root / "v1.json"
    files = [
        File("README.md", 9, "1" * 64),
        File("config.json", 20, "2" * 64),
        File("data/manifest.json", 30, "3" * 64),
    ]
    made = Entry(1, ABOUT, File("v1.tar", 5_000, "4" * 64), tuple(files))
    path.write_text(json.dumps(schema.encode(made)))

    def sound(made: Entry) -> None:
        assert (made.about.name, made.about.tag, made.archive.name) == ("en_docs", "v1", "v1.tar")
        names = [file.name for file in made.files]
        assert names and len(set(names)) == len(names) and "shelf.json" not in names
        for name in names:
            assert name.isascii() and name.isprintable() and len(name) <= 100
            assert not name.startswith("/") and not {"", ".", ".."} & set(name.split("/"))
        assert all(len(file.sha256) == 64 and 0 <= file.size < 1 << 33 for file in made.files)

    def load() -> Entry:
        return entries.decode_entry(path.read_bytes(), str(path), "en_docs@v1")

    return Artefact(path, mutations.json_file, load, sound)


def own_index(root: Path) -> Artefact:
    path = root / "_index.json"
    listed = [
        Listed(dataclasses.replace(ABOUT, tag=tag), File(f"{tag}.tar", 5_000, "5" * 64))
        for tag in ("v1", "v2")
    ]
    path.write_text(json.dumps(schema.encode(Index(1, tuple(listed)))))

    def sound(made: Index) -> None:
        names = [listed.name for listed in made.entries]
        assert len(set(names)) == len(names)
        assert all("/" not in name and name[0] not in "._@" for name in names)

    return Artefact(
        path,
        mutations.json_file,
        lambda: entries.decode_index(path.read_bytes(), str(path)),
        sound,
    )


def own_archive(root: Path) -> Artefact:
    """An archive whose files are known: what is taken of it is what was packed."""
    path, out = root / "v1.tar", root / "unpacked"
    contents = {"README.md": b"# a\n", "data/empty": b"", "data/x": bytes(range(256)) * 9}
    with open(path, "wb") as stream:
        files = packing.pack(list(contents.items()), stream)

    def load() -> dict[str, bytes]:
        shutil.rmtree(out, ignore_errors=True)
        packing.unpack(path, files, out)
        return {name: (out / name).read_bytes() for name in contents}

    def sound(made: dict[str, bytes]) -> None:
        assert made == contents
        assert sum(each.is_file() for each in out.rglob("*")) == len(contents)

    return Artefact(path, mutations.damaged, load, sound)


ARTEFACTS = {
    made.__name__.removeprefix("own_"): made
    for made in (
        own_manifest,
        own_documents,
        own_document_table,
        own_config,
        own_tower,
        own_history,
        own_summary,
        own_architecture,
        own_budget,
        own_table,
        own_block_table,
        own_counts,
        own_frequencies,
        own_note,
        own_scores,
        own_results,
        own_step,
        own_plan,
        own_measured,
        own_supernet,
        own_report,
        own_recipe,
        own_tokenizer,
        own_entry,
        own_index,
        own_archive,
    )
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A data set, a run and what belongs to them; a test puts back what it has changed."""
    root = tmp_path_factory.mktemp("artefacts")
    draw = np.random.default_rng(5)
    make_data(
        root / "data",
        *(draw.integers(8, V, length) for length in (503, 101, 43)),
        vocab_size=V,
        batch_size=B,
        seq_len=T,
        shards=3,
    )
    made = make_run(root / "logs" / "run", "ssad", count=10)
    shutil.move(made, root / "run")
    return root


def examples(count: int) -> Callable[[Callable], Callable]:
    """So many of the fixed examples, or as many as another profile says."""
    return (
        settings(max_examples=count)
        if settings.get_current_profile_name() == "fixed"
        else settings()
    )


def fuzz(folder: Path, name: str, data: st.DataObject) -> None:
    artefact = ARTEFACTS[name](folder)
    sound = artefact.path.read_bytes()
    try:
        met(artefact, data.draw(artefact.mutated(sound)))
    finally:
        artefact.path.write_bytes(sound)


@pytest.mark.parametrize("name", ARTEFACTS)
def test_an_artefact_as_it_was_written_is_taken(folder, name):
    artefact = ARTEFACTS[name](folder)
    assert met(artefact, artefact.path.read_bytes())


@pytest.mark.parametrize("name", ARTEFACTS)
@examples(12)
@given(data=st.data())
def test_a_mutated_artefact_is_refused_in_one_line_or_consistent(folder, name, data):
    fuzz(folder, name, data)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARTEFACTS)
@examples(150)
@given(data=st.data())
def test_many_mutated_artefacts_are_refused_in_one_line_or_consistent(folder, name, data):
    fuzz(folder, name, data)


# ---- record files ----


def crc32c(content: bytes) -> int:
    """The checksum of TFRecord, bit by bit: CRC-32C, turned and shifted."""
    value = 0xFFFFFFFF
    for byte in content:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    value ^= 0xFFFFFFFF
    return ((value >> 15 | value << 17) + 0xA282EAD8) & 0xFFFFFFFF


def framed(record: bytes, length: int | None = None) -> bytes:
    """A record as TFRecord frames it, with checksums that are right; length: another one than the
    record has."""
    size = (len(record) if length is None else length).to_bytes(8, "little")
    return (
        size + crc32c(size).to_bytes(4, "little") + record + crc32c(record).to_bytes(4, "little")
    )


def test_a_record_that_is_framed_here_is_one_to_tensorflow(tmp_path):
    (tmp_path / "file").write_bytes(framed(b"one") + framed(bytes(300)))
    assert [record.numpy() for record in tf.data.TFRecordDataset(str(tmp_path / "file"))] == [
        b"one",
        bytes(300),
    ]


def windows(content: bytes) -> list[bytes]:
    """The records of a file that is whole."""
    found, at = [], 0
    while at < len(content):
        size = int.from_bytes(content[at : at + 8], "little")
        found.append(content[at + 12 : at + 12 + size])
        at += size + 16
    return found


def huge_tensor(*shape: int) -> bytes:
    """The Example of a tensor that says it has this shape, and has one value."""
    proto = tf.make_tensor_proto([7], tf.int32)
    proto.tensor_content = b""
    proto.int_val.append(7)
    for dim, size in zip(proto.tensor_shape.dim, shape):
        dim.size = size
    for size in shape[1:]:
        proto.tensor_shape.dim.add(size=size)
    return example(proto.SerializeToString())


FORGED = {
    "shape of 4 TB": lambda record: framed(huge_tensor(1 << 40)),
    "shape of 2^62": lambda record: framed(huge_tensor(1 << 31, 1 << 31)),
    "shape below 0": lambda record: framed(huge_tensor(-5)),
    "no Example": lambda record: framed(b"\xff" * len(record)),
    "nothing": lambda record: framed(b""),
    "length of 2^60": lambda record: framed(record, 1 << 60),
    "length of 2^64 - 1": lambda record: framed(record, (1 << 64) - 1),
    "length too short": lambda record: framed(record, 3),
    "an id beyond": lambda record: framed(record[:-4] + b"\xff\xff\xff\x7f"),
    "an id below 0": lambda record: framed(record[:-4] + b"\xff\xff\xff\xff"),
    "half a window": lambda record: framed(record[: len(record) // 2]),
    "a wrong checksum": lambda record: framed(record)[:-1] + b"\0",
}


@st.composite
def mutated_records(draw: st.DrawFn, content: bytes) -> bytes:
    """A record file, damaged, or of records that have changed places, stand twice, are missing, or
    were forged with right checksums."""
    if draw(st.booleans()):
        return draw(mutations.damaged(content))
    made = windows(content)
    number, other = draw(st.integers(0, len(made) - 1)), draw(st.integers(0, len(made) - 1))
    how = draw(st.sampled_from(("swap", "twice", "missing", "forge", "forge")))
    if how == "forge":
        forged = FORGED[draw(st.sampled_from(tuple(FORGED)))](made[number])
        return (
            b"".join(map(framed, made[:number]))
            + forged
            + b"".join(map(framed, made[number + 1 :]))
        )
    made[number], made[other] = made[other], made[number]
    if how == "twice":
        made.insert(other, made[number])
    elif how == "missing":
        del made[other]
    return b"".join(map(framed, made))


RECORDS = "valid/part-00001-of-00003.tfrecord"


def fuzz_records(folder: Path, content: bytes, sealed: bool) -> bool:
    """Whether `verify` takes a data set with this record file, whose manifest was adjusted to it
    if `sealed`."""
    data = folder / "data"
    sound, named = (data / RECORDS).read_bytes(), (data / "manifest.json").read_bytes()

    def load() -> Manifest:
        made = records.load(data)
        records.verify(data, made, ["valid"])
        return made

    def check(made: Manifest) -> None:
        read = records.read_stream(data, made, "valid")
        assert len(read) == made.splits["valid"].tokens and read.min() >= 0 and read.max() < V
        assert sealed or content == sound

    try:
        (data / RECORDS).write_bytes(content)
        if sealed:
            seal(data)
        return met(Artefact(data / RECORDS, mutated_records, load, check, traced=False), content)
    finally:
        (data / RECORDS).write_bytes(sound)
        (data / "manifest.json").write_bytes(named)


@pytest.mark.parametrize(
    "sealed", [False, True], ids=["the manifest as it was", "the manifest adjusted"]
)
@examples(6)
@given(data=st.data())
def test_mutated_records_are_found_before_training_or_are_windows_of_the_vocabulary(
    folder, sealed, data
):
    fuzz_records(
        folder, data.draw(mutated_records((folder / "data" / RECORDS).read_bytes())), sealed
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "sealed", [False, True], ids=["the manifest as it was", "the manifest adjusted"]
)
@examples(40)
@given(data=st.data())
def test_many_mutated_records_are_found_before_training_or_are_windows_of_the_vocabulary(
    folder, sealed, data
):
    fuzz_records(
        folder, data.draw(mutated_records((folder / "data" / RECORDS).read_bytes())), sealed
    )


@pytest.mark.parametrize("fault", FORGED)
def test_a_forged_record_whose_hashes_and_checksums_are_right_is_refused(folder, fault):
    first, *others = windows((folder / "data" / RECORDS).read_bytes())
    content = FORGED[fault](first) + b"".join(map(framed, others))
    assert not fuzz_records(folder, content, sealed=True) and not fuzz_records(
        folder, content, sealed=False
    )


def test_a_flipped_byte_anywhere_in_a_record_file_is_found(folder):
    sound = (folder / "data" / RECORDS).read_bytes()
    for place in range(0, len(sound), 61):
        assert not fuzz_records(
            folder, sound[:place] + bytes([sound[place] ^ 16]) + sound[place + 1 :], sealed=False
        ), place
