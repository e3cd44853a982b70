"""The table of what became of a search: its figures are those of a hand count, nothing stale is in
it, and nothing is trained twice."""

from __future__ import annotations

import dataclasses
import importlib
import json
import math
from pathlib import Path

import pytest

import documented
from par.core.errors import DataError, UsageError
from par.core.stats import interval
from par.evaluate.compare import statistics, supernet_ablation
from par.evaluate.compare.results import Ablation
from par.evaluate.compare.supernet_ablation import FINE_TUNED, SCRATCH, UNTRAINED, AblationPlan
from par.train import run_config, warm_start
from recorded_run import train_row, write_history
from small import RATES, SHAPE, small_config, small_data

PI = [[0.2, 0.7, 0.1], [0.6, 0.3, 0.1]]  # derives da
NETWORK = (*SHAPE, *RATES, "--arch_lr=0.03")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies", train=1_000, valid=200)


@pytest.fixture
def search(tmp_path, data_dir) -> Path:
    """A search as train leaves it, of two epochs of 31 steps, without training it: settings, pi,
    and files with the names of a checkpoint's."""
    made, run_dir = small_config(data_dir, "ss", epochs=2, seed=4), tmp_path / "logs" / "search"
    (run_dir / "checkpoints").mkdir(parents=True)
    made.save(run_dir, data_dir)
    write_history(
        run_dir / "history.jsonl", [train_row(made.total_steps, PI, epoch=2, seconds=100.0)]
    )
    for name in ("ckpt-62.index", "ckpt-62.data-00000-of-00001"):
        (run_dir / "checkpoints" / name).write_text(name)
    return run_dir


@pytest.fixture
def plan(search, data_dir) -> AblationPlan:
    """Two seeds of the network `da`, one epoch of fine-tuning."""
    config, init = run_config.load(search)[0], warm_start.newest_origin(search, "last")
    return AblationPlan(
        search,
        "ss",
        100.0,
        config,
        data_dir,
        Path(f"{search}-compare"),
        "da",
        init,
        range(5, 7),
        1,
        1e-3,
    )


@pytest.fixture
def call(capsys):
    """Runs a command in this process: exit code, stdout, the errors."""

    def run(tool: str, *flags: object) -> tuple[int, str, list[str]]:
        capsys.readouterr()
        code = importlib.import_module(f"par.tools.{tool}").main([str(flag) for flag in flags])
        out, err = capsys.readouterr()
        return code, out, [line for line in err.splitlines() if line.startswith("error: ")]

    return run


def scores(nll_per_word: float, seconds: float = 30.0) -> dict:
    """The content of scores.json: valid has half a nat a word less than test; two tokens a
    word."""
    one = {"tokens": 200, "words": 100.0, "bits_per_byte": 1.5}
    by_split = {
        split: one | {"nll_per_token": (nll_per_word - less) / 2}
        for split, less in (("valid", 0.5), ("test", 0.0))
    }
    return {"step": 62, "parameters": 77, "seconds": seconds} | by_split


def score_all(plan: AblationPlan, tuned: list[float], scratch: list[float]) -> None:
    """Writes scores as if all had been trained; what is not trained any more has an nll of 4, 4.1
    and 4.1 a word."""
    plan.write_untrained(dict(zip(UNTRAINED, map(scores, (4.0, 4.1, 4.1)))))
    left = {FINE_TUNED: iter(tuned), SCRATCH: iter(scratch)}
    for job in plan.jobs():
        if (nll := next(left[job.opponent.label], None)) is not None:
            job.config.save(job.run_dir, plan.data_dir)
            statistics.scores_path(job.run_dir).write_text(
                json.dumps(scores(nll, 10.0 if job.opponent.label == FINE_TUNED else 30.0))
            )


