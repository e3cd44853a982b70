"""A network, however it is spelled: identity adds nothing, so that `diidad` trains `ddad`; runs of
earlier versions, which were spelled with identities, go on or are refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import tensorflow as tf

import final_state
from par.core.errors import StoppedError
from par.train import run_config
from project import refused
from small import NETWORK, small_config, small_data, trainer


@pytest.fixture(scope="module", autouse=True)
def deterministic_ops():
    tf.config.experimental.enable_op_determinism()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies", train=1_000, valid=200)


def flags_of(data_dir: Path, *more: object) -> tuple[object, ...]:
    return ("train", f"--data={data_dir}", *NETWORK, "--epochs=1", *more)


def test_every_spelling_names_the_run_of_one_network(data_dir, call):
    name = {}
    for blocks in ("ddad", "diidad", "iddaid", "dadd", "i", "iii", "2s2i", "2s"):
        done = call(*flags_of(data_dir, f"--architecture={blocks}", "--print_run"))
        assert done.code == 0
        name[blocks] = done.out
    assert name["ddad"] == name["diidad"] == name["iddaid"] != name["dadd"]
    assert "-ddad-" in name["ddad"] and name["i"] == name["iii"]
    assert name["2s2i"] != name["2s"]  # a search keeps its places


@pytest.mark.slow
def test_two_spellings_train_to_identical_weights_and_the_command_says_what_it_trains(
    tmp_path, data_dir, call
):
    made = {}
    for blocks in ("ddad", "diidad"):
        run_dir = tmp_path / blocks
        flags = flags_of(data_dir, f"--architecture={blocks}", "--dropout_rate=0.2")
        done = call(*flags, f"--run={run_dir}")
        assert done.code == 0, done.err
        made[blocks] = done.err
    said = "architecture: diidad is the network ddad, as identity adds nothing: ddad is trained"
    assert said in made["diidad"].splitlines() and "identity" not in made["ddad"]
    assert final_state.differences(tmp_path / "ddad", tmp_path / "diidad") == []
    assert len(final_state.tensors(tmp_path / "ddad")) > 20
    kept = [run_config.load(tmp_path / blocks)[0] for blocks in made]
    assert kept[0].identity() == kept[1].identity() and kept[1].architecture.blocks == "ddad"
    again = call(*flags, f"--run={tmp_path / 'ddad'}")
    assert "already done" in again.out


@pytest.mark.slow
def test_a_network_spelled_with_identities_trains_like_its_canonical_form_in_the_loop(
    tmp_path, data_dir
):
    """Below the command, too: the string's places take no random numbers."""
    for blocks in ("da", "idia"):
        config = small_config(data_dir, blocks, epochs=1, dropout_rate=0.2)
        trainer(tmp_path / blocks, config, data_dir).run()
    one, other = (final_state.tensors(tmp_path / blocks) for blocks in ("da", "idia"))
    assert sorted(value.tobytes() for value in other.values()) == sorted(
        value.tobytes() for value in one.values()
    )


def old_run(run_dir: Path, data_dir: Path, **settings) -> run_config.RunConfig:
    """A run as an earlier version left it after 10 of 31 steps: six blocks, spelled as typed."""
    config = small_config(data_dir, "idiad", epochs=1, **settings)
    config.save(run_dir, data_dir)
    with pytest.raises(StoppedError):
        trainer(run_dir, config, data_dir).run(should_stop=lambda step: step >= 10)
    return config


@pytest.mark.slow
def test_an_old_run_with_identities_is_read_and_continues_bit_for_bit(tmp_path, data_dir, call):
    run_dir, whole = tmp_path / "old", tmp_path / "whole"
    config = old_run(run_dir, data_dir, dropout_rate=0.0)
    trainer(whole, config, data_dir).run()
    for blocks in ("idiad", "dad"):  # the second finds it done
        flags = flags_of(data_dir, f"--architecture={blocks}", "--dropout_rate=0.0")
        done = call(*flags, f"--run={run_dir}")
        assert done.code == 0, done.err
    assert "already done" in done.out
    one, other = final_state.tensors(run_dir), final_state.tensors(whole)
    assert one.keys() == other.keys() and all(
        one[name].tobytes() == other[name].tobytes() for name in one
    )
    assert call("evaluate", f"--run={run_dir}").code == 0


@pytest.mark.slow
def test_an_old_run_whose_dropout_counted_identities_is_evaluated_but_not_continued(
    tmp_path, data_dir, call
):
    run_dir = tmp_path / "old"
    old_run(run_dir, data_dir, dropout_rate=0.1)
    flags = flags_of(data_dir, "--architecture=idiad", "--dropout_rate=0.1", f"--run={run_dir}")
    before = sorted(run_dir.rglob("*"))
    refused(call(*flags), 1, "run", "of idiad was begun by an earlier version", "train dad in")
    assert sorted(run_dir.rglob("*")) == before
    done = call("evaluate", f"--run={run_dir}", "--split=valid")
    assert done.code == 0 and "idiad" in done.out


@pytest.mark.slow
def test_the_network_of_no_blocks_is_trained_and_evaluated(tmp_path, data_dir, call):
    run_dir = tmp_path / "none"
    done = call(*flags_of(data_dir, "--architecture=iii", f"--run={run_dir}"))
    assert done.code == 0, done.err
    assert "iii is the network i, the network of no blocks, as identity adds nothing" in done.err
    assert run_config.load(run_dir)[0].architecture.blocks == "i"
    assert call("evaluate", f"--run={run_dir}").code == 0
    assert call("generate", f"--run={run_dir}", "--length=3", "--seed=1").code in (0, 3)


def test_settings_take_the_spelling_of_a_run_that_exists(data_dir):
    old, asked = small_config(data_dir, "iad"), small_config(data_dir, "ad")
    assert run_config.differences(old, asked) == ["architecture: iad -> ad"]
    assert run_config.differences(old, run_config.in_spelling_of(old, asked)) == []
    other = small_config(data_dir, "da")
    assert run_config.in_spelling_of(old, other) is other
    origin = run_config.Origin("search", "last", 1, "0" * 64)
    begun = dataclasses.replace(old, init=origin)  # by an earlier version
    same = dataclasses.replace(asked, init=dataclasses.replace(origin, blocks="iad"))
    assert run_config.differences(begun, run_config.in_spelling_of(begun, same)) == []
    elsewhere = dataclasses.replace(asked, init=dataclasses.replace(origin, blocks="adi"))
    assert run_config.differences(begun, run_config.in_spelling_of(begun, elsewhere))


def test_a_warm_started_run_comes_back_with_its_places(tmp_path, data_dir):
    origin = run_config.Origin("search", "last", 1, "0" * 64)
    config = dataclasses.replace(small_config(data_dir, "iad"), init=origin).canonical
    config.save(tmp_path / "run", data_dir)
    kept = run_config.load(tmp_path / "run")[0]
    assert kept == config and kept.places == "iad" and kept.architecture.blocks == "ad"
    assert kept.identity() == config.identity()
