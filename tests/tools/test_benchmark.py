"""benchmark as a command: the figures it prints, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

import documented
from project import refused


@pytest.mark.slow
def test_benchmark_reports_speed_for_each_sampling_and_utilisation(run_tool):
    done = run_tool(
        "benchmark",
        "train",
        "--steps=2",
        "--repeats=2",
        "--vocab_size=3000",
        "--batch_size=4",
        "--seq_len=8",
        "--architecture=s",
        "--fixed=a",
        "--json",
    )
    assert done.code == 0 and "retracing" not in done.err, done.err
    figures = json.loads(done.out)
    documented.check("benchmark train --json", figures)
    assert [row["network"] for row in figures["networks"]] == [
        "s soft",
        "s straight_through",
        "s single_path",
        "s single_path paths=1",
        "s soft bf16",
        "s single_path bf16",
        "a",
    ]
    assert set(figures["parts"]) == {"attention", "dense", "softmax", "update", "rest", "step"}
    assert sum(figures["parts"].values()) == pytest.approx(2 * figures["parts"]["step"])
    assert min(figures["parts"].values()) >= 0 < figures["parts"]["step"]
    for row in figures["networks"]:
        utilisation = (
            row["steps_per_second"] * row["gflop_per_step"] / figures["best_product_gflops"]
        )
        assert (
            row["model_flops_utilisation"] == pytest.approx(utilisation, rel=0.01)
            and 0 < utilisation < 1
        )


@pytest.mark.slow
def test_benchmark_compares_plain_and_adaptive_softmax_at_each_vocabulary_size(call):
    small = (
        "benchmark",
        "softmax",
        "--batch_size=4",
        "--seq_len=8",
        "--d_model=16",
        "--repeats=3",
        "--vocab_size=200",
        "--vocab_size=3000",
    )
    done = call(*small, "--json")
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    documented.check("benchmark softmax --json", figures)
    assert (figures["rows"], figures["d_model"]) == (32, 16)
    assert [(row["vocab_size"], row["cutoffs"]) for row in figures["softmax"]] == [
        (200, [4, 40]),
        (3000, [60, 600]),
    ]
    for row in figures["softmax"]:
        assert row["ratio"] == row["plain"]["milliseconds"] / row["adaptive"]["milliseconds"]
        for name in ("plain", "adaptive"):
            assert 0 < row[name]["fastest"] <= row[name]["milliseconds"] <= row[name]["slowest"]
    done = call(*small, "--cutoffs=9", "--cutoffs=99")
    lines = [line.split() for line in done.out.splitlines()]
    assert lines[0] == ["vocabulary", "cutoffs", "ms", "slowest", "fastest", "ratio"]
    assert [line[: -4 if line[1] == "none" else 3] for line in lines[1:5]] == [
        ["200", "none"],
        ["200", "9", "99"],
        ["3,000", "none"],
        ["3,000", "9", "99"],
    ]
    assert lines[5][:4] == ["medians", "of", "3", "measurements"] and "32 tokens, D 16" in done.out


def test_benchmark_explains_each_subject_by_itself_and_all_without_one(call):
    whole, train, softmax = (
        call("benchmark", *subject, "--help").out for subject in ((), ("train",), ("softmax",))
    )
    assert (
        "--fixed" in train
        and "--fixed" not in softmax
        and "--cutoffs" in softmax
        and "--cutoffs" not in train
    )
    for part in (train, softmax):
        assert part.split("\n\n")[-1].strip() in whole


@pytest.mark.slow
def test_benchmark_builds_data_beside_sentencepiece_alone(run_tool):
    done = run_tool("benchmark", "data", "--megabytes=3", "--megabytes=9", "--repeats=1", "--json")
    assert done.code == 0, done.err
    documented.check("benchmark data --json", json.loads(done.out))
    builds = json.loads(done.out)["builds"]
    assert [build["megabytes"] for build in builds] == [3, 9]
    for build in builds:
        seconds = build["seconds"]
        assert (
            seconds.keys() == {"reading", "training", "encoding", "starting_tensorflow", "writing"}
            and min(seconds.values()) > 0
        )
        spent = seconds["reading"] + seconds["encoding"] + seconds["writing"]
        assert build["megabytes_per_second"] == pytest.approx(build["megabytes"] / spent)
        assert build["ratio"] == pytest.approx(
            build["megabytes_per_second"] / build["sentencepiece_alone"]["median"]
        )
        assert 50 < build["peak_memory_megabytes"] < 3000


@pytest.mark.slow
def test_benchmark_saving_tells_what_a_checkpoint_costs(call, tmp_path):
    small = (
        "--recipe=quick",
        "--num_blocks=1",
        "--d_model=16",
        "--vocab_size=3000",
        "--batch_size=2",
        "--seq_len=4",
        "--steps=2",
        "--repeats=3",
    )
    done = call(
        "benchmark", "saving", *small, f"--directory={tmp_path}", "--save_every=7", "--json"
    )
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    documented.check("benchmark saving --json", figures)
    assert (figures["architecture"], figures["save_every"]) == ("s", 7) and list(
        tmp_path.iterdir()
    ) == []
    assert figures["megabytes"] > 3 * 4 * 3000 * 16 / 1e6  # the embedding with its two moments
    assert (
        0 < figures["milliseconds"] <= figures["slowest"]
        and min(figures["step_before"], figures["step_after"]) > 0
    )
    for name, lost in (("median", figures["milliseconds"]), ("slowest", figures["slowest"])):
        assert figures[f"share_{name}"] == pytest.approx(
            lost / (lost + 7 * figures["step_before"])
        )


@pytest.mark.slow
def test_benchmark_generation_and_estimators_print_what_they_measured(call):
    done = call(
        "benchmark",
        "generation",
        "--architecture=a",
        "--mem_len=4",
        "--vocab_size=3000",
        "--tokens=5",
        "--repeats=1",
        "--json",
    )
    assert done.code == 0, done.err
    printed = json.loads(done.out)
    documented.check("benchmark generation --json", printed)
    (row,) = printed["generation"]
    assert (row["mem_len"], row["context"], row["ratio"]) == (
        4,
        4,
        pytest.approx(row["tokens_per_second"] / row["recomputed_tokens_per_second"]),
    )
    done = call("benchmark", "estimators", "--blocks=1", "--draws=2", "--json")
    assert done.code == 0, done.err
    printed = json.loads(done.out)
    documented.check("benchmark estimators --json", printed)
    assert (printed["draws"], np.shape(printed["exact"])) == (
        2,
        (1, 3),
    ) and "single_path paths 2" in printed["estimates"]


TINY = (
    "--num_blocks=1",
    "--batch_size=2",
    "--seq_len=4",
    "--mem_len=3",
    "--d_model=8",
    "--d_ffn=8",
    "--vocab_size=20",
    "--repeats=1",
)


@pytest.mark.slow
def test_benchmark_growth_measures_every_shape_and_fits_the_formulas(call, tmp_path):
    more = (
        "--num_blocks=2",
        "--batch_size=8",
        "--seq_len=8",
        "--d_model=16",
        "--d_ffn=32",
        "--gradient_checkpointing",
    )
    done = call("benchmark", "growth", *TINY, *more, f"--plot={tmp_path / 'growth.png'}", "--json")
    assert done.code == 0, done.err
    figures = json.loads(done.out)
    documented.check("benchmark growth --json", figures)
    middle = {
        "num_blocks": 1,
        "batch_size": 2,
        "seq_len": 4,
        "mem_len": 3,
        "d_model": 8,
        "d_ffn": 8,
    }
    varied = [
        {},
        {"num_blocks": 2},
        {"batch_size": 8},
        {"seq_len": 8},
        {"d_model": 16},
        {"d_ffn": 32},
    ]
    assert [{name: shape[name] for name in middle} for shape in figures["shapes"]] == [
        middle | other for other in varied
    ]
    for name in ("milliseconds", "cpu_milliseconds", "megabytes"):
        fitted = figures["fits"][name]["fitted"]
        apart = [
            shape[name] / value - 1 for shape, value in zip(figures["shapes"], fitted, strict=True)
        ]
        assert (
            figures["fits"][name]["residuals"] == pytest.approx(apart)
            and min(shape[name] for shape in figures["shapes"]) > 0
        )
    assert (
        min(shape["megabytes"] for shape in figures["shapes"]) > 100
        and (tmp_path / "growth.png").stat().st_size > 10_000
    )
    done = call("benchmark", "growth", *TINY, *more, "--nomemory")
    lines = done.out.splitlines()
    assert lines[0].split() == [
        "L",
        "B",
        "T",
        "M",
        "D",
        "F",
        "milliseconds",
        "fitted",
        "apart",
        "CPU",
        "milliseconds",
        "fitted",
        "apart",
    ]
    assert (
        len(lines) == 10
        and lines[7].startswith("milliseconds: ")
        and " L B T D (D + F)" in lines[7]
        and "R² " in lines[8]
    )


def test_benchmark_scaling_needs_no_tensorflow_and_prints_a_row_for_each_number_of_devices(
    call,
):
    flags = (
        "--num_devices=1",
        "--num_devices=4",
        "--gigatokens=0.001",
        "--d_model=64",
        "--overhead_ms=0",
    )
    shown = call("benchmark", "scaling", *flags)
    assert shown.code == 0 and shown.out.count("\n") == 5 and shown.err == ""
    printed = json.loads(call("benchmark", "scaling", *flags, "--json").out)
    documented.check("benchmark scaling --json", printed)
    one, four = printed["scaling"]
    assert (one["efficiency"], one["machines"], one["devices"]) == (1.0, 1, 1)
    assert four["compute_ms"] == pytest.approx(one["compute_ms"] / 4)
    assert four["efficiency"] == pytest.approx(one["step_ms"] / four["step_ms"] / 4)
    assert one["read_gigabytes_per_epoch_and_machine"] == pytest.approx(976 * 4 * 32 * 33 / 1e9)


@pytest.mark.slow
def test_benchmark_sharing_measures_every_layout(run_tool):
    flags = (
        "--architecture=ad",
        "--vocab_size=3000",
        "--batch_size=4",
        "--seq_len=8",
        "--steps=3",
        "--repeats=1",
        "--json",
    )
    done = run_tool("benchmark", "sharing", *flags, seconds=600)
    assert done.code == 0, done.err
    documented.check("benchmark sharing --json", json.loads(done.out))
    rows = json.loads(done.out)["sharing"]
    assert [row["cores"] for row in rows] == [1, 1, 2, 2, 2] and all(
        row["steps_per_second"] > 0 for row in rows
    )
    alone, part, *shared = rows
    assert alone["efficiency"] == 1.0 and part["efficiency"] is None
    assert all(
        row["efficiency"] == pytest.approx(row["steps_per_second"] / alone["steps_per_second"] / 2)
        for row in shared
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("speed",), "one of train, softmax"),
        (("speed", "--steps=2"), "'speed'"),
        (("--json",), "'json'"),
        (("train", "--steps=0"), "--steps must be at least 1, but is 0"),
        (("softmax", "--vocab_size=49"), "--vocab_size must be at least 50 unless --cutoffs"),
        (("softmax", "--cutoffs=12000"), "cutoffs must lie below the vocabulary size 12000"),
        (("softmax", "--repeats=0"), "--repeats must be at least 1"),
        (("softmax", "--steps=3"), "Unknown command line flag 'steps'"),
        (("data", "--megabytes=0"), "--megabytes must be at least 1"),
        (("data", "--workers=-1"), "--workers must be at least 0"),
        (("data", "--input_text=/dev/null"), "is empty: give a text to repeat"),
        (("estimators", "--blocks=6"), "--blocks must be at most 5, but is 6"),
        (("estimators", "--draws=1"), "--draws must be at least 2, but is 1"),
        (("generation", "--architecture=ds"), "--architecture must be fixed blocks"),
        (("generation", "--architecture=dd"), "--architecture must be fixed blocks"),
        (("growth", "--d_ffn=0"), "--d_ffn must be at least 1, but is 0"),
        (("growth", "--mem_len=-1"), "mem_len must be at least 0, but is -1"),
        (("growth", "--plot=growth.jpg"), "--plot must end with .png, but is 'growth.jpg'"),
        (
            ("growth", "--d_model=12", "--num_heads=8"),
            "--d_model must be even and a multiple of --num_heads",
        ),
        (("growth", *TINY), "must make at least 6 shapes"),
        (("scaling", "--num_devices=5"), "must be divisible by --num_devices, 5, but is 32"),
        (("scaling", "--tflops=0"), "--tflops must be above 0, but is 0.0"),
        (("scaling", "--num_devices=0"), "--num_devices must be at least 1"),
        (("sharing", "--workers=1"), "--workers must be at least 2"),
        (("sharing", "--workers=3"), "must be divisible by --workers, 3, but is 32"),
        (("saving", "--repeats=0"), "--repeats must be at least 1"),
        (("saving", "--directory=/none/there"), "'/none/there'"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_benchmark_refuses_in_one_line(call, arguments, said):
    refused(call("benchmark", *arguments), 1, said)
