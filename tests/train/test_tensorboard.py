"""What a user sees in TensorBoard, asked of the real server: every run, charts by subject,
pictures, texts, settings beside final scores."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import numpy as np
import pytest
from PIL import Image
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2
from tensorflow.core.framework.summary_pb2 import Summary

import browser
import documented
import final_state
from par.core.errors import StoppedError
from par.objectives import OBJECTIVES
from par.report import heat_map
from par.train import history, hooks, tensorboard
from small import small_config, small_data, trainer


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A directory with a search of two epochs, stopped and continued, and a fixed network."""
    data_dir, logs = (
        small_data(tmp_path_factory.mktemp("data") / "copies"),
        tmp_path_factory.mktemp("logs"),
    )
    search = small_config(data_dir, "ssd", latency_ms=(2.0, 1.0, 0.1, 3.0))
    with pytest.raises(StoppedError):
        trainer(logs / "search", search, data_dir, sample_length=12, sample_every=1).run(
            should_stop=lambda step: step >= 120
        )
    trainer(logs / "search", search, data_dir, sample_length=12, sample_every=1).run()
    trainer(
        logs / "fixed", small_config(data_dir, "ad", max_lr=1e-3), data_dir, sample_length=12
    ).run()
    return logs


@pytest.fixture(scope="module")
def server(logs):
    """The address of a TensorBoard that was started on the directory."""
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logs}", "--port=0"]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            lines = []
            for line in process.stderr:
                lines.append(line)
                if found := re.search(r"at (http://\S+?)/? ", line):
                    break
            else:
                raise AssertionError("".join(lines))
            yield found[1]
        finally:
            process.terminate()
            process.stderr.close()


@pytest.fixture(scope="module")
def ask(server):
    """Asks the server: a path and its query, or an object to post; bytes come back."""

    def ask(path: str, post: object = None, **query: object) -> bytes:
        request = urllib.request.Request(
            f"{server}/data/plugin/{path}{'?' * ('?' not in path)}{urllib.parse.urlencode(query)}",
            None if post is None else json.dumps(post).encode(),
        )
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read()

    return ask


@pytest.mark.slow
@pytest.mark.parametrize("run", ["search", "fixed"])
def test_the_tags_of_a_search_by_latency_and_of_a_fixed_network_are_those_of_docs_artefacts(
    logs, run
):
    for name in ("train", "valid", "hparams"):
        tags = final_state.tags(logs / run, name)
        documented.check_tags(
            f"tensorboard/{name}", tags, required="all" if run == "search" else "always"
        )


def points(ask, run: str, tag: str) -> dict[int, float]:
    rows = json.loads(ask("scalars/scalars", run=run, tag=tag))
    assert len({step for _, step, _ in rows}) == len(rows)
    return {step: value for _, step, value in rows}


@pytest.mark.slow
def test_every_run_is_there_and_its_steps_are_right_after_a_resume(logs, ask):
    tags = json.loads(ask("scalars/tags"))
    assert set(tags) == {
        f"{run}/tensorboard/{part}"
        for run in ("search", "fixed")
        for part in ("train", "valid", "hparams")
    }
    rows = history.read_rows(logs / "search" / "history.jsonl", OBJECTIVES["causal_lm"])
    losses = points(ask, "search/tensorboard/train", "loss/nll_per_token")
    assert losses == pytest.approx(
        {row["step"]: row["nll_per_token"] for row in rows["train"]}, rel=1e-5
    )
    soft = {
        row["step"]: row["perplexity_per_word"]
        for row in rows["valid"]
        if row["evaluate_as"] == "soft"
    }
    assert points(ask, "search/tensorboard/valid", "perplexity/per_word") == pytest.approx(
        soft, rel=1e-5
    )


