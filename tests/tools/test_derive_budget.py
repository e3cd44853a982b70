"""derive under a budget: from the latencies of a search or of a table, of one seed or several,
measured or not; and what it refuses."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
import math
import re

import numpy as np
import pytest

import documented
from faults import change_json
from par.bench import block_latency
from par.core.config import ModelConfig, SearchConfig
from par.core.stats import Quartiles
from par.search import architecture, latency_table
from par.search.latency_table import Spread
from par.tools import derive as tool
from par.tools.derivations import latencies
from par.train import run_config
from recorded_run import make_run
from small import small_config, small_data
from tables import make_latencies

# argmax adad; no two strings are equally likely
PI = [[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.7, 0.19, 0.11], [0.1, 0.65, 0.25]]
MS = (2.0, 1.0, 0.0, 4.0)  # attention, dense, identity, the rest: adad takes 10


def searched(directory, pi=PI, of="inference", seed=3):
    """A search of four blocks that was given latencies."""
    run = make_run(directory, "ssss", [[[1 / 3] * 3] * 4, pi], seed=seed)
    search = SearchConfig(latency_ms=MS, latency_of=of)
    dataclasses.replace(run_config.load(run)[0], search=search).save(
        run, directory.parent / "data"
    )
    return run


def make_table(path, **changes):
    """At the shape of `make_run`: inference as MS says, decoding a quarter of that, a training
    step three times as much."""
    parts = {part: Spread(ms, ms, ms) for part, ms in zip(("a", "d", "i", "constant"), MS)}
    factors = {"inference": 1.0, "training_step": 3.0, "decoding": 0.25}
    cases = {
        what: {part: Spread(*(factor * ms for ms in spread)) for part, spread in parts.items()}
        for what, factor in factors.items()
    }
    make_latencies(ModelConfig(), device={}, **cases | changes).save(path)
    return path


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return searched(tmp_path / "run")


@pytest.fixture
def table(tmp_path):
    return make_table(tmp_path / "table.json")


def told(capsys, *flags):
    """What derive prints as JSON."""
    assert tool.main([*flags, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def probabilities():
    """Of every network, by enumeration of the strings that spell it."""
    found = collections.defaultdict(float)
    for kinds in itertools.product("adi", repeat=4):
        p = math.prod(row["adi".index(kind)] for row, kind in zip(PI, kinds))
        found[architecture.network_of("".join(kinds))] += p
    return found


def best_within(limit):
    """The likeliest network, by enumeration."""
    costs, found = latency_table.Costs(*MS), probabilities()
    return max((each for each in found if costs.milliseconds(each) <= limit), key=found.get)


@pytest.mark.parametrize(
    ("flag", "limit"),
    [
        ("--budget_ms=10", 10.0),
        ("--budget_ms=9.9", 9.9),
        ("--budget_ms=8", 8.0),
        ("--budget_ratio=0.8", 8.0),
        ("--budget_ratio=0.65", 6.5),
        ("--budget_ratio=1.0", 10.0),
        ("--budget_ms=1e6", 1e6),
        ("--budget_ms=4", 4.0),
    ],
)
def test_the_likeliest_network_within_the_budget_is_written(flag, limit, run, capsys):
    best = best_within(limit)
    found = told(capsys, "--run=run", flag)
    assert found["network"] == best and found["rule"] == "budget"
    assert found["log_probability"] == pytest.approx(math.log(probabilities()[best]))
    written = architecture.load(run / "architecture.json")
    assert written.blocks == found["architecture"] and len(written) == 4
    assert (written.network, written.rule, written.search_run, written.seeds) == (
        best,
        "budget",
        "run",
        (3,),
    )
    assert written.latency.to_json() == found["latency"] and written.latency.pairs == 0
    assert written.latency.budget_ratio == (
        float(flag.split("=")[1]) if "ratio" in flag else None
    ) and written.pi == tuple(map(tuple, PI))
    assert (
        found["latency"]["cases"]["inference"]["predicted"]["network"]
        <= found["latency"]["budget_ms"]
    )


def test_people_read_the_budget_what_it_costs_and_the_next_command(run, capsys):
    assert tool.main(["--run=run", "--budget_ratio=0.8"]) == 0
    out, err = capsys.readouterr()
    lines, best = out.splitlines(), best_within(8.0)
    assert (
        lines[0]
        == f"architecture: {best}, spelled diad (from ssss, likeliest network within 8.000 ms of"
        " inference by pi at step 14 of 14)"
    )
    assert (
        f"latency of {best}: 8.00 ms inference, 80.0% of the 10.00 ms of adad" in lines
        and err == ""
    )
    assert (
        lines[-2] == "written: run/architecture.json"
        and "--architecture=run/architecture.json" in lines[-1]
    )


def test_a_search_without_latencies_and_a_budget_too_small_are_told_what_helps(
    tmp_path, run, capsys
):
    make_run(tmp_path / "plain", "ssss", [PI])
    before = sorted(tmp_path.rglob("*"))
    for flags, said in (
        (
            ("--run=plain", "--budget_ms=3"),
            (
                "error: run plain was given no latencies: give --latency_table=FILE, which"
                " tools/measure_latency.py makes"
            ),
        ),
        (("--run=plain", "--pareto"), "error: run plain was given no latencies"),
        (
            ("--run=plain", "--latency_of=decoding"),
            (
                "error: the search was given no latencies, but latency_of is decoding: give"
                " --latency_table=FILE"
            ),
        ),
        (
            ("--run=run", "--output=run/config.json"),
            (
                "error: --output=run/config.json is what the architecture is derived from: give"
                " another file"
            ),
        ),
        (
            ("--run=run", "--budget_ms=3.9"),
            "error: no network fits a budget of 3.9 ms: the least is 4 ms, of i",
        ),
        (
            ("--run=run", "--budget_ratio=0.39"),
            "error: no network fits a budget of 3.9 ms: the least is 4 ms, of i",
        ),
        (
            ("--run=run", "--budget_ms=9", "--latency_of=decoding"),
            "error: the search was given latencies of inference, not of decoding: give --latency",
        ),
    ):
        assert tool.main(list(flags)) == 1
        out, err = capsys.readouterr()
        assert out == "" and err.startswith(said) and err.count("\n") == 1, err
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (
            ("--budget_ms=3", "--budget_ratio=0.5"),
            "give either --budget_ms or --budget_ratio, but both are given: 3.0 ms and 0.5",
        ),
        (("--budget_ms=0",), "--budget_ms must be above 0 and at most 1e+09, but is 0.0"),
        (("--budget_ratio=-1",), "--budget_ratio must be above 0 and at most 1e+09, but is -1.0"),
        (("--budget_ms=nan",), "--budget_ms must be above 0 and at most 1e+09, but is nan"),
        (("--budget_ms=inf",), "--budget_ms must be above 0 and at most 1e+09, but is inf"),
        (("--budget_ms=fast",), "flag --budget_ms=fast"),
        (
            ("--budget_ms=3", "--rule=argmax"),
            "--budget_ms chooses by latency, but --rule=argmax does not: leave --rule out",
        ),
        (
            ("--pareto", "--rule=consensus"),
            "--pareto chooses by latency, but --rule=consensus does not",
        ),
        (
            ("--budget_ms=3", "--rule=paper"),
            "--budget_ms chooses by latency, but --rule=paper does not",
        ),
        (("--rule=budget",), "--rule=budget needs --budget_ms or --budget_ratio, or --pareto"),
        (
            ("--rule=paper", "--latency_table=t.json"),
            (
                "--latency_table goes with a search, but --rule=paper depends only on the"
                " number of blocks"
            ),
        ),
        (("--measure",), "--measure needs --latency_table=FILE"),
        (("--calibrate",), "--calibrate needs --latency_table=FILE"),
        (
            ("--pareto", "--output=chosen.json"),
            (
                "--pareto alone chooses no network, to write or to measure: leave --output out, or"
                " give a budget, too"
            ),
        ),
        (
            ("--latency_table=t.json", "--pareto", "--pairs=3"),
            "--pareto alone chooses no network, to write or to measure: leave --pairs out",
        ),
        (("--budget_ms=3", "--pairs=9"), "--pairs needs --latency_table=FILE"),
        (("--latency_table=t.json", "--pairs=0"), "--pairs must be from 1 to 10000, but are 0"),
        (
            ("--latency_table=t.json", "--nomeasure", "--pairs=3"),
            "--pairs has no effect beside --nomeasure: leave one of both out",
        ),
        (
            ("--latency_table=t.json", "--nomeasure", "--calibrate"),
            "--calibrate needs a network that is measured",
        ),
        (
            ("--latency_table=t.json", "--pareto", "--calibrate"),
            "--calibrate needs a network that is measured",
        ),
        (
            ("--budget_ms=3", "--num_blocks=4"),
            "--num_blocks=4 goes with --rule=paper, but --rule=budget needs a search",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_flags_that_do_not_go_together_are_one_line(flags, said, run, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    assert tool.main(["--run=run", *flags]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"error: {said}") and err.count("\n") == 1, err
    assert sorted(tmp_path.rglob("*")) == before


def test_several_seeds_count_by_their_mean(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    other = [[0.1, 0.3, 0.6], [0.2, 0.1, 0.7], [0.7, 0.2, 0.1], [0.1, 0.2, 0.7]]
    for seed, pi in enumerate((PI, other, other)):
        searched(tmp_path / "group" / f"seed{seed}", pi, seed=seed)
    mean = np.mean([PI, other, other], axis=0)
    found = told(capsys, "--run=group", "--budget_ms=7")
    assert (
        np.allclose(found["pi"], mean, rtol=1e-12)
        and found["seeds"] == [0, 1, 2]
        and found["architecture"] == "diai"
    )
    assert (
        found["agreement"] == [0, 2, 3, 2]
        and architecture.load(tmp_path / "group" / "architecture.json").blocks == "diai"
    )
    cheaper = told(capsys, "--run=group", "--budget_ms=5")  # agreement is with what was chosen
    assert cheaper["network"] == "d" and cheaper["agreement"][2] == 0
    # a budget may overrule all seeds
    assert not any("fewer than half" in line for line in cheaper["warnings"])
    assert told(capsys, "--run=group/seed0", "--budget_ms=7")["network"] != "da"


def test_the_front_is_listed_and_drawn_without_a_budget_and_nothing_is_chosen(run, capsys):
    assert tool.main(["--run=run", "--pareto", "--plot"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[0].split()) == "inference ms of interleaved log probability network"
    found = probabilities()
    assert lines[1].split() == [
        "4.000",
        "40.0%",
        f"{math.log(found['i']):.3f}",
        "i",
    ]
    assert lines[-3].split() == [
        "10.000",
        "100.0%",
        f"{math.log(found['adad']):.3f}",
        "adad",
    ]
    assert (
        lines[-1].startswith("drawn:   run/plots/pareto.png: ")
        and not (run / "architecture.json").exists()
    )
    found = told(capsys, "--run=run", "--pareto")
    assert [point["network"] for point in found["pareto"]] == [
        line.split()[-1] for line in lines[1:-2]
    ] and found["latency_of"] == "inference"
    chosen = told(capsys, "--run=run", "--pareto", "--budget_ms=8", "--plot")
    documented.check("derive --pareto --json", found)
    documented.check("derive --json", chosen)
    assert chosen["pareto"] == found["pareto"] and chosen["architecture"] in [
        point["blocks"] for point in found["pareto"]
    ]
    assert sorted(path.name for path in (run / "plots").iterdir()) == ["pareto.png"]


def test_a_table_gives_every_case_and_its_own_of_may_be_chosen(run, table, capsys):
    flags = ("--run=run", f"--latency_table={table}", "--nomeasure")
    found = told(capsys, *flags, "--budget_ms=2.0", "--latency_of=decoding")
    assert found["latency"]["of"] == "decoding" and list(found["latency"]["cases"]) == [
        "inference",
        "decoding",
    ]
    assert found["architecture"] == told(capsys, *flags, "--budget_ms=8")["architecture"]
    assert list(
        told(capsys, *flags, "--budget_ratio=0.8", "--latency_of=training_step")["latency"][
            "cases"
        ]
    ) == list(latency_table.CASES)
    # a table alone changes nothing but what is told
    assert told(capsys, *flags)["architecture"] == "adad"


def test_a_table_of_another_window_says_what_a_token_takes_in_decoding(run, tmp_path, capsys):
    flags = (
        "--run=run",
        f"--latency_table={make_table(tmp_path / 'other.json', batch_size=3, seq_len=7)}",
        "--nomeasure",
        "--budget_ms=2.0",
    )
    assert list(told(capsys, *flags, "--latency_of=decoding")["latency"]["cases"]) == ["decoding"]
    assert (
        tool.main([*flags, "--latency_of=inference"]) == 3
        and "batch_size 3 there, 4 here" in capsys.readouterr().err
    )


def test_a_table_of_another_dropout_rate_fits_and_one_of_another_shape_does_not(
    run, tmp_path, capsys
):
    table = make_table(tmp_path / "dropped.json", model=ModelConfig(dropout_rate=0.4))
    flags = ["--run=run", f"--latency_table={table}", "--budget_ms=8", "--nomeasure"]
    assert tool.main(flags) == 0
    capsys.readouterr()
    assert tool.main([*flags, "--latency_of=training_step"]) == 3
    assert "is for another shape (dropout_rate 0.4 there, 0.1 here)" in capsys.readouterr().err
    make_table(table, model=ModelConfig(d_ffn=64), seq_len=16)
    assert tool.main(flags) == 3
    assert (
        "(seq_len 16 there, 8 here; d_ffn 64 there, 512 here): measure this one"
        in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        ("schema", 4, "it must have schema 3 and the keys"),
        ("decoding.a.milliseconds", -1.0, "decoding of a must be milliseconds"),
        ("calibration.decoding", 0, "calibration must be factors"),
    ],
)
def test_a_table_that_is_old_or_damaged_is_refused(place, value, said, run, table, capsys):
    change_json(table, place, value)
    assert tool.main(["--run=run", f"--latency_table={table}", "--budget_ms=8"]) == 3
    out, err = capsys.readouterr()
    assert (
        out == ""
        and said in err
        and err.count("\n") == 1
        and not (run / "architecture.json").exists()
    )


@pytest.fixture
def clock(monkeypatch):
    """Timings of a machine that is 1.5 times as slow in inference and exactly as told in decoding;
    what was asked for."""
    asked = []

    def rounds(configs, counts, repeats, steps, cases):
        asked.append(([config.architecture.blocks for config in configs], repeats, list(cases)))
        costs = {"inference": [1.5 * ms for ms in MS], "decoding": [0.25 * ms for ms in MS]}
        whole = {
            what: [
                latency_table.Costs(*costs[what]).milliseconds(config.architecture.blocks)
                for config in configs
            ]
            for what in cases
        }
        return {what: np.tile(ms, (repeats, 1)) for what, ms in whole.items()}

    monkeypatch.setattr(block_latency, "rounds", rounds)
    monkeypatch.setattr(latencies, "start_tensorflow", lambda: None)
    return asked


def test_with_a_table_the_network_is_measured_and_a_wrong_prediction_is_reported(
    run, table, clock, capsys
):
    assert tool.main(["--run=run", f"--latency_table={table}", "--budget_ms=8", "--pairs=4"]) == 0
    out, err = capsys.readouterr()
    written = architecture.load(run / "architecture.json")
    assert clock == [([written.network, "adad"], 4, ["inference", "decoding"])]
    assert written.latency.pairs == 4 and written.latency.cases[0].measured.network == Quartiles(
        12.0, 12.0, 12.0
    )
    assert re.search(
        rf"^{written.network} +inference +8\.000 +12\.000 +12\.000 to 12\.000 +-33\.3%$",
        out,
        re.MULTILINE,
    )
    assert re.search(
        rf"^{written.network} +decoding +2\.000 +2\.000 +2\.000 to 2\.000 +\+0\.0%$",
        out,
        re.MULTILINE,
    )
    assert (
        f"warning: the prediction misses the inference of {written.network} by -33.3%: measure"
        " again, or use --calibrate\n" in err
    )
    assert (
        f"warning: the inference of {written.network} takes 12.000 ms, above the budget of 8.000"
        " ms\n" in err
    )
    assert "tokens are drawn by Zipf's law" in err and "calibrated" not in out
    assert latency_table.load(table).calibration["inference"] == 1.0


def test_calibrating_makes_the_table_predict_what_was_measured_and_again_changes_nothing(
    run, table, clock, capsys
):
    flags = ("--run=run", f"--latency_table={table}", "--calibrate")
    first = told(capsys, *flags, "--budget_ms=8")
    assert (
        first["calibration"]
        == latency_table.load(table).calibration
        == {
            "inference": 1.5,
            "training_step": 1.0,
            "decoding": 1.0,
        }
    )
    again = told(capsys, *flags, "--budget_ms=12")
    assert again["architecture"] == first["architecture"] and again["warnings"] == []
    assert (
        again["calibration"] == first["calibration"]
        and again["latency"]["cases"]["inference"]["error"] == 0
    )
    assert tool.main([*flags, "--budget_ms=12"]) == 0
    assert (
        f"calibrated: {table}: inference x 1.500, training step x 1.000, decoding x 1.000"
        in capsys.readouterr().out
    )


def test_a_table_or_a_place_that_can_not_be_written_is_refused_before_anything_is_measured(
    run, table, clock, tmp_path, capsys
):
    (tmp_path / "taken").mkdir()
    assert (
        tool.main(["--run=run", f"--latency_table={table}", "--budget_ms=8", "--output=taken"])
        == 1
    )
    assert "taken: Is a directory" in capsys.readouterr().err and clock == []
    (run / "plots").write_text("no directory")
    assert tool.main(["--run=run", f"--latency_table={table}", "--budget_ms=8", "--plot"]) == 1
    assert (
        "plots/pareto.png: Not a directory" in capsys.readouterr().err
        and clock == []
        and not (run / "architecture.json").exists()
    )


@pytest.mark.slow  # starts TensorFlow and traces two networks
def test_the_command_measures_a_real_network_in_pairs(tmp_path, call):
    data = small_data(tmp_path / "data")
    config = small_config(data, "ssss", epochs=1)
    run = make_run(tmp_path / "run", "ssss", [PI])
    config = dataclasses.replace(config, data=dataclasses.replace(config.data, steps_per_epoch=7))
    config.save(run, data)
    make_table(tmp_path / "table.json", model=config.model)
    done = call(
        "derive",
        f"--run={run}",
        f"--latency_table={tmp_path / 'table.json'}",
        "--budget_ratio=0.9",
        "--pairs=3",
        "--calibrate",
        "--json",
    )
    assert done.code == 0, done.err
    found = json.loads(done.out)
    documented.check("derive --json", found)
    documented.check("architecture.json", json.loads((run / "architecture.json").read_text()))
    case = found["latency"]["cases"]["decoding"]
    assert (
        found["latency"]["pairs"] == 3
        and 0 < case["measured"]["network"]["low"] <= case["measured"]["network"]["median"]
    )
    assert found["calibration"]["decoding"] == pytest.approx(
        case["measured"]["network"]["median"] / case["predicted"]["network"]
    )
    assert (
        latency_table.load(tmp_path / "table.json").calibration == found["calibration"]
        and "Zipf" not in done.err
    )