def test_every_row_has_scores_steps_and_time_with_and_without_the_search(plan):
    score_all(plan, [3.9, 4.0], [4.2, 4.4])
    made = plan.report()
    found = made.to_json()
    assert Ablation.from_json(json.loads(json.dumps(found, allow_nan=False)), "truth") == made
    rows = {row["name"]: row for row in found["rows"]}
    assert list(rows) == [*UNTRAINED.values(), FINE_TUNED, SCRATCH]
    assert [row["blocks"] for row in found["rows"]] == ["ss", "ss", "da", "da", "da"]
    assert [(row["steps"], row["seconds"]) for row in found["rows"]] == [(0, 0.0)] * 3 + [
        (31, 10.0),
        (62, 30.0),
    ]
    assert [(row["steps_with_search"], row["seconds_with_search"]) for row in found["rows"]] == [
        (62, 100.0)
    ] * 3 + [(93, 110.0), (124, 130.0)]
    assert rows["SuperNet, soft"]["test"]["perplexity_per_word"] == {
        "mean": pytest.approx(math.exp(4.0)),
        "low": None,
        "high": None,
    }
    tuned = interval([3.9, 4.0]).map(math.exp)
    assert rows[FINE_TUNED]["test"]["perplexity_per_word"] == pytest.approx(tuned._asdict())
    assert rows[FINE_TUNED]["valid"]["perplexity_per_word"]["mean"] == pytest.approx(
        math.exp(3.45)
    )
    assert rows[SCRATCH]["runs"][1]["seed"] == 6 and rows[SCRATCH]["runs"][1]["test"][
        "nll_per_word"
    ] == pytest.approx(4.4)
    assert found["fine_tuned_against_scratch"] == pytest.approx(
        interval([-0.3, -0.4]).map(math.expm1)._asdict()
    )


def test_the_lines_say_what_fine_tuning_costs_and_brings(plan):
    score_all(plan, [3.9], [4.2])
    text = supernet_ablation.lines(plan.report())
    assert len({len(line) for line in text[:6]}) == 1 and text[1].startswith(
        "SuperNet, soft         ss "
    )
    assert text[1].split()[-4:] == ["-", "-", "62", "0:01:40"]
    assert text[4].split()[-4:] == ["31", "0:00:10", "93", "0:01:50"]
    assert (
        text[-1]
        == "fine-tuned beside from scratch: 31 steps beside 62, perplexity per word on test"
        " -25.9 %"
    )


def test_what_is_not_known_yet_is_left_open(plan):
    found = plan.report()
    assert [row.runs for row in found.rows] == [()] * 5
    assert found.fine_tuned_against_scratch is None and plan.untrained() == {}
    assert not {"valid", "test"} & set(found.to_json()["rows"][0])
    assert supernet_ablation.lines(found)[1].split()[:7] == [
        "SuperNet,",
        "soft",
        "ss",
        "-",
        "-",
        "-",
        "-",
    ]
    # what has not been trained has no time yet
    assert supernet_ablation.lines(found)[5].split()[-4:] == ["62", "-", "124", "-"]
    score_all(plan, [3.9], [])
    assert plan.report().fine_tuned_against_scratch is None and len(plan.unfinished()) == 3


def test_fine_tuning_begins_with_the_search_s_weights_and_has_its_own_length_rate_and_warm_up(
    plan,
):
    tuned, scratch = [job.config for job in plan.jobs()][:2]
    assert (
        tuned.init == plan.init
        and scratch.init is None
        and tuned.architecture.blocks == scratch.architecture.blocks == "da"
    )
    # of 2 epochs and 20 steps
    shorter = dataclasses.replace(scratch.training, epochs=1, max_lr=1e-3, warmup_steps=10)
    assert tuned.training == shorter and tuned.model == scratch.model and tuned.training.seed == 5


def test_the_run_from_scratch_is_the_one_of_the_comparison(search, plan, call):
    score_all(plan, [], [4.2, 4.4])
    code, out, _ = call(
        "compare",
        f"--run={search}",
        "--num_seeds=2",
        "--num_random=0",
        "--match=none",
        "--dry_run",
        "--json",
    )
    found = json.loads(out)
    assert code == 0 and found["unfinished"] == found["runs"] - 2


def test_a_dry_run_counts_what_is_still_to_be_trained(search, plan, call):
    score_all(plan, [], [4.2, 4.4])
    found = json.loads(
        call("compare", f"--run={search}", "--truth", "--num_seeds=2", "--dry_run", "--json")[1]
    )
    documented.check("compare --truth --dry_run --json", found)
    assert (found["runs"], found["unfinished"], found["steps"], found["blocks"]) == (
        4,
        2,
        62,
        "da",
    )


def test_scores_of_another_checkpoint_or_other_blocks_are_not_taken(plan):
    score_all(plan, [], [])
    assert plan.untrained()
    assert not dataclasses.replace(plan, blocks="dd").untrained()
    assert not dataclasses.replace(
        plan, init=dataclasses.replace(plan.init, sha256="0" * 64)
    ).untrained()


