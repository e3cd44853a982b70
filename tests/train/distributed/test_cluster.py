"""TF_CONFIG tells which processes there are and which of them this is."""

from __future__ import annotations

import json

import pytest

from par.core.errors import UsageError
from par.train.distributed import cluster

TWO = ["host0:2222", "host1:2222"]


def config(cluster_spec, kind="worker", index=0):
    return json.dumps({"cluster": cluster_spec, "task": {"type": kind, "index": index}})


@pytest.mark.parametrize(
    ("text", "addresses", "index"),
    [
        (config({"worker": TWO}), TWO, 0),
        (config({"worker": TWO}, index=1), TWO, 1),
        (config({"worker": TWO}, index="1"), TWO, 1),  # some batch systems quote it
        (config({"worker": TWO, "chief": ["[::1]:5"]}, "chief"), ["[::1]:5", *TWO], 0),
        (config({"worker": TWO, "chief": ["[::1]:5"]}, index=1), ["[::1]:5", *TWO], 2),
        (config({"worker": TWO[:1]}), TWO[:1], 0),
        (cluster.EXAMPLE, TWO, 0),
    ],
)
def test_the_chief_comes_first(monkeypatch, text, addresses, index):
    monkeypatch.setenv("TF_CONFIG", text)
    found = cluster.from_environment()
    assert found == (tuple(addresses), index) and found.is_chief == (index == 0)
    assert str(found) == f"worker {index} of {len(addresses)} ({addresses[index]})"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is not set"),
        ("{", ""),
        ("[]", ""),
        ("{}", "cluster"),
        (json.dumps({"cluster": {"worker": TWO}}), "task"),
        (config({"worker": TWO}, index=2), "there is no worker 2"),
        (config({"worker": TWO}, index=-1), "there is no worker -1"),
        (config({"worker": TWO}, index="first"), "first"),
        (config({"worker": TWO}, "chief"), "the task's type must be in the cluster"),
        (config({"worker": TWO, "ps": TWO}), "not ps"),
        (config({"worker": TWO, "chief": TWO}), "one chief at most"),
        (config({"worker": ["host0", "host1:1"]}), "host:port"),
        (config({"worker": [*TWO, TWO[0]]}), "host:port, and another one"),
        (config({"worker": [1, 2]}), "host:port"),
        (config({"worker": ["host0:1", "host1:99999"]}), "a port from 1 to 65535"),
        (config({"worker": ["host0:0", "host1:1"]}), "a port from 1 to 65535"),
        (config({"worker": "host0:1"}), ""),
        (config(TWO), ""),
        (config({"worker": TWO}, index=None), ""),
    ],
)
def test_anything_else_is_refused_with_an_example(monkeypatch, text, said):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError) as raised:
        cluster.from_environment()
    message = str(raised.value)
    assert (
        "TF_CONFIG" in message
        and cluster.EXAMPLE in message
        and said in message
        and text in message
        and "\n" not in message
    )
