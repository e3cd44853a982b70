"""The page holds the network and its tokenizer, loads nothing, and writes what the library does
with the weights that it holds."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest

import documented
import node
import par
from par.export import shipping
from par.export.formats import FORMATS
from par.export.page import html, parts
from par.export.plain import arrays, plain
from shipped_run import source

RUNS = ("causal", "post", "tied", "dense", "search", "post_search")
GREEDY = {"length": 40, "temperature": 0, "topK": 0, "topP": 1, "seed": 0}
PROMPTS = ("the cat", "", "the cat\nthe  ", "\u05e9\u05dc \U0001f600")


def own_source(made, name):
    return source(par.load(getattr(made, name)), made.data)


@pytest.fixture(scope="module")
def page(made) -> str:
    return html.html(own_source(made, "causal"))


def content(page: str, name: str) -> str:
    return re.search(rf'<script type="[\w/]+" id="{name}">(.*?)</script>', page, re.DOTALL)[1]


def written(page: str, *jobs: dict) -> list:
    """What the page writes, in node."""
    return node.answer(
        {
            "write": list(jobs),
            "page": json.loads(content(page, "page-data")),
            "weights": content(page, "weights"),
            "charsmap": content(page, "charsmap"),
        }
    )


def test_the_page_is_one_file_that_loads_nothing(page):
    assert not re.findall(r'(?:src|href)="(?!#)|url\(|@import|https?:', page)
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy.startswith("default-src &#39;none&#39;") and "worker-src blob:" in policy
    assert "unsafe" not in policy and "connect-src" not in policy
    assert page.count("<script") == page.count("</script>") == 5


def test_the_program_is_the_modules_without_imports_and_exports():
    program = parts.program()
    assert not re.findall(r"^\s*(?:import|export)\b", program, re.MULTILINE)
    for name in parts.MODULES:
        for line in (parts.HERE / name).read_text().splitlines():
            assert line.startswith("import ") or line.removeprefix("export ") in program


def test_the_weights_are_read_back_as_they_were_rounded(made, page):
    settings, weights = html.read(page)
    expected_settings, expected = arrays(plain(par.load(made.causal)))
    assert settings == expected_settings and weights.keys() == expected.keys()
    for name, weight in expected.items():
        assert (weights[name] == weight.astype(np.float16)).all(), name


@pytest.mark.quick(3)
@pytest.mark.parametrize("name", RUNS)
def test_the_greedy_text_is_that_of_the_library_with_the_same_weights(made, name):
    own = own_source(made, name)
    model = html.with_rounded_weights(own.plain)
    found = written(html.html(own), *({"prompt": p, "settings": GREEDY} for p in PROMPTS))
    for prompt, tokens in zip(PROMPTS, found, strict=True):
        ids = model._prompt_ids(prompt)
        assert [token["id"] for token in tokens[: len(ids)]] == ids
        assert [token["given"] for token in tokens] == [True] * len(ids) + [False] * 40
        text = model.generate(prompt, length=40, temperature=0.0)[0]
        assert model.tokenizer.decode([token["id"] for token in tokens]) == text
        nll = model._token_nll(
            np.array([token["id"] for token in tokens][:30]), 1, model.config.trained_context
        )
        np.testing.assert_allclose(
            [token["nll"] for token in tokens][:30], nll, rtol=1e-5, atol=1e-5
        )


def test_the_looks_are_the_attention_of_the_library(made, page):
    model = html.with_rounded_weights(plain(par.load(made.causal)))
    [tokens] = written(page, {"prompt": "the cat sees the dog", "settings": GREEDY})
    ids = [3, *(token["id"] for token in tokens)][:10]
    memories = model.trunk.empty_memories(1, 12)
    # of the first block with attention, all tokens at once; the last one's row
    found, _ = model.trunk.attention(
        np.array([ids], np.int32), memories, 0, visibility="causal", phase=model.phase
    )
    looks = np.array(tokens[8]["looks"][0])  # [H, distance], of the tenth token that was read
    np.testing.assert_allclose(looks, found[0, :, -1, ::-1][:, :10], atol=1e-5)
    assert [len(token["looks"]) for token in tokens] == [2] * len(tokens)
    np.testing.assert_allclose(looks.sum(axis=1), 1, rtol=1e-5)


def test_draws_depend_on_the_seed_and_on_temperature_top_k_and_top_p(page):
    def job(**settings):
        return {"prompt": "the", "settings": GREEDY | {"temperature": 1} | settings}

    jobs = [
        {"prompt": "the", "settings": GREEDY},
        *(job(topK=1), job(topP=1e-9), job(temperature=1e-3)),
        *(job(seed=1), job(seed=1), job(seed=2), job(topK=5, seed=3)),
    ]
    greedy, k, p, cold, one, again, two, five = (
        [token["id"] for token in tokens] for tokens in written(page, *jobs)
    )
    assert k == p == cold == greedy and one == again != two and five != greedy
    assert not {0, 1, 2, 4, 5, 6, 7} & {*one, *two, *five}


def test_the_page_says_what_it_is_made_of_and_escapes_it(made):
    own = own_source(made, "causal")
    corpus = dataclasses.replace(own.manifest.corpus, name="<b>&\u202e</script>")
    page = html.html(
        dataclasses.replace(own, manifest=dataclasses.replace(own.manifest, corpus=corpus))
    )
    assert "&lt;b&gt;&amp;\\u202e&lt;/script&gt;" in page and page.count("</script>") == 5
    assert "perplexity per word 3.21" in page and "own text: its licence" in page
    assert page.count('<li class="kind-a">') == 2 and page.count('<li class="kind-d">') == 1
    dense = html.html(own_source(made, "dense"))
    assert "Where it looks" in page and "Where it looks" not in dense


def test_a_page_that_holds_what_float16_can_t_is_refused(made, tmp_path):
    own = own_source(made, "dense")
    own.plain.trunk.embedding.assign(own.plain.trunk.embedding.numpy() * 1e7)
    with np.errstate(all="ignore"), pytest.raises(Exception, match="are not finite"):
        shipping.ship(own, [FORMATS["page"]], tmp_path, lambda shipped: "")


@pytest.mark.slow
def test_the_command_writes_the_page_and_tells_what_rounding_costs(made, call, tmp_path):
    out = tmp_path / "out"
    done = call("export", f"--run={made.causal}", f"--output={out}", "--format=page")
    assert f"{out}: index.html and README.md" in done.out
    assert re.search(r"page: Weights in float16: .* is [+-]0\.\d{4} nats higher", done.out)
    documented.check_files("Export as a page", out)
    card = (out / "README.md").read_text()
    assert "as an HTML page that loads nothing.\nIt needs only a browser" in card
    assert "rounded to float16" in card


def test_a_masked_run_is_refused_and_a_large_page_is_announced(made, call, tmp_path, monkeypatch):
    done = call("export", f"--run={made.masked}", f"--output={tmp_path / 'm'}", "--format=page")
    assert done.code == 1 and "--format=page needs a run that predicts the next token" in done.err
    monkeypatch.setattr("par.tools.export.LARGE", 10_000)
    done = call("export", f"--run={made.dense}", f"--output={tmp_path / 'd'}", "--format=page")
    assert done.code == 0
    assert re.search(r"warning: --format=page makes about \d+ MB of this network", done.err)
