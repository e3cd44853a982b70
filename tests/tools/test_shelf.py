"""The command that saves, lists, fetches and verifies, and others that take what it saved."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import documented
import par
from misbehaving import Server, running_server
from shelved import contents
from small import NETWORK, random_run, small_config, small_data

TEXT = "w8 w12 w9 w30 w11\nw17 w8\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run; not to be changed."""
    root = tmp_path_factory.mktemp("made")
    data = small_data(root / "data", train=600, valid=200)
    return random_run(root / "run", small_config(data, "ad", epochs=1), data)


@pytest.fixture(scope="module")
def shelf(run, call, tmp_path_factory) -> Path:
    """A shelf with the run and its records; not to be changed."""
    root = tmp_path_factory.mktemp("shelves") / "shelf"
    done = call(
        "shelf",
        "save",
        run,
        f"--shelf={root}",
        "--name=en_docs",
        "--tag=v1",
        "--licence=CC0-1.0",
        "--split",
        "valid",
        "test",
        "--json",
    )
    assert done.code == 0, done.err
    value = json.loads(done.out)
    documented.check("shelf save --json", value)
    assert value["is_new"] and value["licence"] == "CC0-1.0"
    return root


@pytest.fixture
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """The cache."""
    monkeypatch.setenv("PAR_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("PAR_SHELF", raising=False)
    return tmp_path / "cache"


def test_from_a_run_to_a_web_server_to_a_fresh_cache_and_the_same_probabilities(
    run, shelf, server, home, call, monkeypatch
):
    url = server.share(shelf)
    listed = json.loads(call("shelf", "list", f"--shelf={url}", "--json").out)
    documented.check("shelf list --json", listed)
    [network] = listed["networks"]
    about, archive = network["about"], network["archive"]
    assert (about["network"], about["splits"]) == ("ad", ["valid", "test"])
    assert not network["is_cached"]
    fetched = json.loads(call("shelf", "fetch", "en_docs@v1", f"--shelf={url}", "--json").out)
    documented.check("shelf fetch --json", fetched)
    [found] = fetched["networks"]
    assert found["is_new"] and Path(found["path"]).is_relative_to(home)
    assert (found["sha256"], found["bytes"]) == (archive["sha256"], archive["size"])
    verified = json.loads(call("shelf", "verify", f"--shelf={url}", "--json").out)
    documented.check("shelf verify --json", verified)
    assert verified["networks"] == [
        {"name": "en_docs", "tag": "v1", "shelf": url, "is_cached": True, "faults": []}
    ]
    monkeypatch.setenv("PAR_SHELF", url)
    asked = len(server.asked)
    theirs, mine = par.load("shelf:en_docs@v1"), par.load(run)
    assert about["parameters"] == mine.learner.parameters
    np.testing.assert_array_equal(theirs.token_scores(TEXT).nll, mine.token_scores(TEXT).nll)
    flags = ("--baseline=none", "--json")
    mine, theirs = (
        json.loads(call("evaluate", f"--run={each}", *flags).out)["results"]
        for each in (run, "shelf:en_docs@v1")
    )
    assert [row.pop("run") for row in theirs] == [found["path"]] * len(theirs)
    assert [row.pop("run") for row in mine] == [str(run)] * len(mine)
    assert mine == theirs and len(server.asked) == asked


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["causal_lm", "span_electra"])
def test_what_was_trained_comes_back_with_its_best_checkpoint_history_and_card(
    call, server, tmp_path, objective
):
    data = small_data(tmp_path / "data", train=3_000, valid=400)
    run = tmp_path / "logs" / "run"
    flags = [f"--data={data}", f"--run={run}", "--architecture=ad", f"--objective={objective}"]
    done = call("train", *flags, *NETWORK, "--sample_length=0")
    assert done.code == 0, done.err
    shelf = tmp_path / "shelf"
    splits = ("--split", "train", "valid", "test")
    done = call("shelf", "save", run, f"--shelf={shelf}", "--name=a", "--tag=v1", *splits)
    assert done.code == 0, done.err
    card = (shelf / "a" / "v1.md").read_text()
    assert card.count("\n| 0.") == 2 and "checkpoints: last, best" in card
    reference = f"shelf:{server.share(shelf)}/a@v1"
    for which in ("last", "best"):
        theirs, mine = (par.load(each, checkpoint=which) for each in (reference, run))
        assert theirs.config == mine.config
        for one, other in zip(theirs.learner.weights, mine.learner.weights, strict=True):
            np.testing.assert_array_equal(one.numpy(), other.numpy())
        np.testing.assert_array_equal(theirs.embed([TEXT]), mine.embed([TEXT]))
    history = ("--split=valid", "--show_history", "--baseline=none")
    theirs, mine = (call("evaluate", f"--run={each}", *history) for each in (reference, run))
    assert theirs.code == 0, theirs.err
    assert theirs.out.splitlines()[1:] == mine.out.splitlines()[1:]  # below the directory
    assert call("shelf", "verify", reference).code == 0


