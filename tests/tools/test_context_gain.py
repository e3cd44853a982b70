"""The command that tells whether contexts can help: on corpora made by rule, as a user builds
them, and what it refuses."""

from __future__ import annotations

import json
import shutil

import pytest

import documented
from par.baselines import context_gain
from par.core.stats import Interval
from par.data import documents, manifest
from par.tools import build_data, synth
from par.tools import context_gain as context_gain_tool
from project import refused
from small import small_data

SHAPE = ("--batch_size=4", "--seq_len=8", "--baseline=none")
SHARES = tuple(f"--split_fractions={share}" for share in (0.6, 0.2, 0.2))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Two latents, by word: 48 authors in 8 groups."""
    root = tmp_path_factory.mktemp("gain")
    flags = ("--task=two_latents", f"--output={root}/a.jsonl", "--authors=48", "--groups=8")
    assert synth.main(list(flags)) == 0
    built = (f"--input_documents={root}/a.jsonl", f"--output_dir={root}/data", *SHAPE, *SHARES)
    assert build_data.main([*built, "--model_type=word", "--split_by=author"]) == 0
    return root / "data"


def test_it_tells_by_kind_what_contexts_give_and_which_the_data_lack(data_dir, call):
    done = call("context_gain", f"--data={data_dir}", "--contexts=5")
    lines = done.out.splitlines()
    assert done.code == 0 and lines[0].startswith("valid and test: ")
    assert lines[0].endswith(" masked words") and " authors; " in lines[0]
    rows = {line.split("  ")[0]: line for line in lines}
    for label in ("same author, other groups", "same group, other authors"):
        assert rows[label].endswith("can help"), done.out
    assert lines[-1] == "these data can't tell: ancestors (no text has a parent)"


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.3, -0.1, "can help"),
        (-0.3, 0.1, "no gain is seen"),
        (-0.0004, -0.0001, "no gain is seen"),
        (0.1, 0.2, "worse"),
    ],
)
def test_a_gain_that_is_not_to_be_seen_is_none(low, high, said):
    assert context_gain_tool._verdict(Interval((low + high) / 2, low, high)) == said


def test_the_json_is_the_result_of_the_library(data_dir, call):
    flags = ("--contexts=3", "--context_len=4", "--text_len=3", "--split=test", "--documents=40")
    done = call("context_gain", f"--data={data_dir}", *flags, "--seed=7", "--json")
    value = json.loads(done.out)
    documented.check("context_gain --json", value)
    reader = documents.token_reader(data_dir, "test")
    found = context_gain.measure(
        documents.token_reader(data_dir, "train"),
        [context_gain.Split("test", reader.table, reader)],
        manifest.load(data_dir).vocab_size,
        "author",
        contexts=3,
        context_len=4,
        text_len=3,
        most=40,
        seed=7,
    )
    assert (value["unit"], value["cluster"], value["splits"]) == ("word", "author", ["test"])
    assert (value["contexts"], value["context_len"], value["seed"]) == (3, 4, 7)
    assert (value["documents"], value["nll"]) == (found.documents, found.nll)
    assert [gain["difference"] for gain in value["gains"]] == [
        gain.difference.to_json() for gain in found.gains
    ]


def test_a_data_set_without_documents_is_refused_with_what_to_do(call, tmp_path):
    small_data(tmp_path / "plain", train=300, valid=60)
    done = call("context_gain", f"--data={tmp_path}/plain")
    refused(done, 3, "has no documents, as it was built from plain text: build it from")


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        ((), 1, "--data=DIR is required"),
        (("--data=nowhere",), 3, "--data=nowhere has no manifest.json"),
        (("--data={data}", "--contexts=0"), 1, "--contexts must be at least 1, but is 0"),
        (("--data={data}", "--context_len=0"), 1, "--context_len must be at least 1, but is 0"),
        (("--data={data}", "--documents=0"), 1, "--documents must be at least 1, but is 0"),
        (("--data={data}", "--seed=-1"), 1, "--seed must be at least 0, but is -1"),
        (("--data={data}", "--split=train"), 1, "train"),
    ],
)
def test_a_wrong_flag_is_one_line(data_dir, flags, code, said, call):
    given = [flag.format(data=data_dir) for flag in flags]
    refused(call("context_gain", *given), code, said)


def test_a_damaged_table_of_documents_is_refused(data_dir, call, tmp_path):
    copy = shutil.copytree(data_dir, tmp_path / "copy")
    table = copy / "documents" / "test.npy"
    content = bytearray(table.read_bytes())
    content[-8] ^= 1
    table.write_bytes(content)
    refused(call("context_gain", f"--data={copy}"), 3, str(table))