@pytest.mark.slow
def test_the_page_of_charts_has_one_for_every_stochastic_block_and_none_is_empty(ask):
    layout = json.loads(ask("custom_scalars/layout"))
    charts = {
        category["title"]: {
            chart["title"]: chart["multiline"]["tag"] for chart in category["chart"]
        }
        for category in layout["category"]
    }
    assert list(charts["pi by block"]) == ["block 1", "block 2"]
    assert {"Perplexity", "Loss", "Schedule", "Entropy", "Latency", "Speed"} <= set(charts)
    for title, patterns in (
        (title, patterns) for content in charts.values() for title, patterns in content.items()
    ):
        for pattern in patterns:
            runs = ("train", "valid")
            found = [
                json.loads(
                    ask("custom_scalars/scalars", run=f"search/tensorboard/{run}", tag=pattern)
                )["tag_to_events"]
                for run in runs
            ]
            assert any(found), (title, pattern)
    block = json.loads(
        ask(
            "custom_scalars/scalars",
            run="search/tensorboard/train",
            tag=charts["pi by block"]["block 2"][0],
        )
    )["tag_to_events"]
    assert set(block) == {f"pi_block_02/{kind}" for kind in ("Attention", "Dense", "Identity")}


@pytest.mark.slow
def test_pi_is_a_picture_of_every_epoch_of_a_search(logs, ask):
    assert set(json.loads(ask("images/tags"))) == {"search/tensorboard/train"}
    shown = json.loads(ask("images/images", run="search/tensorboard/train", tag="pi", sample=0))
    assert [picture["step"] for picture in shown] == [93, 186]
    with Image.open(io.BytesIO(ask("images/individualImage?" + shown[-1]["query"]))) as image:
        pixels = np.asarray(image.convert("RGB"))
    last = history.read_rows(logs / "search" / "history.jsonl", OBJECTIVES["causal_lm"])["train"][
        -1
    ]
    drawn = (
        heat_map.HeatMap(["ssd"])
        .draw([heat_map.State(np.array(last["pi"]), 186, last["tau"])])
        .convert("RGB")
    )
    np.testing.assert_array_equal(pixels, np.asarray(drawn))


@pytest.mark.slow
def test_architecture_and_texts_are_there_to_read_also_in_the_run_directory(logs, ask):
    shown = {
        run: json.loads(ask("text/text", run=f"{run}/tensorboard/train", tag="architecture"))
        for run in ("search", "fixed")
    }
    assert [row["step"] for row in shown["search"]] == [0, 93, 186] and [
        row["step"] for row in shown["fixed"]
    ] == [0]
    assert (
        re.search(r"<code>[adi?]{2}d</code>", shown["search"][-1]["text"])
        and "<code>ad</code>" in shown["fixed"][0]["text"]
    )
    texts = json.loads(ask("text/text", run="search/tensorboard/train", tag="sample"))
    written = (logs / "search" / "samples" / "training.txt").read_text()
    assert [row["step"] for row in texts] == [93, 186]
    assert re.findall(r"^step (\d+), end of epoch (\d):$", written, re.M) == [
        ("93", "1"),
        ("186", "2"),
    ]
    words = re.findall(r"w\d+", texts[-1]["text"])
    # without --sample_every: at the end only
    assert (
        json.loads(ask("text/text", run="fixed/tensorboard/train", tag="sample"))[-1]["step"]
        == 186
    )
    assert (
        len(re.findall("end of epoch", (logs / "fixed" / "samples" / "training.txt").read_text()))
        == 1
    )
    assert 5 < len(words) <= 12 and words == re.findall(r"w\d+", written.split("epoch 2:")[1])


