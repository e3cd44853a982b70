"""Devices that share a batch make the steps that one device makes (par.train.distributed.replicas,
par.train.learner, par.nn.forward_mode)."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from authored import build, coded
from par.core.errors import UsageError
from par.nn.forward_mode import Phase, dropout, random_bits
from par.train.distributed.replicas import Replicas
from project import TESTS
from replicas_trained import KINDS, OBJECTIVES, OF_DOCUMENTS
from small import small_data

TRAINED = {1: list(KINDS), 2: list(KINDS), 4: ["soft"]}  # devices: kinds of training
SEED = tf.constant([123_456_789_012, 7], tf.int64)


@pytest.mark.parametrize("each", [1, 3, 8, 12, 70, 1_000_003])
def test_the_random_bits_of_rows_are_the_part_of_the_whole_that_is_theirs(each):
    rows = 5
    whole = random_bits(SEED, 0, rows * each, each).numpy()
    assert len(np.unique(whole)) > min(rows * each, 65_536) / 2
    for first in range(rows):
        part = random_bits(
            SEED, tf.constant(first * each, tf.int64), (rows - first) * each, each
        ).numpy()
        np.testing.assert_array_equal(part, whole[first * each :])


@pytest.mark.parametrize("shape", [(6, 3, 5), (6, 8)])
def test_dropout_of_some_rows_is_that_of_the_batch(shape):
    x = tf.ones(shape)
    phase = {"training": True, "seed": 3, "step": tf.constant(11, tf.int64)}
    whole = dropout(x, 0.4, Phase(**phase), place="block").numpy()
    for first in (0, 2, 4):
        part = dropout(
            x[:2], 0.4, Phase(**phase, first_row=tf.constant(first, tf.int64)), place="block"
        ).numpy()
        np.testing.assert_array_equal(part, whole[first : first + 2])
    assert not np.array_equal(whole[:2], whole[2:4])


def test_one_device_has_every_row():
    one = Replicas()
    assert (one.count, one.rows_each(5), one.first_row(5)) == (1, 5, 0)
    batch = {"tokens": tf.reshape(tf.range(6), [3, 2])}
    assert (
        one.own_rows(batch) is batch
        and one.total(batch) is batch
        and one.all_rows(batch["tokens"]) is batch["tokens"]
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """What the script of that name prints for each number of devices."""
    data_dir = small_data(tmp_path_factory.mktemp("replicas") / "copies", seq_len=7)
    build(data_dir, "coded", coded(), "--vocab_size=40")
    script = TESTS / "replicas_trained.py"
    results = {}
    for devices, kinds in TRAINED.items():
        command = [sys.executable, str(script), str(data_dir), str(devices), *kinds]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0, done.stderr
        results[devices] = json.loads(done.stdout.splitlines()[-1])
    return results


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "kind"),
    [(devices, kind) for devices, kinds in TRAINED.items() if devices > 1 for kind in kinds],
)
def test_several_devices_train_like_one(trained, kind, devices):
    one, several = trained[1][kind], trained[devices][kind]
    losses, tokens, norms, *parts = np.array(one["rows"]).T
    others = np.array(several["rows"]).T
    assert one["step"] == several["step"] == 20
    assert bool(parts) == (kind in OBJECTIVES)
    assert kind in (*OBJECTIVES, *OF_DOCUMENTS) or losses[-1] < losses[0] - 1
    np.testing.assert_allclose(others[0], losses, rtol=1e-5)
    np.testing.assert_array_equal(others[1], tokens)
    np.testing.assert_allclose(others[2], norms, rtol=1e-3)
    for part, other in zip(parts, others[3:], strict=True):
        np.testing.assert_allclose(other, part, atol=1)  # a hit more or less, by a last digit
    np.testing.assert_allclose(several["pi"], one["pi"], atol=2e-4)
    assert several["blocks"] == one["blocks"]
    np.testing.assert_allclose(several["scored"], one["scored"], rtol=1e-5)
    memory = np.array(one["memory"])
    np.testing.assert_allclose(several["memory"], memory, atol=1e-4 * np.abs(memory).max())
    # every row has another memory, so that their order is seen
    assert len({row.tobytes() for row in memory[0]}) == (
        1 if kind in ("toy", *OF_DOCUMENTS) else 4
    )


@pytest.mark.slow
def test_mirrored_is_a_flag_and_a_batch_that_can_not_be_divided_is_refused(
    tmp_path, trained, run_tool
):
    data_dir = small_data(tmp_path / "copies", seq_len=7, train=4 * 7 * 10 + 1)
    flags = (
        f"--data={data_dir}",
        f"--run={tmp_path / 'run'}",
        "--architecture=ad",
        "--epochs=1",
        "--d_model=10",
        "--num_heads=2",
        "--cutoffs=none",
    )
    refused = run_tool("train", *flags, "--distribute=mirrored", "--num_devices=3")
    assert (
        refused.code == 1
        and refused.err.count("\n") == 1
        and not (tmp_path / "run" / "config.json").exists()
    )
    assert "batch_size must be divisible by the number of devices, 3, but is 4" in refused.err
    alone = run_tool("train", *flags, "--num_devices=2")
    assert (
        alone.code == 1
        and "num_devices must be 0, or a number of devices beside --distribute=mirrored, but is 2"
        in alone.err
    )
    done = run_tool("train", *flags, "--distribute=mirrored", "--num_devices=2")
    assert (
        done.code == 0
        and json.loads((tmp_path / "run" / "environment.json").read_text())["replicas"] == 2
    )
    seeds = run_tool("train", *flags, "--distribute=multi_worker", "--num_seeds=2")
    assert seeds.code == 1 and "distribute=multi_worker trains one run" in seeds.err
    unset = run_tool("train", *flags, "--distribute=multi_worker", env={"TF_CONFIG": ""})
    assert (
        unset.code == 1
        and "--distribute=multi_worker needs TF_CONFIG" in unset.err
        and unset.err.count("\n") == 1
    )


def test_rows_that_can_not_be_divided_are_refused():
    several = Replicas()
    several.count = 3
    with pytest.raises(
        UsageError, match="batch_size must be divisible by the number of devices, 3, but is 32"
    ):
        several.rows_each(32)