def test_what_people_read(run, shelf, home, call, tmp_path):
    again = call("shelf", "save", run, "--name=a", "--tag=v1", f"--shelf={tmp_path}/b")
    assert again.code == 0 and "the licence is not stated" in again.err
    assert re.match(r"a@v1 is saved: 8 files, [\d,]+ bytes, SHA-256 [0-9a-f]{64}\n", again.out)
    again = call("shelf", "save", "--name", "a", "--tag=v1", f"--shelf={tmp_path}/b", run)
    assert again.code == 0 and again.out.startswith("a@v1 is there already, with the same files")
    head, row = call("shelf", "list", f"--shelf={shelf}").out.splitlines()
    assert head.split()[:4] == ["name", "objective", "network", "corpus"]
    assert row.split()[:4] == ["en_docs@v1", "causal_lm", "ad", "synthetic"]
    assert row.endswith("CC0-1.0")
    reference = f"shelf:{shelf}/en_docs@v1"
    for state in ("fetched", "there already"):
        lines = call("shelf", "fetch", reference).out.splitlines()
        assert lines[0].startswith(f"en_docs@v1 is {state}: ") and lines[1] == "licence: CC0-1.0"
    [line] = call("shelf", "verify", reference).out.splitlines()
    assert line.endswith(", and the copy in the cache: good")


def test_what_is_damaged_is_told_and_ends_with_exit_code_3(shelf, home, call, tmp_path):
    copy = Path(shutil.copytree(shelf, tmp_path / "copy"))
    archive = copy / "en_docs" / "v1.tar"
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    before = contents(copy)
    done = call("shelf", "verify", f"--shelf={copy}")
    assert done.code == 3 and done.out.endswith(": bad\n") and contents(copy) == before
    assert re.search(r"^en_docs@v1: archive .* is not the one of the entry: its SHA-256", done.err)
    assert done.err.splitlines()[-1].startswith("error: 1 network of 1 can't be used")
    done = call("shelf", "verify", f"--shelf={copy}", "--json")
    assert done.code == 3 and json.loads(done.out)["networks"][0]["faults"]
    done = call("evaluate", f"--run=shelf:{copy}/en_docs@v1")
    assert done.code == 3 and "does not have the archive that its entry names" in done.err


def test_a_run_whose_checkpoint_is_damaged_is_not_saved(run, call, tmp_path):
    copy = Path(shutil.copytree(run.parent, tmp_path / "made")) / "run"
    [path] = (copy / "checkpoints").glob("*.data-*")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    done = call("shelf", "save", copy, "--name=a", "--tag=v1", f"--shelf={tmp_path}/shelf")
    assert done.code == 3 and "the run is not saved: checkpoint" in done.err
    assert not (tmp_path / "shelf").exists()


def test_several_runs_may_be_of_shelves_and_of_directories(run, shelf, call):
    done = call(
        "evaluate",
        "--run",
        run,
        f"shelf:{shelf}/en_docs@v1",
        "--split=valid",
        "--baseline=none",
        "--json",
    )
    rows = json.loads(done.out)["results"]
    assert len(rows) == 2 and rows[0]["nll_per_token"] == rows[1]["nll_per_token"]
    assert rows[0]["run"] == str(run) and rows[1]["run"].endswith("/en_docs@v1")


def test_a_composed_model_of_networks_from_a_shelf_is_a_network_on_it(
    run, shelf, home, call, tmp_path
):
    both, named = tmp_path / "both", f"shelf:{tmp_path}/made/both@v1"
    parts = ("--run", f"shelf:{shelf}/en_docs@v1", run, "--name", "en", "own")
    assert call("compose", *parts, f"--output={both}").code == 0
    done = call("shelf", "save", both, "--name=both", "--tag=v1", f"--shelf={tmp_path}/made")
    assert done.code == 0, done.err
    [listed] = json.loads(call("shelf", "list", f"--shelf={tmp_path}/made", "--json").out)[
        "networks"
    ]
    assert listed["about"]["network"] == "en + own" and listed["about"]["parameters"] > 3_496
    card = (tmp_path / "made" / "both" / "v1.md").read_text()
    assert "- part own: `ad`, width 16, causal\n" in card and "## Scores" not in card
    shutil.rmtree(home)
    theirs, mine = par.load(named), par.load(both, data=run.parent / "data")
    np.testing.assert_array_equal(theirs.embed([TEXT]), mine.embed([TEXT]))
    layer = par.compose([f"shelf:{shelf}/en_docs@v1", par.load(run)])
    assert layer(np.array([[8, 12, 9]])).shape == (1, 3, 32)


