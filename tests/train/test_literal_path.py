"""A run directory may have any name: no part of its path is taken as a pattern of file names."""

from __future__ import annotations

import dataclasses
import tempfile

import pytest
import tensorflow as tf

import built
from par.core.errors import DataError, ResourceError, StoppedError
from par.search import diagnostics
from par.train import checkpoints, literal_path, warm_start
from small import SHAPE, small_config, trainer

NAMES = ["a [2024]", "[!x]", "run[12]", "a]b", "a[b", "a*b", "a?", "{a,b}", "back\\slash", "end\\"]
NOTE = {
    "sums": {name: [0.0, 0.0] for name in ("log", "record", "evaluation")},
    "seconds": 0.0,
    "best": None,
    "files": {},
    "run": {"objective": "causal_lm"},
    "watch": diagnostics.Stability().to_json(),
}


def state_at(directory, value=-1):
    value = tf.Variable(value)
    return checkpoints.Checkpoints(directory, {"value": value}), value


@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_saved_kept_and_restored_in_a_directory_of_any_name(tmp_path, name):
    directory = tmp_path / name / "checkpoints"
    made, value = state_at(directory)
    for step in (1, 2, 3):
        value.assign(step)
        made.save(step, NOTE | {"seconds": float(step)})
        made.save(step, NOTE, "best")
    assert sorted(path.name for path in directory.glob("*.index")) == [
        "ckpt-2.index",
        "ckpt-3.index",
    ]
    assert len(list(directory.rglob("ckpt-*"))) == 6
    warned = []
    again, value = state_at(directory)
    assert again.restore(warn=warned.append)["seconds"] == 3.0 and int(value) == 3
    assert again.restore("best", warned.append) == NOTE and warned == []


def test_the_checkpoints_of_another_directory_that_a_pattern_would_match_stay(tmp_path):
    other = tmp_path / "run1" / "checkpoints"
    state_at(other, 7)[0].save(1, NOTE)
    made, _ = state_at(tmp_path / "run[12]" / "checkpoints")
    for step in (1, 2, 3, 4):
        made.save(step, NOTE)
    again, value = state_at(other)
    assert again.restore() == NOTE and int(value) == 7


def test_a_damaged_checkpoint_is_named_by_its_own_path_and_nobody_is_told_to_remove_it(tmp_path):
    directory = tmp_path / "a [2024]" / "checkpoints"
    state_at(directory)[0].save(1, NOTE)
    index = directory / "ckpt-1.index"
    index.write_bytes(index.read_bytes()[:20])
    warned = []
    with pytest.raises(DataError) as caught:
        state_at(directory)[0].restore(warn=warned.append)
    assert str(directory) in str(caught.value) and "remove" not in str(caught.value)
    assert len(warned) == 1 and warned[0].count(str(directory)) >= 1
    assert tempfile.gettempdir() + "/tmp" not in warned[0]


@pytest.mark.parametrize("name", NAMES)
def test_where_tensorflow_is_said_to_read_a_path_it_does(tmp_path, name):
    (tmp_path / name).mkdir()
    path = str(tmp_path / name / "state")
    tf.train.Checkpoint(value=tf.Variable(1)).write(path)
    if literal_path.tensorflow_reads(path):
        assert tf.train.load_checkpoint(path).get_tensor("value/.ATTRIBUTES/VARIABLE_VALUE") == 1


def test_a_literal_path_is_its_own_and_another_one_is_read_through_a_link_for_a_while(tmp_path):
    plain, odd = tmp_path / "plain", tmp_path / "odd[1]"
    plain.mkdir(), odd.mkdir()
    (odd / "file").write_text("here")
    with literal_path.literal_path(plain) as path:
        assert path == plain
    with literal_path.literal_path(odd) as path:
        assert literal_path.is_literal(path) and (path / "file").read_text() == "here"
    assert not path.parent.exists() and (odd / "file").exists()


def test_a_temporary_directory_that_is_a_pattern_itself_is_not_used(tmp_path, monkeypatch):
    odd = tmp_path / "odd[1]"
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    with literal_path.literal_path(odd) as path:
        assert literal_path.is_literal(path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    monkeypatch.setattr(literal_path, "PLACES", ())
    with (
        pytest.raises(ResourceError, match=r"odd\[1\].*TMPDIR"),
        literal_path.literal_path(odd),
    ):
        pass


NETWORK = ("--architecture=sd", *SHAPE)
SETTINGS = ("--max_lr=0.005", "--warmup_steps=20", "--arch_lr=0.03", "--epochs=1")


@pytest.mark.slow  # seven commands; what reads and prunes by such a path is tested above
def test_a_run_in_such_a_directory_is_continued_scored_read_and_a_source_of_weights(
    tmp_path, call, capsys
):
    home = tmp_path / "My Novel [2024] {a,b} *\\"
    home.mkdir()
    text, data, run = home / "text [1].txt", home / "data [1]", home / "run[12]"
    text.write_text(built.tiny_text(300))
    built.run(capsys, f"--input_text={text}", f"--output_dir={data}", *built.SMALL)
    config = small_config(data, "sd", epochs=1)
    config.save(run, data)
    with pytest.raises(StoppedError):
        trainer(run, config, data, save_every=10).run(should_stop=lambda step: step == 20)
    train = ("train", f"--data={data}", f"--run={run}", *NETWORK, *SETTINGS)
    assert "continuing" in (done := call(*train)).err and done.code == 0, done.err
    assert "already done" in call(*train).out
    for command in (
        ("evaluate", f"--run={run}", "--checkpoint=best"),
        ("generate", f"--run={run}", "--prompt=the", "--length=3"),
        ("derive", f"--run={run}"),
        (*train, f"--run={home / 'next?'}", f"--init_from={run}", "--print_run"),
    ):
        done = call(*command)
        assert done.code == 0, done.err
    config = dataclasses.replace(config, init=warm_start.newest_origin(run, "last"))
    begun = trainer(home / "next?", config, data, run)
    assert begun.step == 0 and begun.announced == []