@pytest.mark.slow
def test_runs_are_compared_by_their_settings_and_final_scores(logs, ask):
    experiment = json.loads(ask("hparams/experiment", post={}))
    names = {info["name"]: info for info in experiment["hparamInfos"]}
    assert {"architecture", "max_lr", "sampling", "latency_ms", "parameters"} <= set(names)
    metrics = [info["name"] for info in experiment["metricInfos"]]
    assert {name["tag"] for name in metrics} == {"final/seconds"} | {
        f"final/{name}{way}" for name in OBJECTIVES["causal_lm"].names for way in ("", "_argmax")
    } and all(name.get("group", "") == "" for name in metrics)
    asked = {
        "startIndex": 0,
        "sliceSize": 9,
        "colParams": [{"hparam": "max_lr"}],
        "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_RUNNING"],
    }
    groups = {
        group["name"]: group
        for group in json.loads(ask("hparams/session_groups", post=asked))["sessionGroups"]
    }
    assert {name: group["hparams"]["max_lr"] for name, group in groups.items()} == {
        "search": 5e-3,
        "fixed": 1e-3,
    }
    assert (
        groups["search"]["hparams"]["architecture"] == "ssd"
        and groups["search"]["hparams"]["cutoffs"] == "none"
    )
    scores = {value["name"]["tag"]: value["value"] for value in groups["search"]["metricValues"]}
    rows = history.read_rows(logs / "search" / "history.jsonl", OBJECTIVES["causal_lm"])["valid"][
        -2:
    ]
    for row, way in zip(rows, ("", "_argmax")):
        for name in OBJECTIVES["causal_lm"].names:
            assert scores[f"final/{name}{way}"] == pytest.approx(row[name], rel=1e-5)


def test_pictures_of_a_long_run_are_evenly_spaced_and_end_with_the_last():
    assert [epoch for epoch in range(1, 6) if hooks.is_pictured(epoch, 5)] == [1, 2, 3, 4, 5]
    for epochs in (49, 50, 51, 101, 1000):
        shown = [epoch for epoch in range(1, epochs + 1) if hooks.is_pictured(epoch, epochs)]
        assert (
            hooks.MAX_PICTURES / 2 <= len(shown) <= hooks.MAX_PICTURES + 1 and shown[-1] == epochs
        )


def test_a_fixed_network_has_no_charts_of_a_search_and_no_setting_of_one(tmp_path):
    config = small_config(small_data(tmp_path / "copies"), "ad")
    layout = layout_pb2.Layout.FromString(
        Summary.FromString(tensorboard.layout(config)).value[0].tensor.string_val[0]
    )
    assert [category.title for category in layout.category] == [
        "Perplexity",
        "Loss",
        "Schedule",
        "Speed",
    ]
    content = (
        Summary.FromString(tensorboard.settings(config, "run", 7))
        .value[0]
        .metadata.plugin_data.content
    )
    settings = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert (
        settings.group_name == "run"
        and settings.hparams["architecture"].string_value == "ad"
        and settings.hparams["parameters"].number_value == 7
    )
    assert "tau_start" not in settings.hparams


# What is read on each page of TensorBoard; its pages hang in shadow roots, which `innerText` does
# not enter.
PAGES = {
    "custom_scalars": (
        "Perplexity",
        "Loss",
        "pi by block",
        "block 1",
        "block 2",
        "Entropy",
        "Argmax",
        "Latency",
        "Schedule",
        "Speed",
    ),
    "images": ("search/tensorboard/train", "step 186"),
    "text": ("architecture", "sample", "parameters"),
    "hparams": ("architecture", "max_lr", "final/perplexity_per_word"),
}
SEEN = """
    const texts = (e) => [...e.childNodes]
        .filter(n => n.nodeType == 3 && e.getClientRects().length).map(n => n.data.trim());
    const seen = (root) => [...root.children].flatMap(e =>
        texts(e).concat(e.shadowRoot ? seen(e.shadowRoot) : [], seen(e)));
    return seen(document.body).filter(Boolean).join(" ");
"""


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_shows_charts_pictures_texts_and_settings_and_complains_of_nothing(
    tmp_path, server, dark
):
    with browser.browser(tmp_path, dark=dark) as page:
        for name, words in PAGES.items():
            page.get("about:blank")  # an address that differs after its # alone loads nothing
            page.get(f"{server}/?darkMode={str(dark).lower()}#{name}&_smoothingWeight=0")
            deadline = time.monotonic() + 60
            while missing := [
                word for word in words if word not in (text := page.execute_script(SEEN))
            ]:
                assert time.monotonic() < deadline, (name, missing, text)
                time.sleep(0.2)
        assert not [line for line in browser.console(page) if line.startswith("SEVERE")]
