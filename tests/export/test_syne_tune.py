"""The black box of Syne Tune has the figures of the table for every spelling of a network, in the
files that Syne Tune reads."""

from __future__ import annotations

import dataclasses
import importlib.util
import itertools
import json
import sys

import numpy as np
import pytest

import documented
from par.core.errors import UsageError
from par.export import syne_tune
from par.search import block_table_file
from tables import make_table, without

TABLE = make_table(2, (0, 2, 5), 4)
OTHER = dataclasses.replace(make_table(2, (2, 5, 7), 4), train_nll=TABLE.train_nll + 1)


def require(module, how):
    """Skips the test, in words, where a package is not installed."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed: {how}")


def require_pyarrow():
    require("pyarrow", 'pip install "par-transformer-xl[syne-tune]"')


def test_every_spelling_has_the_figures_of_its_network_in_every_task():
    box = syne_tune.black_box({"one": TABLE, "other": OTHER})
    assert box.tasks == ("one", "other") and box.seeds == (2, 5) and box.networks == 7
    assert box.configurations == tuple(map("".join, itertools.product("adi", repeat=2)))
    assert box.evaluations.shape == (2, 9, 2, 4, 7) and box.evaluations.dtype == np.float32
    assert np.isfinite(box.evaluations).all()
    names = dict(zip(box.objectives, itertools.count()))
    for (t, table), (c, blocks), (s, seed), epoch in itertools.product(
        enumerate((TABLE, OTHER)),
        enumerate(box.configurations),
        enumerate(box.seeds),
        range(1, 5),
    ):
        found = box.evaluations[t, c, s, epoch - 1]
        for metric in ("valid_nll", "train_nll"):
            assert found[names[f"metric_{metric}"]] == table.query(blocks, metric, epoch, seed)
        for metric in ("parameters", "latency_ms", "measured_latency_ms"):
            assert found[names[f"metric_{metric}"]] == np.float32(table.query(blocks, metric))
        elapsed = table.query(blocks, "seconds", epoch, seed)
        assert found[names["metric_elapsed_time"]] == elapsed
        before = table.query(blocks, "seconds", epoch - 1, seed) if epoch > 1 else 0
        assert found[names["metric_runtime"]] == pytest.approx(elapsed - before, rel=1e-5)


def test_what_is_not_whole_in_all_tables_is_left_out():
    """A seed that some networks have is left out; a network that lacks the seed most have, too."""
    table = dataclasses.replace(TABLE, **without(TABLE, "ad", 5, epochs=3))
    box = syne_tune.black_box({"one": table})
    assert box.seeds == (0, 2) and box.networks == 7 and len(box.configurations) == 9
    for seed in (0, 2, 5):
        table = dataclasses.replace(table, **without(table, "i", seed))
    box = syne_tune.black_box({"one": table, "whole": TABLE})
    assert box.seeds == (0, 2) and box.networks == 6
    assert "ii" not in box.configurations and len(box.configurations) == 8
    unknown = dataclasses.replace(TABLE, latency_ms=np.where(np.arange(7), 1, np.nan))
    assert "metric_latency_ms" not in syne_tune.black_box({"one": unknown}).objectives
    # of the network that is left out it need not be known
    unknown = dataclasses.replace(table, latency_ms=unknown.latency_ms)
    assert "metric_latency_ms" in syne_tune.black_box({"one": unknown}).objectives


def test_tables_that_do_not_fit_together_or_have_nothing_whole_are_refused():
    for other, said in (
        (make_table(3), r"the same number of blocks and epochs, but one has \(2, 4\) and two has"),
        (make_table(2, (0,), 5), r"two has \(2, 5\): export them one by one"),
        (make_table(2, (1,), 4), "trained to the end with one seed in every table, but one, two"),
    ):
        with pytest.raises(UsageError, match=said):
            syne_tune.black_box({"one": TABLE, "two": other})


@pytest.fixture
def written(tmp_path):
    require_pyarrow()
    box = syne_tune.black_box({"one": TABLE, "other": OTHER})
    syne_tune.write(box, tmp_path)
    return tmp_path, box


def test_the_files_hold_what_they_are_named_after(written):
    from pyarrow import parquet

    path, box = written
    documented.check_files("Black box", path)
    rows = parquet.read_table(path / "hyperparameters.parquet").to_pydict()
    assert list(rows) == ["hp_x0", "hp_x1"]
    assert tuple(map("".join, zip(*rows.values()))) == box.configurations
    assert np.array_equal(np.load(path / "objectives_evaluations.npy"), box.evaluations)
    assert np.load(path / "fidelities_values.npy").tolist() == [1, 2, 3, 4]
    metadata = json.loads((path / "metadata.json").read_text())
    documented.check("metadata.json", metadata)
    assert metadata["task_names"] == ["one", "other"] and metadata["seeds"] == [2, 5]
    assert metadata["objectives_names"] == list(box.objectives)
    space = json.loads((path / "configspace.json").read_text())
    assert list(space) == ["hp_x0", "hp_x1"] and space["hp_x1"] == {
        "domain_cls": "Categorical",
        "domain_kwargs": {"categories": ["a", "d", "i"]},
        "sampler_cls": "Uniform",
        "sampler_kwargs": {},
    }
    fidelity = json.loads((path / "fidelityspace.json").read_text())
    assert fidelity["hp_epoch"]["domain_kwargs"] == {"lower": 1, "upper": 4}


@pytest.mark.filterwarnings("ignore")  # of another program
def test_syne_tune_reads_it_and_its_searchers_find_every_configuration(written):
    how = 'pip install "syne-tune[extra]" fastparquet'
    for module in ("syne_tune", "fastparquet", "huggingface_hub"):
        require(module, how)
    from syne_tune.blackbox_repository.blackbox_tabular import deserialize
    from syne_tune.config_space import choice, randint

    path, box = written
    found = deserialize(str(path))
    assert list(found) == ["one", "other"]
    for table, task in zip((TABLE, OTHER), found.values()):
        assert task.configuration_space == {f"hp_x{i}": choice(["a", "d", "i"]) for i in (0, 1)}
        assert task.fidelity_space == {"hp_epoch": randint(1, 4)}
        assert tuple(task.objectives_names) == box.objectives
        for kinds in itertools.product("adi", repeat=2):
            configuration = dict(zip(("hp_x0", "hp_x1"), kinds))
            values = task.objective_function(configuration, fidelity={"hp_epoch": 3}, seed=1)
            expected = table.query("".join(kinds), "valid_nll", epoch=3, seed=5)
            assert values["metric_valid_nll"] == expected
        drawn = {name: domain.sample() for name, domain in task.configuration_space.items()}
        assert task.objective_function(drawn, seed=0).shape == (4, 7)


# ---- the command ----


@pytest.fixture
def table_file(tmp_path):
    block_table_file.save(tmp_path / "words.npz", TABLE)
    return tmp_path / "words.npz"


def test_the_command_writes_a_table_or_says_what_it_needs(call, table_file, tmp_path):
    require_pyarrow()
    block_table_file.save(tmp_path / "peps.npz", OTHER)
    out = tmp_path / "out"
    flags = (f"--table={table_file}", f"--output={out}")
    done = call("export", *flags)
    assert done.code == 0, done.err
    assert done.out.startswith(
        f"{out}: 1 task, 7 of 7 networks in 9 spellings, 3 seeds (0, 2, 5), 4 epochs,"
    )
    documented.check_files("Black box", out)
    done = call("export", *flags)
    assert done.code == 1 and "--overwrite" in done.err
    done = call("export", *flags, f"--table={tmp_path / 'peps.npz'}", "--overwrite", "--json")
    facts = json.loads(done.out)
    documented.check("export --table --json", facts)
    assert facts["tasks"] == ["words", "peps"] and facts["seeds"] == [2, 5]
    assert facts["bytes"] == sum(file.stat().st_size for file in out.iterdir())
    assert list(tmp_path.glob(".out*")) == []


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        (["--run=logs/x"], 1, "--run has no effect beside --table: leave one of both out"),
        (["--checkpoint=best"], 1, "--checkpoint has no effect beside --table"),
        (["--evaluate_as=soft"], 1, "--evaluate_as has no effect beside --table"),
        (["--output="], 1, "--output=DIR is required"),
        (["--table=elsewhere/peps.npz"], 3, "elsewhere/peps.npz does not exist"),
        (["--table={file}"], 1, "is a second 'words', but every task needs a name"),
        (["--table=words"], 1, "table must be the name of a shipped table"),
        (["--output={file}"], 1, "is not overwritten"),
    ],
)
def test_flags_that_do_not_fit_are_refused_and_nothing_is_written(
    call, table_file, tmp_path, flags, code, said
):
    given = [each.format(file=table_file) for each in flags]
    first = [f"--table={table_file}"] if "--table=words" not in flags else []
    done = call("export", *first, f"--output={tmp_path / 'out'}", *given)
    lines = done.err.splitlines()
    assert (done.code, done.out, len(lines)) == (code, "", 1) and said in lines[0], done.err
    assert [path.name for path in tmp_path.iterdir()] == ["words.npz"]


def test_without_pyarrow_the_command_says_how_to_install_it(
    call, table_file, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = call("export", f"--table={table_file}", f"--output={tmp_path / 'out'}")
    said = (
        "error: a black box of Syne Tune needs pyarrow, which is not installed: pip install"
        ' "par-transformer-xl[syne-tune]"\n'
    )
    assert (done.code, done.out, done.err) == (1, "", said)
    assert [path.name for path in tmp_path.iterdir()] == ["words.npz"]
