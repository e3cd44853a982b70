"""The loop: a run that was stopped equals one that was not; evaluation is deterministic; what can
go wrong is said."""

from __future__ import annotations

import json
import os
import re
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf

import documented
import final_state
from par.core.errors import DataError, DivergedError, ResourceError, StoppedError
from par.data import manifest
from par.evaluate import evaluation
from par.evaluate.eval_config import EvalConfig
from par.objectives import OBJECTIVES
from par.train import history, run_directory
from small import small_config, small_data, trainer


@pytest.fixture(scope="module", autouse=True)
def deterministic_ops():
    tf.config.experimental.enable_op_determinism()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return small_data(tmp_path_factory.mktemp("data") / "copies")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, data_dir):
    """A finished search of 2 epochs with dropout, and everything it wrote."""
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    made = trainer(
        run_dir,
        small_config(data_dir, "ssd"),
        data_dir,
        log_every=13,
        record_every=7,
        save_every=1000,
        sample_length=12,
        sample_every=1,
    )
    made.run()
    return made


@pytest.mark.parametrize(
    "stops", [(31,), pytest.param((10, 93, 150), marks=pytest.mark.slow)], ids=str
)
def test_a_run_stopped_and_continued_equals_an_uninterrupted_one_bit_for_bit(
    tmp_path, data_dir, uninterrupted, stops
):
    run_dir, config = tmp_path / "run", uninterrupted.config
    for stop in stops:
        with pytest.raises(
            StoppedError,
            match=(
                r"stopped by request at step \d+ of 186; the state is saved: the same command"
                r" continues"
            ),
        ):
            run = trainer(
                run_dir,
                config,
                data_dir,
                log_every=13,
                record_every=7,
                save_every=1000,
                sample_length=12,
                sample_every=1,
            )
            run.run(should_stop=lambda step, stop=stop: step >= stop)
    last = trainer(
        run_dir,
        config,
        data_dir,
        log_every=13,
        record_every=7,
        save_every=1000,
        sample_length=12,
        sample_every=1,
    )
    assert stops[-1] <= last.step < 186
    last.run()
    assert (
        final_state.differences(run_dir, uninterrupted.run_dir) == []
        and len(final_state.tensors(run_dir)) > 40
    )
    shown = final_state.shown(run_dir, "train")
    assert {
        plugin: len(next(iter(tags.values())))
        for plugin, tags in shown.items()
        if plugin != "scalars"
    } == {
        "custom_scalars": 1,
        "images": 2,
        "text": 3,
    }
    assert [len(rows) for rows in final_state.shown(run_dir, "hparams")["hparams"].values()] == [1]
    assert final_state.samples(run_dir).count("end of epoch") == 2


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("history.jsonl", lambda text: text.replace('"step": 14', '"step": 15', 1), "history: "),
        (
            "history.jsonl",
            lambda text: text + text.splitlines()[0] + "\n",
            "history: 31 and 32 rows",
        ),
        ("training_log.log", lambda text: text.replace("step 26/186", "step 27/186"), "log: "),
        ("summary.json", lambda text: text.replace('"step": 186', '"step": 185'), "summary: "),
        ("samples/training.txt", lambda text: text.replace("epoch 2", "epoch 3"), "samples: "),
    ],
    ids=["a value", "a row twice", "a line", "the summary", "a text"],
)
def test_two_runs_are_told_apart_by_any_file(tmp_path, uninterrupted, name, change, said):
    run_dir = tmp_path / "run"
    shutil.copytree(uninterrupted.run_dir, run_dir)
    assert final_state.differences(run_dir, uninterrupted.run_dir) == []
    (run_dir / name).write_text(change((run_dir / name).read_text()))
    found = final_state.differences(uninterrupted.run_dir, run_dir)
    assert found and found[0].startswith(said), found


