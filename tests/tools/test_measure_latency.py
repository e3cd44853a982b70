"""The latency table: parts that add up to whole networks, and the commands from measuring to a run
that keeps what it needs."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest

import documented
from par.core.config import ModelConfig, SearchConfig
from par.data import manifest
from par.search import derive, latency_table
from par.search.latency_table import NO_BASE, LatencyTable, Spread
from par.train import history, run_config
from project import refused
from recorded_run import make_run
from small import RATES, SHAPE, small_config, small_data

NETWORK, TRAINING = SHAPE, (*RATES, "--epochs=1")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies")


@pytest.fixture
def table_file(tmp_path, data_dir):
    """A table at the shape of NETWORK on that data, as a measurement would leave it."""
    parts = {
        part: Spread(ms, ms / 2, 2 * ms)
        for part, ms in zip(latency_table.PARTS, (4.0, 3.0, 1.5, 0.0))
    }
    slower = {part: Spread(*(10 * ms for ms in spread)) for part, spread in parts.items()}
    data, model = (
        manifest.load(data_dir),
        ModelConfig(d_model=16, num_heads=2, d_ffn=24, mem_len=5),
    )
    LatencyTable(
        {},
        model,
        data.vocab_size,
        data.batch_size,
        data.seq_len,
        "causal",
        "causal_lm",
        NO_BASE,
        3,
        slower,
        parts,
        parts,
    ).save(tmp_path / "table.json")
    return tmp_path / "table.json"


@pytest.mark.slow  # traces two graphs for each of the networks
@pytest.mark.parametrize("of", ["data", "run"])
def test_the_command_writes_the_table_prints_it_and_train_takes_it(
    of, tmp_path, data_dir, call, run_tool
):
    run = tmp_path / "run"
    flags = (f"--data={data_dir}", *NETWORK, "--num_blocks=1")
    if of == "run":
        run.mkdir()
        small_config(data_dir, "s").save(run, data_dir)
        flags = (f"--run={run}",)
    # of retracing TensorFlow warns in a process of its own
    done = (run_tool if of == "data" else call)(
        "measure_latency",
        *flags,
        "--repeats=1",
        "--steps=1",
        *["--json"] * (of == "run"),
        cwd=tmp_path,
    )
    path = run / "latency.json" if of == "run" else tmp_path / "logs" / "synthetic-latency.json"
    assert done.code == 0, done.err
    table = latency_table.load(path)
    if of == "run":
        printed = json.loads(done.out)
        documented.check("measure_latency --json", printed)
        documented.check("latency.json", json.loads(path.read_text()))
        assert printed["path"] == str(path) and printed["table"] == table.to_json()
    else:
        assert "written: logs/synthetic-latency.json" in done.out
        assert [line.split()[0] for line in done.out.splitlines()[3:7]] == [
            "constant",
            "attention",
            "dense",
            "identity",
        ]
        assert re.search(
            r"^a +inference +\d+\.\d+ +\d+\.\d+ +[+-]\d+\.\d%$", done.out, re.MULTILINE
        )
    assert "retracing" not in done.err
    trained = call(
        "train",
        f"--data={data_dir}",
        *NETWORK,
        "--num_blocks=1",
        f"--latency_table={path}",
        f"--run={tmp_path / 'new'}",
        "--print_run",
    )
    assert (trained.code, trained.out.strip()) == (
        0,
        str(tmp_path / "new"),
    ) and table.batch_size == 4


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        ((), 1, ("give --run=DIR, or --data=DIR with settings",)),
        (
            ("--data=DATA", "--repeats=0"),
            1,
            ("--repeats and --steps must be from 1 to 1,000,000, but are 0 and 5",),
        ),
        (
            ("--data=DATA", "--steps=9999999"),
            1,
            ("--repeats and --steps must be from 1 to 1,000,000, but are 7 and 9999999",),
        ),
        (("--data=DATA", "--num_blocks=0"), 1, ("num_blocks must be from 1 to 1024, but is 0",)),
        (
            ("--data=DATA", "--cutoffs=40"),
            1,
            ("cutoffs must lie below the vocabulary size 40", "--cutoffs=none"),
        ),
        (("--data=DATA", "--output=DATA"), 1, ("Is a directory",)),
        (("--data=NOWHERE",), 3, ("has no manifest.json",)),
        (
            ("--run=RUN", "--d_model=16", "--recipe=quick"),
            1,
            ("--run gives the settings, so leave out recipe", "d_model"),
        ),
        (("--run=DATA",), 3, ("has no config.json",)),
    ],
    ids=str,
)
def test_measure_latency_refuses_in_one_line(flags, code, words, data_dir, tmp_path, call):
    flags = [flag.replace("DATA", str(data_dir)).replace("RUN", str(tmp_path)) for flag in flags]
    refused(call("measure_latency", *flags), code, *words)


@pytest.mark.slow
def test_a_search_by_a_table_keeps_what_it_needs_and_its_flagfile_repeats_it_without_the_table(
    tmp_path, data_dir, table_file, call
):
    run, flags = (
        tmp_path / "run",
        (
            f"--data={data_dir}",
            *NETWORK,
            *TRAINING,
            "--architecture=asd",
            "--target_latency=0.5",
            "--log_every=31",
        ),
    )
    done = call(
        "train",
        *flags,
        f"--latency_table={table_file}",
        "--latency_of=training_step",
        f"--run={run}",
    )
    assert done.code == 0, done.err
    blocks = derive.argmax(history.read_run(run).pi()[-1])
    costs = latency_table.load(table_file).costs("training_step")
    assert done.out.splitlines()[-2] == costs.line(blocks, "training_step")
    assert run_config.load(run)[0].search.latency_ms == (30.0, 15.0, 0.0, 40.0) == tuple(costs)
    line = next(
        line
        for line in (run / "training_log.log").read_text().splitlines()
        if line.startswith("step 93/93 epoch")
    )
    expected, share, argmax = re.search(
        r"latency (\S+) ms expected \((\S+)% of interleaved, argmax (\S+)%\)$", line
    ).groups()
    assert float(expected) == pytest.approx(
        costs.expected_ms(history.read_run(run).pi()[-1]), abs=1e-3
    )
    assert float(share) == pytest.approx(100 * float(expected) / costs.interleaved_ms(3), abs=0.06)
    assert float(argmax) == pytest.approx(100 * costs.share_of_interleaved(blocks), abs=0.06)
    events = b"".join(path.read_bytes() for path in (run / "tensorboard" / "train").iterdir())
    for name in ("expected_ms", "expected_share", "argmax_ms", "argmax_share"):
        assert f"latency/{name}".encode() in events
    table_file.unlink()
    again = call("train", f"--flagfile={run / 'flags.txt'}")
    assert again.code == 0 and "already done" in again.out
    asked = json.loads(call("train", f"--flagfile={run / 'flags.txt'}", "--json").out)
    assert asked["latency"] == costs.figures(blocks)


def test_train_refuses_a_target_without_a_table_and_a_table_of_another_shape(
    tmp_path, data_dir, table_file, call
):
    flags = (f"--data={data_dir}", *NETWORK, f"--run={tmp_path / 'run'}", "--target_latency=0.65")
    refused(
        call("train", *flags),
        1,
        "target_latency 0.65 needs --latency_table=FILE, which tools/measure_latency.py makes",
    )
    refused(
        call("train", *flags, f"--latency_table={tmp_path / 'none.json'}"),
        3,
        "latency table",
        "none.json does not exist",
    )
    done = call("train", *flags, "--d_ffn=32", f"--latency_table={table_file}")
    refused(done, 3, f"latency table {table_file} is for another shape (d_ffn 24 there, 32 here)")
    assert not (tmp_path / "run").exists()


def test_derive_tells_the_latency_of_what_it_chose_where_the_run_has_one(tmp_path, call):
    run = make_run(tmp_path / "logs" / "search", "sss")
    assert "latency of" not in call("derive", f"--run={run}").out
    config, _ = run_config.load(run)
    search = SearchConfig(latency_ms=(3.0, 1.5, 0.0, 4.0), latency_of="inference")
    dataclasses.replace(config, search=search).save(run, tmp_path / "data")
    costs, blocks = (
        latency_table.costs_from_settings(search.latency_ms),
        derive.argmax(history.read_run(run).pi()[-1]),
    )
    assert costs.line(blocks, "inference") in call("derive", f"--run={run}").out.splitlines()
    told = json.loads(call("derive", f"--run={run}", "--json").out)["latency"]
    assert told == latency_table.predicted(blocks, "inference", {"inference": costs}).to_json()
