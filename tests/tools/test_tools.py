"""train and evaluate as commands: what they print, how they continue, and how they refuse."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import documented
from project import ROOT, refused
from small import RATES, SHAPE, small_data

NETWORK = (*SHAPE, *RATES, "--epochs=2")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies")


@pytest.fixture(scope="module")
def search(tmp_path_factory, data_dir, run_tool):
    """A finished search, made by the command in a process of its own, and what it printed."""
    run_dir = tmp_path_factory.mktemp("runs") / "search"
    done = run_tool(
        "train", f"--data={data_dir}", f"--run={run_dir}", "--architecture=sd", *NETWORK
    )
    assert done.code == 0, done.err
    return run_dir, done


def test_train_prints_the_table_and_writes_what_a_run_consists_of(search):
    run_dir, done = search
    lines = done.out.strip().splitlines()
    assert re.split(r"\s{2,}", lines[0].strip()) == [
        "iteration (thousands)",
        "train perplexity",
        "valid perplexity (soft)",
        "valid perplexity (argmax)",
        "time",
    ]
    assert [line.split()[0] for line in lines[1:3]] == ["0.093", "0.186"]
    assert lines[-1] == f"done: 186 steps; run: {run_dir}"
    for name in (
        "config.json",
        "flags.txt",
        "environment.json",
        "training_log.log",
        "history.jsonl",
        "summary.json",
        "checkpoints",
        "tensorboard",
    ):
        assert (run_dir / name).exists(), name
    assert not any(
        str(ROOT) in (run_dir / name).read_text()
        for name in ("config.json", "environment.json", "training_log.log")
    )


def test_the_same_command_again_says_that_it_is_done(search, data_dir, call):
    run_dir, first = search
    again = call("train", f"--data={data_dir}", f"--run={run_dir}", "--architecture=sd", *NETWORK)
    assert again.code == 0 and again.err == ""
    assert again.out == first.out.replace("done: 186", "already done: 186")


def test_the_files_of_a_run_hold_what_docs_artefacts_tells(search):
    run_dir, _ = search
    documented.check_files("Run", run_dir)
    read = {
        name: json.loads((run_dir / name).read_text())
        for name in ("config.json", "environment.json", "summary.json")
    }
    documented.check("config.json", read["config.json"])
    documented.check("environment.json", read["environment.json"])
    documented.check("summary.json", read["summary.json"])


@pytest.mark.slow
def test_a_search_that_settled_early_is_done_for_the_same_command(tmp_path, data_dir, call):
    flags = ("--architecture=sd", *NETWORK, "--epochs=9", "--stop_when_stable=1", "--arch_lr=0.03")
    command = (f"--data={data_dir}", f"--run={tmp_path / 'run'}", *flags)
    first, again, printed = (
        call("train", *command),
        call("train", *command),
        call("train", *command, "--json"),
    )
    steps = json.loads(printed.out)["steps"]
    documented.check("train --json", json.loads(printed.out))
    assert 186 <= steps < 837 and "\nended after epoch " in first.err and again.err == ""
    assert first.out.endswith(
        f"done: {steps} steps of 837, where the search had settled; run: {tmp_path / 'run'}\n"
    )
    assert again.out == first.out.replace("done:", "already done:")


def test_the_flagfile_of_a_run_repeats_it(search, call, tmp_path):
    run_dir, _ = search
    named = call("train", f"--flagfile={run_dir}/flags.txt", "--print_run")
    assert (named.code, named.out.strip()) == (0, str(run_dir))
    changed = call("train", f"--flagfile={run_dir}/flags.txt", "--max_lr=1e-3", "--epochs=3")
    refused(changed, 1, "training.epochs: 2 -> 3", "training.max_lr: 0.005 -> 0.001", "--run=DIR")


def test_what_is_logged_and_saved_how_often_may_change(search, call):
    run_dir, first = search
    more = (
        "--log_every=3",
        "--record_every=5",
        "--save_every=7",
        "--save_every_seconds=1",
        "--keep=9",
    )
    again = call("train", f"--flagfile={run_dir}/flags.txt", *more)
    assert (again.code, again.out) == (
        0,
        first.out.replace("done: 186", "already done: 186"),
    ), again.err


def test_the_flagfile_of_a_plain_softmax_keeps_a_recipe_s_cutoffs_out(search, call):
    run_dir, first = search
    assert [
        line for line in (run_dir / "flags.txt").read_text().splitlines() if "cutoffs" in line
    ] == ["--cutoffs=none"]
    again = call("train", f"--flagfile={run_dir}/flags.txt", "--recipe=quick")
    assert (again.code, again.out) == (
        0,
        first.out.replace("done: 186", "already done: 186"),
    ), again.err


def test_a_recipe_s_cutoffs_can_be_taken_away(data_dir, call):
    recipe = ("train", f"--data={data_dir}", "--recipe=quick", "--print_run")
    said = (
        "cutoffs must lie below the vocabulary size 40, but are [500, 2000]; --cutoffs=none for"
        " plain softmax"
    )
    refused(call(*recipe), 1, said)
    plain = call(*recipe, "--cutoffs=none")
    assert plain.code == 0 and plain.out.startswith("logs/synthetic-6s-quick-seed0-"), plain.err
    own = ("train", f"--data={data_dir}", *NETWORK, "--print_run")
    assert call(*own, "--cutoffs=none").out == call(*own).out != call(*own, "--cutoffs=9").out
    refused(
        call(*own, "--cutoffs=none", "--cutoffs=9"),
        1,
        "cutoffs must be numbers, or auto or none alone, but are none, 9",
    )
    refused(
        call(*own, "--cutoffs=none", "--proj_dims=8"),
        1,
        "proj_dims must give one width per tail cluster: 0 cutoffs, 1 widths",
    )


def test_the_default_run_name_hangs_on_every_setting_that_counts(data_dir, call):
    def name(*more):
        done = call("train", f"--data={data_dir}", *NETWORK, *more, "--print_run")
        assert done.code == 0, done.err
        return done.out.strip()

    assert re.fullmatch(r"logs/synthetic-6s-custom-seed0-[0-9a-f]{8}", name())
    assert (
        len(
            {
                name(),
                name("--seed=1"),
                name("--epochs=3"),
                name("--num_blocks=5"),
                name("--tau_end=0.2"),
                name("--architecture=ad"),
            }
        )
        == 6
    )
    # no search, no tau
    assert name("--architecture=ad") == name("--architecture=ad", "--tau_end=0.2", "--log_every=3")
    assert name("--architecture=5s") == name("--num_blocks=5")


@pytest.mark.slow
def test_evaluate_shows_networks_side_by_side_and_gives_the_same_figures_twice(search, call):
    run_dir, _ = search
    once, twice = (call("evaluate", f"--run={run_dir}", "--json") for _ in range(2))
    assert once.code == 0 and once.out == twice.out
    results = json.loads(once.out)["results"]
    documented.check("evaluate --json", json.loads(once.out))
    assert [(row["split"], row["evaluate_as"]) for row in results] == [
        ("valid", "soft"),
        ("valid", "argmax"),
        ("test", "soft"),
        ("test", "argmax"),
    ]
    for row in results:
        assert row["tokens"] == 499 and row["perplexity_per_token"] == pytest.approx(
            np.exp(row["nll_per_token"])
        )
    shown = call(
        "evaluate",
        f"--run={run_dir}",
        f"--run={run_dir}",
        "--split=test",
        "--batch_size=1",
        "--seq_len=3",
        "--mem_len=9",
        "--show_history",
    )
    assert shown.code == 0
    assert (
        shown.out.count("sd soft") == shown.out.count("iteration (thousands)") == 1
        and "perplexity per word" in shown.out
    )


@pytest.mark.slow
def test_the_best_checkpoint_can_be_asked_for(search, call):
    run_dir, _ = search
    best = json.loads((run_dir / "summary.json").read_text())["best"]
    done = call("evaluate", f"--run={run_dir}", "--checkpoint=best", "--split=valid", "--json")
    row = json.loads(done.out)["results"][0]
    assert (row["step"], row["nll_per_token"]) == (best["step"], best["nll_per_token"])


@pytest.mark.slow
def test_a_moved_run_and_moved_data_are_found_again(search, data_dir, call, tmp_path):
    import shutil

    for source in (data_dir, search[0]):
        shutil.copytree(source.parent, tmp_path / source.parent.name)
    moved = tmp_path / search[0].parent.name / "search"
    printed = [
        call("evaluate", f"--run={run}", "--json").out.replace(str(root), "")
        for run, root in ((moved, tmp_path), (search[0], search[0].parent.parent))
    ]
    assert printed[0] == printed[1] and "kneser_ney" in printed[0]


# three trainings as commands; tests/train/test_trainer.py has the claim in one process
@pytest.mark.slow
def test_a_signal_saves_the_state_and_the_same_command_continues(data_dir, call, tmp_path):
    flags = (
        f"--data={data_dir}",
        f"--run={tmp_path / 'run'}",
        "--architecture=ss",
        *NETWORK,
        "--epochs=40",
        "--record_every=10",
    )
    process = subprocess.Popen(
        [sys.executable, ROOT / "tools" / "train.py", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    history = tmp_path / "run" / "history.jsonl"
    for _ in range(600):
        if history.is_file() and history.stat().st_size:
            break
        time.sleep(0.1)
    in_use = call("train", *flags)
    process.send_signal(signal.SIGHUP)  # the connection was dropped
    _, err = process.communicate(timeout=60)
    assert process.returncode == 5, err
    stopped = re.search(
        r"^error: stopped by SIGHUP at step (\d+) of 3720; the state is saved: the same command"
        r" continues$",
        err,
        re.M,
    )
    assert stopped and "Traceback" not in err
    refused(in_use, 1, "is in use by host", f"process {process.pid}")
    refused(call("train", *flags, "--d_ffn=25"), 1, "model.d_ffn: 24 -> 25")
    process = subprocess.Popen(
        [sys.executable, ROOT / "tools" / "train.py", *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    line = next(line for line in process.stderr if "step" in line)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 5
    assert line.strip() == f"continuing ss in {tmp_path / 'run'}: step {stopped[1]} of 3720"


@pytest.mark.slow
def test_dry_run_counts_and_writes_nothing(data_dir, call, tmp_path):
    done = call(
        "train",
        f"--data={data_dir}",
        f"--run={tmp_path / 'run'}",
        *NETWORK,
        "--architecture=ad",
        "--dry_run",
        "--json",
    )
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    documented.check("train --dry_run --json", figures)
    attention, dense, norms = 5 * 16 * 16 + 2 * 16, 2 * 16 * 24 + 16 + 24, 3 * 2 * 16
    assert figures["parameters"] == 2 * 40 * 16 + attention + dense + norms
    assert (
        figures["total_steps"] == 186
        and figures["estimated_seconds"] > 0
        and figures["peak_memory_megabytes"] > 100
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--architecture=adx",), 1, ("architecture", "'adx'", "6s, 4a2d or 3(ad)")),
        (("--num_blocks=0",), 1, ("num_blocks", "0")),
        (("--cutoffs=20", "--cutoffs=40"), 1, ("cutoffs", "vocabulary size 40", "[20, 40]")),
        (("--cutoffs=20", "--cutoffs=10"), 1, ("cutoffs must increase", "[20, 10]")),
        (("--d_model=15",), 1, ("d_model", "15")),
        (("--tau_start=0",), 1, ("tau_start", "0.001")),
        (("--sampling=hard",), 1, ("sampling", "hard", "soft")),
        (("--nonsense=1",), 1, ("nonsense",)),
        (("--recipe=nonsense",), 1, ("nonsense", "quick")),
        (
            ("--bilevel=maybe",),
            1,
            ("--bilevel=maybe: must be true or false, but is 'maybe'; see --help",),
        ),
        (("--data=/nonexistent",), 3, ("/nonexistent", "manifest.json", "build_data")),
        (
            ("--architecture=/nonexistent/architecture.json",),
            3,
            ("/nonexistent/architecture.json", "does not exist"),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_train_refuses_in_one_line(data_dir, call, tmp_path, flags, code, words):
    done = call("train", f"--data={data_dir}", f"--run={tmp_path / 'run'}", *flags)
    refused(done, code, *words)
    assert not (tmp_path / "run").exists()


def test_train_refuses_damaged_records_before_it_makes_a_run(data_dir, call, tmp_path):
    import shutil

    shutil.copytree(data_dir, tmp_path / "data")
    path = next((tmp_path / "data" / "train").glob("*.tfrecord"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(
        call("train", f"--data={tmp_path / 'data'}", f"--run={tmp_path / 'run'}"),
        3,
        str(path),
        "SHA-256",
    )
    assert not (tmp_path / "run").exists()


def test_evaluate_refuses_in_one_line(search, call, tmp_path):
    run_dir, _ = search
    refused(call("evaluate"), 1, "--run")
    refused(call("evaluate", f"--run={tmp_path}"), 3, str(tmp_path), "config.json")
    refused(call("evaluate", f"--run={run_dir}", "--batch_size=0"), 1, "batch_size", "0")
    refused(call("evaluate", f"--run={run_dir}", "--split=dev"), 1, "split", "dev")
    other = small_data(tmp_path / "other")
    text = (other / "manifest.json").read_text()
    sha = json.loads(text)["tokenizer_sha256"]
    (other / "manifest.json").write_text(text.replace(sha, "0" * 64))
    refused(
        call("evaluate", f"--run={run_dir}", f"--data={other}"),
        3,
        "another tokenizer",
        sha[:12],
        "000000000000",
    )


def test_a_run_without_a_checkpoint_is_refused_by_evaluate(search, call, tmp_path):
    import shutil

    run_dir = tmp_path / "run"
    shutil.copytree(search[0], run_dir)
    shutil.rmtree(run_dir / "checkpoints")
    done = call(
        "evaluate",
        f"--run={run_dir}",
        f"--data={json.loads((search[0] / 'config.json').read_text())['data']['path']}",
        cwd=search[0],
    )
    refused(done, 3, "no checkpoint yet")
