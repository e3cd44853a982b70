"""The command that tells what frozen hidden states are worth: on documents whose labels are in
their words, as a user builds them, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import documented
import par
from built import sentences
from made_documents import write_lines
from par.data import documents, manifest
from par.data.characters import typos
from par.data.tokenizer import Tokenizer
from par.evaluate import probe
from par.objectives.settings import MaskedLMSettings
from par.tools import build_data, train
from par.tools import probe as probe_command
from project import refused, without
from small import NETWORK, random_run, small_config, small_data

GROUPS, AUTHORS, EACH = 6, 5, 30
SHARES = tuple(f"--split_fractions={share}" for share in (0.4, 0.3, 0.3))
SHAPE = ("--batch_size=4", "--seq_len=8", "--baseline=none", "--model_type=word", *SHARES)
FEW = ("--min_documents=4", "--folds=3")


def written(path: Path, each: int = EACH, has_authors: bool = True) -> Path:
    """Documents of groups, each of which has words of its own; authors are without effect."""
    draw, lines, found = np.random.default_rng(1), sentences(GROUPS * each), []
    for number, line in enumerate(lines):
        group = number % GROUPS
        own = [f"{'bcdfgh'[group]}{'aeiou'[i]}" for i in draw.integers(5, size=6)]
        found.append(
            {
                "id": f"{number}",
                "text": f"{' '.join(own)} .\n{line}",
                "group": f"place {group}",
                # each text a thread, so that those of a group are in all splits
                "author": f"writer {draw.integers(AUTHORS)}" if has_authors else None,
            }
        )
    return write_lines(path, found)


def built(root: Path, name: str, *flags: str, **made: object) -> Path:
    path = written(root / f"{name}.jsonl", **made)
    given = (f"--input_documents={path}", f"--output_dir={root / name}", "--split_by=thread")
    assert build_data.main([*given, *SHAPE, *flags]) == 0
    return root / name


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> SimpleNamespace:
    """Data sets, and runs of random weights on them; not to be changed."""
    root = tmp_path_factory.mktemp("probe")
    data = built(root, "data")
    other = built(root, "other", has_authors=False, each=20)
    masked = {"objective": "masked_lm", "objective_settings": MaskedLMSettings()}
    runs = {
        name: random_run(
            root / name, dataclasses.replace(small_config(of, blocks), **objective), of
        )
        for name, of, blocks, objective in (
            ("causal", data, "ad", {}),
            ("masked", data, "da", masked),
            ("search", data, "ss", {}),
            ("foreign", other, "ad", {}),
        )
    }
    plain = small_data(root / "plain", train=300, valid=60)
    runs["streamed"] = random_run(root / "streamed", small_config(plain, "ad"), plain)
    return SimpleNamespace(root=root, data=data, other=other, plain=plain, **runs)


def test_the_json_is_what_the_library_finds_in_the_same_documents(made, call):
    flags = (f"--run={made.causal}", f"--run={made.masked}", "--label=group", *FEW, "--seed=3")
    done = call("probe", *flags, "--json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    documented.check("probe --json", value)
    tokenizer, texts, labels = Tokenizer.load(made.data / "tokenizer.model"), [], []
    for split in ("valid", "test"):
        reader = documents.token_reader(made.data, split)
        labels += reader.table[:, documents.GROUP].tolist()
        texts += [tokenizer.decode(reader.document(row)) for row in range(len(reader.table))]
    assert value["documents_read"] == len(texts) and value["labels_read"] == GROUPS
    labels = np.array(labels)
    folds = probe.stratified_folds(labels, 3, 3)
    correct = {}
    for run in (made.causal, made.masked):
        model = par.load(run)
        for which, each in (("accuracy", model), ("untrained", model.untrained())):
            found = probe.by_states(each.embed(texts), labels, folds, 3)
            correct[str(run), which] = found == labels
    correct["majority"] = probe.by_majority(labels, folds) == labels
    correct["tfidf"] = probe.by_characters(texts, labels, folds, 3) == labels
    for name in ("majority", "tfidf"):
        assert value["baselines"][name]["mean"] == pytest.approx(correct[name].mean())
    for run in value["runs"]:
        mine, fresh = (correct[run["run"], which] for which in ("accuracy", "untrained"))
        assert run["accuracy"]["mean"] == pytest.approx(mine.mean())
        assert run["untrained"]["mean"] == pytest.approx(fresh.mean())
        difference = mine.astype(float) - fresh
        assert run["less_untrained"] == pytest.approx(
            probe.accuracy(difference, np.arange(len(texts)), 3).to_json()
        )
    first, second = value["runs"]
    assert [first["objective"], second["objective"]] == ["causal_lm", "masked_lm"]
    assert first["less_first"] is None
    assert second["less_first"]["mean"] == pytest.approx(
        second["accuracy"]["mean"] - first["accuracy"]["mean"]
    )


def test_labels_that_are_in_the_words_are_found_and_others_are_not(made, call):
    group, author = (
        json.loads(call("probe", f"--run={made.causal}", f"--label={label}", *FEW, "--json").out)
        for label in ("group", "author")
    )
    assert group["baselines"]["tfidf"]["low"] > 0.9
    assert group["runs"][0]["accuracy"]["low"] > group["baselines"]["majority"]["high"]
    assert author["runs"][0]["accuracy"]["low"] < 1 / AUTHORS + 0.1
    assert (group["cluster"], author["cluster"]) == ("thread", "group")


def test_the_table_names_every_network_and_how_they_differ(made, call):
    flags = ("--label=group", *FEW, "--document_len=5", "--split=test")
    done = call("probe", f"--run={made.causal}", f"--run={made.masked}", *flags)
    lines = done.out.splitlines()
    assert done.code == 0 and lines[0].startswith("test: ") and lines[0].endswith(", in 3 folds")
    assert lines[0].split(" of ")[1].startswith(f"{GROUPS} groups")
    assert lines[1] == "left out: 0 groups of fewer than 4 documents (0 documents)"
    for name in (
        "most frequent label",
        "TF-IDF of 3- to 5-grams",
        f"{made.causal} (ad, causal_lm)",
    ):
        assert sum(line.startswith(name) for line in lines) == 1, done.out
    assert sum(line.startswith("  the same with fresh weights") for line in lines) == 2
    verdicts = ("better", "worse", "no difference is seen")
    for one, other in (
        (made.causal, "its fresh weights"),
        (made.causal, "TF-IDF"),
        (made.masked, made.causal),
    ):
        found = [line for line in lines if line.startswith(f"{one} less {other} ")]
        assert len(found) == 1 and found[0].endswith(verdicts)
    assert "intervals for other threads" in lines[-1]


@pytest.mark.parametrize("way", ["soft", "argmax"])
def test_the_untrained_network_of_a_search_has_the_logits_of_the_trained_one(made, way):
    model = par.load(made.search, evaluate_as=way)
    fresh = model.untrained()
    assert (fresh.pi == model.pi).all() and fresh.phase == model.phase
    changed = [
        (mine.numpy() != theirs.numpy()).any()
        for mine, theirs in zip(fresh.learner.weights, model.learner.weights, strict=True)
    ]
    assert all(changed)
    again = model.untrained().embed(["be ba .", "ca ."])
    np.testing.assert_array_equal(fresh.embed(["be ba .", "ca ."]), again)


def test_documents_are_cut_and_drawn_as_the_flags_say(made, call):
    flags = ("--label=group", "--documents=40", "--labels=4", *FEW, "--json")
    done = call("probe", f"--run={made.search}", "--evaluate_as=argmax", *flags)
    value = json.loads(done.out)
    assert (value["documents_read"], value["labels_read"]) == (40, 4)
    assert value["not_drawn"]["labels"] == 2
    table = [len(documents.load(made.data, split)) for split in ("valid", "test")]
    assert value["not_drawn"]["documents"] == sum(table) - 40


def test_a_run_reads_documents_of_other_data_with_its_own_tokenizer(made, call):
    flags = ("--label=author", f"--data={made.data}", *FEW, "--json")
    done = call("probe", f"--run={made.foreign}", *flags)
    assert done.code == 0 and f"run {made.foreign} was trained on other data" in done.err
    value = json.loads(done.out)
    assert value["documents_read"] == sum(
        len(documents.load(made.data, split)) for split in ("valid", "test")
    )
    assert "other data" not in call("probe", f"--run={made.causal}", *flags).err


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        ((), 1, "--run=DIR is required"),
        (("--run={causal}",), 1, "--label is required: group or author"),
        (("--run={causal}", "--label=topic"), 1, "topic"),
        (("--run=nowhere", "--label=group"), 3, "--run=nowhere has no config.json"),
        (
            ("--run={causal}", "--label=group", "--data=nowhere"),
            3,
            "--data=nowhere has no manifest",
        ),
        (("--run={streamed}", "--label=group"), 3, "has no documents, as it was built from plain"),
        (("--run={foreign}", "--label=author"), 3, "has an author: try --label=group"),
        (
            ("--run={causal}", "--label=group", "--min_documents=1001"),
            1,
            "--documents must be at least twice --min_documents",
        ),
        (
            ("--run={causal}", "--label=group", "--min_documents=200"),
            3,
            "there are 0 groups of at least 200 documents, but two are needed",
        ),
        (("--run={causal}", "--label=group", "--folds=1"), 1, "--folds must be at least 2"),
        (("--run={causal}", "--label=group", "--min_documents=3"), 1, "must be at least 4"),
        (("--run={causal}", "--label=group", "--document_len=0"), 1, "must be at least 1"),
    ],
)
def test_a_wrong_flag_or_data_without_the_label_is_one_line(made, flags, code, said, call):
    given = [flag.format(**vars(made)) for flag in flags]
    refused(call("probe", *given), code, said)


def test_damaged_records_are_refused(made, call, tmp_path):
    copy = shutil.copytree(made.data, tmp_path / "copy")
    name = manifest.load(copy).splits["test"].files[0].name
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    refused(
        call("probe", f"--run={made.causal}", "--label=group", f"--data={copy}"),
        3,
        str(copy / name),
    )


def test_without_scikit_learn_the_command_says_how_to_install_it():
    done = without("sklearn", "probe", "--run=x", "--label=group")
    said = (
        "error: probe needs scikit-learn, which is not installed: pip install"
        ' "par-transformer-xl[probe]", or in a clone pip install ".[probe]"\n'
    )
    assert done == (1, "", said)


@pytest.mark.slow
def test_training_makes_the_hidden_states_tell_more(tmp_path, call):
    """Texts of a few words of their group among others: the network learns which go together."""
    data = built(tmp_path, "data", each=150)
    given = (f"--data={data}", f"--run={tmp_path / 'run'}", "--architecture=adad", *NETWORK)
    assert train.main([*given, "--epochs=12", "--sample_length=0"]) == 0
    done = call("probe", f"--run={tmp_path / 'run'}", "--label=group", "--json")
    value = json.loads(done.out)
    assert value["runs"][0]["less_untrained"]["low"] > 0, done.out


def test_typing_errors_are_read_where_a_label_is_predicted_and_nowhere_else(made, call):
    flags = (f"--run={made.causal}", f"--run={made.masked}", "--label=group", *FEW, "--seed=3")
    done = call("probe", *flags, "--typos=0.5", "--json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    documented.check("probe --json", value)
    first = value["runs"][0]
    tokenizer, texts, labels = Tokenizer.load(made.data / "tokenizer.model"), [], []
    for split in ("valid", "test"):
        reader = documents.token_reader(made.data, split)
        labels += reader.table[:, documents.GROUP].tolist()
        texts += [tokenizer.decode(reader.document(row)) for row in range(len(reader.table))]
    typed = [
        typos.of_text(text, 0.5, np.random.default_rng([3, number]))
        for number, text in enumerate(texts)
    ]
    labels, model = np.array(labels), par.load(made.causal)
    about = (labels, probe.stratified_folds(labels, 3, 3), 3)
    states = model.embed(texts)
    found = probe.by_states(states, *about, read_as=model.embed(typed)) == labels
    assert first["accuracy"]["mean"] == pytest.approx(found.mean())
    clean = probe.by_states(states, *about) == labels
    assert first["clean"]["mean"] == pytest.approx(clean.mean())
    counted = probe.by_characters(texts, *about, read_as=typed) == labels
    assert value["baselines"]["tfidf"]["mean"] == pytest.approx(counted.mean())
    lost = first["accuracy"]["mean"] - first["clean"]["mean"]
    assert first["less_clean"]["mean"] == pytest.approx(lost) and lost < -0.1
    second = value["runs"][1]
    assert second["less_clean_less_first"]["mean"] == pytest.approx(
        second["less_clean"]["mean"] - lost
    )
    shown = "\n".join(probe_command._lines(value))
    assert "of their letters 50% are typed wrongly" in shown
    assert shown.count("it without typing errors") == 2
    assert f"the same of {made.causal}" in shown