def test_what_needs_records_that_were_not_saved_is_told_or_left_out(run, shelf, call):
    reference = f"shelf:{shelf}/en_docs@v1"
    done = call("evaluate", f"--run={reference}", "--split=valid")
    assert done.code == 0 and "n-gram model is scored" in done.err
    assert "as the data set has no records of train" in done.err
    for flags in (("--split=train",), ("--split=valid", "--baseline=kneser_ney")):
        done = call("evaluate", f"--run={reference}", *flags)
        assert done.code == 3 and "train/part-00000-of-00001.tfrecord is missing" in done.err


def test_a_command_that_writes_beside_a_run_needs_another_place_for_a_fetched_one(
    shelf, home, call, tmp_path
):
    reference, picture = f"shelf:{shelf}/en_docs@v1", tmp_path / "network.png"
    for flag in (f"--run={reference}", f"--run={next(iter(home.glob('*/*')), reference)}"):
        done = call("plot_network", flag)
        assert done.code == 1 and "was fetched from a shelf and must not change" in done.err
    assert call("plot_network", f"--run={reference}", f"--output={picture}").code == 0
    assert picture.stat().st_size > 1_000


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["shelf"], "the first argument must name what is done, one of save, list, fetch, verify"),
        (["shelf", "get"], "one of save, list, fetch, verify, but is 'get'"),
        (["shelf", "save"], "--name and --tag are required, such as --name=en_docs --tag=v1"),
        (["shelf", "save", "--name=a", "--tag=b"], "--run=DIR is required"),
        (["shelf", "save", "a", "b", "--name=a", "--tag=b"], "unexpected argument 'a'"),
        (["shelf", "save", "a", "--run=b", "--name=a", "--tag=b"], "unexpected argument 'a'"),
        (["shelf", "save", "a", "--name=../a", "--tag=b"], "--name must be 1 to 64 letters"),
        (["shelf", "save", "a", "--name=a", "--tag=b@c"], "--tag must be 1 to 64 letters"),
        (["shelf", "save", "a", "--name=a", "--tag=b", "--licence=a\nb"], "--licence must be one"),
        (["shelf", "fetch"], "name what is fetched: shelf.py fetch en_docs@v1"),
        (["shelf", "fetch", "en_docs"], "a reference must be NAME@TAG or SHELF/NAME@TAG, such"),
        (["shelf", "list", "--shelf=http://"], "--shelf must be a directory, file:///PATH"),
        (["shelf", "list", "more"], "unexpected argument 'more'"),
        (["evaluate", "--run=shelf:en_docs"], "a reference must be shelf:NAME@TAG"),
        (
            ["derive", "--run=shelf:en_docs@v1"],
            "--run does not take networks from a shelf",
        ),
    ],
)
def test_what_can_not_be_meant_is_one_line(call, tmp_path, arguments, told):
    done = call(*arguments, cwd=tmp_path)
    assert done.code == 1 and told in done.err and done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_one_line(call, tmp_path):
    for arguments, told in (
        (["shelf", "list"], "there is no shelf at shelf: "),
        (["shelf", "verify"], "there is no shelf at shelf: "),
        (["shelf", "fetch", "a@v1"], "a@v1 is not on shelf shelf: "),
        (["generate", "--run=shelf:a@v1", "--prompt=a"], "a@v1 is not on shelf shelf: "),
        (["shelf", "save", "nowhere", "--name=a", "--tag=b"], "has no config.json"),
    ):
        done = call(*arguments, cwd=tmp_path)
        assert done.code == 3 and told in done.err and done.err.count("\n") == 1, arguments
    assert list(tmp_path.iterdir()) == []


def test_what_a_shelf_says_does_not_reach_the_terminal_as_it_is(shelf, call, tmp_path):
    changed = Path(shutil.copytree(shelf, tmp_path / "shelf"))
    assert call("shelf", "fetch", "en_docs@v1", f"--shelf={changed}").code == 0
    path = changed / "en_docs" / "v1.json"
    value = json.loads(path.read_text())
    value["about"]["licence"] = "\x1b[31mMIT\nright"
    path.write_text(json.dumps(value))
    done = call("shelf", "verify", "en_docs@v1", f"--shelf={changed}")
    assert done.code == 3 and "\\x1b[31mMIT right" in done.err and "\x1b" not in done.err, done.err