def test_two_runs_are_told_apart_by_any_bit_of_a_checkpoint_and_by_tensorboard(
    tmp_path, uninterrupted
):
    run_dir = tmp_path / "run"
    shutil.copytree(uninterrupted.run_dir, run_dir)
    made = trainer(run_dir, uninterrupted.config, uninterrupted.data_dir)
    # opened again, a run is cut back to its last checkpoint, after which the final scores are
    # written
    made.logs.end()
    logits = made.learner.logits[0]
    logits.assign(np.nextafter(logits.numpy(), np.float32(9)))
    made.checkpoints.save(186, made.note)
    found = final_state.differences(uninterrupted.run_dir, run_dir)
    assert len(found) == 1 and found[0].startswith("last checkpoint: "), found
    made.checkpoints.save(186, made.note | {"best": None})
    for path in (run_dir / "tensorboard" / "valid").iterdir():
        path.unlink()
    shutil.rmtree(run_dir / "checkpoints" / "best")
    found = final_state.differences(uninterrupted.run_dir, run_dir)
    starts = (
        "last checkpoint: ",
        "note: best",
        "valid events: ",
        f"best checkpoint: {run_dir} has none",
        "best checkpoint: ",
    )
    assert all(any(line.startswith(start) for line in found) for start in starts), found


