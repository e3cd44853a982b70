"""Which checkpoint is taken: the newest whose files are whole and whose note is this program's."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf

from par.core.errors import ResourceError
from par.search import diagnostics
from par.train import checkpoints, run_directory

NOTE = {
    "sums": {name: [0.0, 0.0] for name in ("log", "record", "evaluation")},
    "seconds": 0.0,
    "best": None,
    "files": {},
    "run": {"objective": "causal_lm"},
    "watch": diagnostics.Stability().to_json(),
}


def state_in(directory, value=-1, keep=2):
    value = tf.Variable(value)
    return checkpoints.Checkpoints(directory, {"value": value}, keep), value


@pytest.mark.parametrize(
    "note", [{}, NOTE | {"seconds": -1.0}, NOTE | {"files": {"history.jsonl": -1}}]
)
def test_a_checkpoint_with_another_note_is_damaged_and_the_one_before_is_taken(tmp_path, note):
    made, value = state_in(tmp_path)
    for step, kept in ((1, NOTE), (2, note)):
        value.assign(step)
        made.save(step, kept)
    warned = []
    again, value = state_in(tmp_path)
    assert again.restore(warn=warned.append) == NOTE and int(value) == 1
    assert len(warned) == 1 and "ckpt-2" in warned[0]
    with pytest.raises(ValueError, match="note"):
        checkpoints.checked_note(json.dumps(note).encode())


def test_the_checkpoint_just_saved_stays_though_one_of_a_later_step_is_there(tmp_path):
    made, _ = state_in(tmp_path)
    made.save(30, NOTE, "best")
    again, _ = state_in(tmp_path)
    again.save(20, NOTE, "best")
    assert list(run_directory.checkpoint_files(tmp_path / "best")) == [20]


def test_a_checkpoint_that_can_not_be_read_is_not_taken_for_a_damaged_one(tmp_path):
    made, _ = state_in(tmp_path)
    for step in (10, 20):
        made.save(step, NOTE)
    file = next(tmp_path.glob("ckpt-20.data*"))
    file.unlink()
    file.symlink_to(file.name)  # opening it fails, as root too
    with pytest.raises(ResourceError, match=r"ckpt-20\.data.* can't be read"):
        made.restore(warn=pytest.fail)


def test_tensorflow_finds_the_newest_one_by_its_own_file(tmp_path):
    made, _ = state_in(tmp_path, keep=3)
    for step in (5, 10, 15):
        made.save(step, NOTE)
    assert tf.train.latest_checkpoint(str(tmp_path)) == str(tmp_path / "ckpt-15")
    state = tf.train.get_checkpoint_state(str(tmp_path))
    assert [path.rpartition("/")[2] for path in state.all_model_checkpoint_paths] == [
        "ckpt-5",
        "ckpt-10",
        "ckpt-15",
    ]