def test_a_search_that_has_gone_on_is_refused_with_the_differences(search, plan, call):
    score_all(plan, [3.9], [4.2])
    for path in (search / "checkpoints").iterdir():
        path.rename(path.with_name(path.name.replace("62", "63")))
    later = dataclasses.replace(plan, init=warm_start.newest_origin(search, "last"))
    with pytest.raises(
        UsageError,
        match=(
            r"was made with other settings \(init.step: 62 -> 63\): give another --output_dir=DIR"
        ),
    ):
        later.unfinished()
    code, _, errors = call(
        "compare",
        f"--run={search}",
        "--truth",
        "--num_seeds=2",
        "--fine_tune_lr=1e-3",
        "--dry_run",
    )
    assert code == 1 and "init.step: 62 -> 63" in errors[0]


@pytest.mark.parametrize(
    "damage", [{"soft": None}, {"argmax": {}}, {"inherited": {"seconds": -1}}], ids=str
)
def test_damaged_scores_are_refused(plan, damage):
    score_all(plan, [], [])
    path = plan.directory / "supernet.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(
        DataError, match=r"scores .*supernet.json are not those of a comparison: remove the file"
    ):
        plan.report()


def test_dry_run_says_what_would_be_trained_and_writes_nothing(search, call):
    code, out, _ = call("compare", f"--run={search}", "--truth", "--num_seeds=2", "--dry_run")
    assert (code, out) == (
        0,
        f"4 of 4 runs of da, 186 steps in all, are to be trained in {search}-compare\n",
    )
    assert not Path(f"{search}-compare").exists()


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--fine_tune_epochs=0",), 1, "epochs must be at least 1, but is 0"),
        (("--fine_tune_lr=11",), 1, "max_lr must be at most 10.0, but is 11.0"),
        (("--num_seeds=0",), 1, "num_seeds must be from 1 to 1000, but is 0"),
        (
            ("--num_random=3",),
            1,
            "--num_random has no effect beside --truth: leave one of both out",
        ),
        (("--split=valid",), 1, "--split has no effect beside --truth"),
        (("--latency_table=t.json",), 1, "--latency_table has no effect beside --truth"),
    ],
    ids=lambda value: str(value),
)
def test_a_truth_that_can_not_be_is_refused_in_one_line(search, call, flags, code, words):
    found, out, errors = call("compare", f"--run={search}", "--truth", *flags)
    assert (
        (found, out, len(errors)) == (code, "", 1)
        and words in errors[0]
        and not Path(f"{search}-compare").exists()
    )


def test_a_search_without_a_checkpoint_is_refused(search, call):
    for path in (search / "checkpoints").iterdir():
        path.unlink()
    code, _, errors = call("compare", f"--run={search}", "--truth")
    assert code == 3 and errors == [
        f"error: run {search} has no last checkpoint yet: train it first"
    ]


@pytest.mark.slow  # a search and two trainings
def test_one_command_after_a_search_trains_what_is_missing_and_prints_the_table(
    tmp_path, data_dir, call
):
    search = tmp_path / "search"
    assert (
        call(
            "train",
            f"--data={data_dir}",
            f"--run={search}",
            "--architecture=ss",
            "--epochs=1",
            *NETWORK,
        )[0]
        == 0
    )
    flags = ("compare", f"--run={search}", "--truth", "--num_seeds=1")
    code, out, _ = call(*flags)
    assert code == 0 and out.startswith(
        "search: 1 epoch from scratch, 1 of fine-tuning at a peak of 0.005, 1 seed (1)\n"
    )
    directory = Path(f"{search}-compare")
    found = json.loads((directory / "truth.json").read_text())
    documented.check("truth.json", found)
    documented.check("supernet.json", json.loads((directory / "supernet.json").read_text()))
    documented.check_files("Comparison", directory)
    rows = {row["name"]: row for row in found["rows"]}
    for split in statistics.SCORED:
        nll = {name: row["runs"][0][split]["nll_per_word"] for name, row in rows.items()}
        assert (
            nll["derived, inherited"] == pytest.approx(nll["SuperNet, argmax"], rel=1e-6)
            and len(set(nll.values())) >= 4
        )
    before = {
        path: path.stat().st_mtime_ns
        for path in directory.rglob("*")
        if path.is_file() and path.name not in ("lock", "truth.json")
    }
    assert call(*flags)[:2] == (0, out) and before == {
        path: path.stat().st_mtime_ns for path in before
    }
    printed = json.loads(call(*flags, "--json", "--report_only")[1])
    assert printed["rows"] == list(rows.values())
    documented.check("compare --truth --json", printed)