SEARCHES = {
    "bilevel": {"bilevel": True, "arch_warmup": 25, "epochs": 2},
    "warm-up": {"arch_warmup": 25, "epochs": 1},
    "single path": {"sampling": "single_path", "epochs": 1},
    "single path, bilevel": {"sampling": "single_path", "bilevel": True, "epochs": 1},
    "pruned": {"prune_below": 0.2, "prune_patience": 7, "arch_lr": 0.1, "epochs": 1},
    "settles": {"stop_when_stable": 1, "epochs": 5},
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", SEARCHES)
def test_every_kind_of_search_continues_as_if_it_had_never_stopped(tmp_path, data_dir, kind):
    config = small_config(data_dir, "ssd", **SEARCHES[kind])
    whole = trainer(tmp_path / "whole", config, data_dir, record_every=7, save_every=1000)
    whole.run()
    with pytest.raises(StoppedError):
        trainer(tmp_path / "run", config, data_dir, record_every=7, save_every=1000).run(
            should_stop=lambda step: step >= 47
        )
    last = trainer(tmp_path / "run", config, data_dir, record_every=7, save_every=1000)
    last.run()
    assert final_state.differences(tmp_path / "run", tmp_path / "whole") == []
    assert (last.step, last.search.stability) == (whole.step, whole.search.stability) and (
        whole.step < config.total_steps
    ) == (kind == "settles")
    assert (whole.learner.pi[:2] == 0).any() == (kind == "pruned")


@pytest.mark.slow
def test_a_search_that_has_settled_ends_like_one_that_made_all_its_steps(tmp_path, data_dir):
    config = small_config(data_dir, "sd", epochs=9, stop_when_stable=1)
    run = trainer(tmp_path / "run", config, data_dir, record_every=1000, log_every=1000)
    run.run()
    epoch = run.step // 93
    assert run.step % 93 == 0 and 2 <= epoch < 9
    said = (
        f"ended after epoch {epoch} of 9: the likeliest kind has not changed for 1 epoch in 100%"
        " of the stochastic blocks (--stop_when_stable=1)"
    )
    assert (
        run.announced[-1] == said
        and (tmp_path / "run" / "training_log.log").read_text().count(said) == 1
    )
    rows = history.read_rows(tmp_path / "run" / "history.jsonl", OBJECTIVES["causal_lm"])
    assert [row["step"] for row in rows["train"]] == [run.step] == [rows["valid"][-1]["step"]]
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["step"] == run.step
    assert (
        tmp_path / "run" / "checkpoints" / f"ckpt-{run.step}.index"
    ).is_file() and run_directory.is_finished(tmp_path / "run")
    (tmp_path / "run" / "summary.json").unlink()  # as if killed just before it was written
    before = (tmp_path / "run" / "history.jsonl").read_bytes()
    again = trainer(tmp_path / "run", config, data_dir)
    again.run()
    assert (
        again.step == run.step
        and again.announced == []
        and run_directory.is_finished(tmp_path / "run")
    )
    assert (tmp_path / "run" / "history.jsonl").read_bytes() == before


def test_the_log_tells_what_the_guard_sees_and_what_discretisation_costs(uninterrupted):
    train, valid = (
        final_state.scalars(uninterrupted.run_dir, name) for name in ("train", "valid")
    )
    assert [step for step, _ in train["argmax/stable_share"]] == [93, 186] and train[
        "argmax/stable_share"
    ][0][1] == 0
    last = {tag: rows[-1][1] for tag, rows in train.items()}
    assert sum(last[f"argmax/{kind}"] for kind in ("Attention", "Dense", "Identity")) == 2
    assert last["entropy/mean"] == pytest.approx(
        (last["entropy/block_01"] + last["entropy/block_02"]) / 2, rel=1e-5
    )
    assert last["entropy/normalised"] == pytest.approx(last["entropy/mean"] / np.log(3), rel=1e-5)
    soft, argmax = (
        {
            row["step"]: row
            for row in history.read_rows(
                uninterrupted.run_dir / "history.jsonl", OBJECTIVES["causal_lm"]
            )["valid"]
            if row["evaluate_as"] == way
        }
        for way in ("soft", "argmax")
    )
    for step, gap in valid["gap/nll_per_token"]:
        assert gap == pytest.approx(
            argmax[step]["nll_per_token"] - soft[step]["nll_per_token"], abs=1e-5
        )
    for step, ratio in valid["gap/perplexity_per_word_ratio"]:
        assert ratio == pytest.approx(
            argmax[step]["perplexity_per_word"] / soft[step]["perplexity_per_word"], rel=1e-5
        )
    log = (uninterrupted.run_dir / "training_log.log").read_text()
    assert re.search(
        r"^step 93 end of epoch 1: \da \dd \di entropy \d\.\d{3} \(\d+%\) stable 0%$", log, re.M
    )
    assert re.search(
        r"^step 186 gap \(argmax - soft\) nll [+-]\d\.\d{4} perplexity per word x \d\.\d{4}$",
        log,
        re.M,
    )


@pytest.mark.slow
def test_a_warm_up_that_outlasts_the_training_is_warned_about_at_its_start(tmp_path, data_dir):
    doubt = "warning: the warm-up of 93 steps does not end within the 93 steps of training, "
    run = trainer(
        tmp_path / "run", small_config(data_dir, "d", epochs=1, warmup_steps=93), data_dir
    )
    run.run()
    trainer(tmp_path / "run", run.config, data_dir).run()
    assert [line[: len(doubt)] for line in run.announced] == [doubt] and (
        tmp_path / "run" / "training_log.log"
    ).read_text().count(doubt) == 1
    assert not small_config(data_dir, "d", epochs=1, warmup_steps=92).warning


@pytest.mark.slow
def test_a_warning_of_the_guard_is_said_once(tmp_path, data_dir):
    run = trainer(tmp_path / "run", small_config(data_dir, "sd", epochs=3, arch_lr=1e-6), data_dir)
    with pytest.raises(StoppedError):
        run.run(should_stop=lambda step: step >= 190)
    again = trainer(tmp_path / "run", run.config, data_dir)
    again.run()
    assert run.announced == [
        "warning: epoch 1: nothing moves: no probability is further than 0.000 from 1/3: raise"
        " --arch_lr"
    ]
    assert (
        again.announced == []
        and (tmp_path / "run" / "training_log.log").read_text().count("warning:") == 1
    )


def saved_steps(run_dir) -> list[int]:
    return sorted(run_directory.checkpoint_files(run_dir / "checkpoints"))


@pytest.mark.slow
def test_a_run_saved_by_the_clock_equals_one_that_was_not(tmp_path, data_dir, uninterrupted):
    logging = {
        "log_every": 13,
        "record_every": 7,
        "save_every": 1000,
        "sample_length": 12,
        "sample_every": 1,
    }
    run = trainer(
        tmp_path / "run",
        uninterrupted.config,
        data_dir,
        keep=1000,
        save_every_seconds=1e-9,
        **logging,
    )
    seen: list[int] = []
    run.run(progress=lambda made, text: seen.append(run.step))
    assert final_state.differences(tmp_path / "run", uninterrupted.run_dir) == []
    assert (
        seen == saved_steps(tmp_path / "run")
        and len(seen) > 18
        and saved_steps(uninterrupted.run_dir) == [93, 186]
    )


@pytest.mark.slow
def test_the_clock_starts_anew_with_every_checkpoint(tmp_path, data_dir, uninterrupted):
    run = trainer(
        tmp_path / "run",
        uninterrupted.config,
        data_dir,
        save_every=30,
        keep=1000,
        save_every_seconds=4.0,
    )
    # 4.4 s after the checkpoint of step 30, which was saved by steps
    waits = {20: 4.0, 40: 2.2, 50: 2.2}
    with pytest.raises(StoppedError):
        run.run(
            progress=lambda made, text: time.sleep(waits.get(run.step, 0)),
            should_stop=lambda step: step >= 80,
        )
    assert [step for step in saved_steps(tmp_path / "run") if step >= 20] == [20, 30, 50, 60, 80]


@pytest.mark.slow
def test_the_best_score_is_remembered_across_resumes(tmp_path, data_dir, uninterrupted):
    run_dir = tmp_path / "run"
    with pytest.raises(StoppedError):
        trainer(run_dir, uninterrupted.config, data_dir, keep=1000, save_every_seconds=0.0).run(
            should_stop=lambda step: step >= 93
        )
    assert saved_steps(run_dir) == [93]  # at the epoch's end, and not by the clock
    best = trainer(run_dir, uninterrupted.config, data_dir).note["best"]
    assert best["step"] == 93 and (kept := final_state.tensors(run_dir, "best"))
    again = trainer(run_dir, uninterrupted.config, data_dir)
    embedding = again.learner.objective.trunk.embedding

    def forget(made: int, text: str) -> None:
        if again.step == 186:  # so that the second evaluation is worse
            embedding.assign(np.zeros_like(embedding.numpy()))

    again.run(progress=forget)
    soft = [
        row["nll_per_token"]
        for row in final_state.rows(run_dir)
        if row.get("evaluate_as") == "soft"
    ]
    assert soft[1] > soft[0] == best["nll_per_token"] and again.note["best"] == best
    assert json.loads((run_dir / "summary.json").read_text())["best"] == best
    assert all(
        (final_state.tensors(run_dir, "best")[name] == value).all() for name, value in kept.items()
    )


@pytest.mark.slow
def test_what_was_logged_after_the_last_checkpoint_is_cut_back(tmp_path, data_dir, uninterrupted):
    run_dir, logging = (
        tmp_path / "run",
        {
            "log_every": 13,
            "record_every": 7,
            "save_every": 20,
            "sample_length": 12,
            "sample_every": 1,
        },
    )
    run = trainer(run_dir, uninterrupted.config, data_dir, **logging)
    save = run._save

    def killed_before_saving(which="last"):
        if (run.step, which) == (93, "last"):
            raise KeyboardInterrupt
        save(which)

    run._save = killed_before_saving
    with pytest.raises(KeyboardInterrupt):
        run.run()
    run.logs.lengths()  # all of it is with the system
    assert (
        max(row["step"] for row in final_state.rows(run_dir)) == 93
        and "step 93" in (run_dir / "samples" / "training.txt").read_text()
    )
    again = trainer(run_dir, uninterrupted.config, data_dir, **logging)
    assert again.step == 80
    again.run()
    assert final_state.differences(run_dir, uninterrupted.run_dir) == []


@pytest.mark.slow
def test_texts_change_nothing_of_what_is_learnt(tmp_path, data_dir, uninterrupted):
    run_dir = tmp_path / "run"
    without = trainer(
        run_dir, uninterrupted.config, data_dir, log_every=13, record_every=7, save_every=1000
    )
    with pytest.raises(StoppedError):
        without.run(should_stop=lambda step: step >= 100)
    assert not (run_dir / "samples").exists()
    rows = final_state.rows(run_dir)
    assert rows[-1]["step"] > 93 and rows == final_state.rows(uninterrupted.run_dir)[: len(rows)]


def test_the_history_has_a_row_per_interval_and_ends_at_the_last_step(uninterrupted):
    rows = history.read_rows(uninterrupted.run_dir / "history.jsonl", OBJECTIVES["causal_lm"])
    assert [row["step"] for row in rows["train"]] == [*range(7, 186, 7), 186]
    assert [(row["step"], row["evaluate_as"]) for row in rows["valid"]] == [
        (93, "soft"),
        (93, "argmax"),
        (186, "soft"),
        (186, "argmax"),
    ]
    assert (
        rows["train"][-1]["tau"] == pytest.approx(0.1, rel=1e-6) and rows["train"][0]["tau"] > 0.9
    )
    np.testing.assert_allclose(rows["train"][-1]["pi"][2], [0, 1, 0])
    log = (uninterrupted.run_dir / "training_log.log").read_text()
    assert [int(n) for n in re.findall(r"^step (\d+)/186", log, re.M)] == [
        *range(13, 186, 13),
        186,
    ]
    assert (
        f"parameters in all: {uninterrupted.learner.parameters:,} and 6 architecture logits" in log
    )


def test_history_note_and_tensorboard_hold_what_docs_artefacts_tells(uninterrupted):
    run_dir = uninterrupted.run_dir
    rows = [json.loads(line) for line in (run_dir / "history.jsonl").read_text().splitlines()]
    for row in rows:
        if row["kind"] == "train":
            documented.check("history.jsonl, train", row)
        else:
            documented.check("history.jsonl, valid", row)
    documented.check("Note of a checkpoint", final_state.whole_note(run_dir))
    documented.check("Note of a checkpoint", final_state.whole_note(run_dir, "best"))
    documented.check_tags("tensorboard/train", final_state.tags(run_dir, "train"))
    documented.check_tags("tensorboard/valid", final_state.tags(run_dir, "valid"))
    documented.check_tags("tensorboard/hparams", final_state.tags(run_dir, "hparams"))


def test_tensorboard_has_schedules_losses_perplexities_speed_and_pi_with_its_entropy(
    uninterrupted,
):
    train, valid = (
        final_state.scalars(uninterrupted.run_dir, "train"),
        final_state.scalars(uninterrupted.run_dir, "valid"),
    )
    assert {
        "schedule/learning_rate",
        "schedule/tau",
        "schedule/arch_lr",
        "loss/nll_per_token",
        "entropy/block_01",
    } <= train.keys()
    assert {
        f"pi_block_0{b}/{kind}" for b in (1, 2) for kind in ("Attention", "Dense", "Identity")
    } <= train.keys()
    assert not any("block_03" in tag for tag in train)  # a fixed block has nothing to show
    names = {
        f"perplexity/{unit}{way}" for unit in ("per_token", "per_word") for way in ("", "_argmax")
    } | {
        "perplexity/bits_per_character",
        "perplexity/bits_per_byte",
    }
    assert names <= valid.keys()
    step, entropy = train["entropy/block_01"][0]
    pi = history.read_rows(uninterrupted.run_dir / "history.jsonl", OBJECTIVES["causal_lm"])[
        "train"
    ][0]["pi"][0]
    assert step == 7 and entropy == pytest.approx(-np.sum(np.array(pi) * np.log(pi)), rel=1e-5)


def test_evaluation_gives_the_same_figure_to_the_last_bit(data_dir, uninterrupted):
    loaded = manifest.load(data_dir)
    for way in ("soft", "argmax"):
        first, second = (
            evaluation.score(uninterrupted.learner, data_dir, loaded, "valid", way)
            for _ in range(2)
        )
        assert first == second


def test_evaluation_leaves_the_state_of_training_alone(tmp_path, data_dir, uninterrupted):
    before = [variable.numpy().copy() for variable in uninterrupted.learner._memories]
    evaluation.score(uninterrupted.learner, data_dir, manifest.load(data_dir), "test", "soft")
    for old, variable in zip(before, uninterrupted.learner._memories):
        np.testing.assert_array_equal(variable.numpy(), old)


@pytest.mark.parametrize(
    ("batch_size", "seq_len", "mem_len"), [(1, 8, 5), (1, 1, 7), (3, 11, 0), (4, 8, None)]
)
def test_evaluation_scores_every_token_but_the_first_at_any_shape(
    data_dir, uninterrupted, batch_size, seq_len, mem_len
):
    loaded = manifest.load(data_dir)
    scores = evaluation.score(
        uninterrupted.learner,
        data_dir,
        loaded,
        "test",
        "soft",
        EvalConfig(batch_size, seq_len, mem_len),
    )
    assert scores["tokens"] == loaded.splits["test"].tokens - 1
    assert 1 < scores["perplexity_per_token"] < 40


def test_window_length_does_not_change_the_score_when_everything_is_remembered(
    data_dir, uninterrupted
):
    loaded = manifest.load(data_dir)
    one, other = (
        evaluation.score(
            uninterrupted.learner,
            data_dir,
            loaded,
            "valid",
            "argmax",
            EvalConfig(batch_size=1, seq_len=t, mem_len=600),
        )["nll_per_token"]
        for t in (50, 125)
    )
    assert one == pytest.approx(other, rel=1e-5)


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_a_finite_checkpoint(
    tmp_path, data_dir
):
    config = small_config(data_dir, "sd", max_lr=5e-3)
    run = trainer(tmp_path / "run", config, data_dir, save_every=20)
    with pytest.raises(StoppedError):
        run.run(should_stop=lambda step: step >= 20)
    broken = trainer(tmp_path / "run", config, data_dir, save_every=20)
    broken.learner.objective.trunk.embedding.assign(
        np.full_like(broken.learner.objective.trunk.embedding.numpy(), np.nan)
    )
    with pytest.raises(
        DivergedError,
        match=r"diverged at step 21: loss nan, gradient norm nan, learning rate \d\S+;.*--max_lr",
    ):
        broken.run()
    assert all(np.isfinite(value).all() for value in final_state.tensors(broken.run_dir).values())
    assert "diverged at step 21" in (tmp_path / "run" / "training_log.log").read_text()


def test_a_gradient_of_the_logits_that_is_not_finite_stops_the_run_before_it_is_saved(
    tmp_path, data_dir
):
    config = small_config(data_dir, "sd")
    run = trainer(tmp_path / "run", config, data_dir, save_every=5)
    of_all = run.learner.gradients

    def poisoned(*arguments):
        sums, after, of_weights, of_logits = of_all(*arguments)
        bad = tf.where(run.learner.step == 12, np.float32(np.nan), 0.0)
        return sums, after, of_weights, [gradient + bad for gradient in of_logits]

    run.learner.gradients = poisoned
    with pytest.raises(DivergedError, match=r"diverged at step 13: .*logits.*--arch_lr"):
        run.run()
    assert list(run_directory.checkpoint_files(run.run_dir / "checkpoints")) == [10, 5]
    assert all(np.isfinite(value).all() for value in final_state.tensors(run.run_dir).values())


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    tmp_path, data_dir, uninterrupted
):
    run_dir = tmp_path / "run"
    shutil.copytree(uninterrupted.run_dir, run_dir)
    newest = max((run_dir / "checkpoints").glob("ckpt-*.data*"), key=os.path.getmtime)
    assert newest.name.startswith("ckpt-186")
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    run = trainer(run_dir, uninterrupted.config, data_dir)
    assert run.step == 93
    assert re.search(
        r"checkpoint .*ckpt-186 can't be used .*trying the one before", run.announced[0]
    )
    for path in (run_dir / "checkpoints").glob("ckpt-*.data*"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="none of the 2 checkpoints"):
        trainer(run_dir, uninterrupted.config, data_dir)


@pytest.mark.parametrize(
    "pointer", [None, "", 'model_checkpoint_path: "ckpt-7"'], ids=["missing", "empty", "stale"]
)
def test_checkpoints_are_found_whatever_the_pointer_file_says(
    tmp_path, data_dir, uninterrupted, pointer
):
    run_dir = tmp_path / "run"
    shutil.copytree(uninterrupted.run_dir, run_dir)
    (run_dir / "checkpoints" / "checkpoint").unlink()
    if pointer is not None:
        (run_dir / "checkpoints" / "checkpoint").write_text(pointer)
    run = trainer(run_dir, uninterrupted.config, data_dir)
    assert run.step == 186 and run.announced == []
    assert final_state.rows(run_dir) == final_state.rows(uninterrupted.run_dir)


def test_a_damaged_checkpoint_does_not_push_out_a_whole_one(tmp_path, data_dir, uninterrupted):
    run_dir = tmp_path / "run"
    shutil.copytree(uninterrupted.run_dir, run_dir)
    for path in (run_dir / "checkpoints").glob("ckpt-186.data*"):
        path.write_bytes(b"")
    run = trainer(run_dir, uninterrupted.config, data_dir)
    with pytest.raises(StoppedError):
        run.run(should_stop=lambda step: step >= 100)
    names = {path.name for path in (run_dir / "checkpoints").glob("ckpt-*.index*")}
    assert names == {"ckpt-93.index", f"ckpt-{run.step}.index", "ckpt-186.index.damaged"}
    again = trainer(run_dir, uninterrupted.config, data_dir)
    assert (again.step, again.announced) == (run.step, [])


def test_a_checkpoint_that_can_not_be_written_is_said_in_one_line(
    tmp_path, data_dir, uninterrupted
):
    run_dir = tmp_path / "run"
    shutil.copytree(uninterrupted.run_dir, run_dir, ignore=shutil.ignore_patterns("checkpoints"))
    (run_dir / "checkpoints").write_text("a file where a directory should be")
    run = trainer(run_dir, uninterrupted.config, data_dir)
    with pytest.raises(
        ResourceError,
        match=(
            r"can't write .*ckpt-\d+ \((?:Not a directory|File exists); it needs [\d,]+ bytes,"
            r" [\d,]+ are free\);"
            r" there is no"
        ),
    ):
        run.run(should_stop=lambda step: True)


def test_the_best_checkpoint_is_the_one_of_the_lowest_valid_nll(uninterrupted):
    rows = [
        row
        for row in history.read_rows(
            uninterrupted.run_dir / "history.jsonl", OBJECTIVES["causal_lm"]
        )["valid"]
        if row["evaluate_as"] == "soft"
    ]
    best = min(rows, key=lambda row: row["nll_per_token"])
    assert uninterrupted.note["best"] == {
        "step": best["step"],
        "nll_per_token": best["nll_per_token"],
    }
    saved = [
        path.name for path in (uninterrupted.run_dir / "checkpoints" / "best").glob("ckpt-*.index")
    ]
    assert saved == [f"ckpt-{best['step']}.index"]


@pytest.mark.slow
def test_straight_through_trains_and_decides_by_the_same_loop(tmp_path, data_dir):
    run = trainer(
        tmp_path / "run", small_config(data_dir, "ss", sampling="straight_through"), data_dir
    )
    before = run.learner.pi
    run.run()
    assert np.abs(run.learner.pi - before).max() > 0.05


@pytest.mark.slow
def test_plain_and_adaptive_softmax_learn_the_same_bigrams(tmp_path):
    from small import bigrams

    data = small_data(tmp_path / "data", bigrams, train=6_000)
    ends = []
    for cutoffs in ((), (12, 20)):
        run = trainer(
            tmp_path / f"run{len(cutoffs)}",
            small_config(
                data,
                "d",
                cutoffs=cutoffs,
                epochs=6,
                max_lr=2e-2,
                dropout_rate=0.0,
                proj_factor=1.0,
            ),
            data,
        )
        run.run()
        ends.append(
            evaluation.score(run.learner, data, manifest.load(data), "valid", "fixed")[
                "nll_per_token"
            ]
        )
    assert ends[0] == pytest.approx(ends[1], rel=0.05) and ends[0] < 2.2
