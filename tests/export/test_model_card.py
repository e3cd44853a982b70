"""The model card is Markdown whatever a user has named things, and says what is known."""

from __future__ import annotations

import ast
import dataclasses
import re

import pytest

from par.data import manifest
from par.export import model_card
from par.export.formats import FORMATS, Shipped, Written
from par.search.architecture import Architecture
from small import small_config, small_data

PI = ((0.75, 0.125, 0.125), (0.2, 0.7, 0.1))
MEASURED = model_card.Measured(
    checkpoint="best",
    step=1234,
    evaluated_as="argmax",
    scores={
        "valid": {
            "perplexity_per_token": 12.345,
            "perplexity_per_word": 1234.5,
            "bits_per_character": 1.23456,
            "bits_per_byte": float("inf"),
        }
    },
    pi=PI,
)
WRITTEN = Written(
    None,
    ("step",),
    note="A note of the format.",
    memory_shape=[1, 1, 12, 16],
    mismatches={"valid": (3, 4000)},
)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    data_dir = small_data(tmp_path_factory.mktemp("data") / "copies", train=100, valid=50)
    return small_config(data_dir, "ad"), manifest.load(data_dir)


def card(
    run,
    blocks="ad",
    name="exported",
    origin=None,
    corpus="text",
    note="",
    format="savedmodel",
    precision="f32",
    **architecture,
):
    config, loaded = run
    config = dataclasses.replace(config, architecture=Architecture(blocks, **architecture))
    identity = dataclasses.replace(loaded.corpus, name=corpus, note=note)
    loaded = dataclasses.replace(loaded, corpus=identity)
    model = dataclasses.replace(config.model, precision=precision)
    config = dataclasses.replace(config, model=model)
    shipped = Shipped(FORMATS[format], WRITTEN, {"step": 2.5e-7})
    return model_card.render(name, config, loaded, origin, MEASURED, shipped)


def test_the_card_has_a_row_for_each_split_and_block_and_no_gaps(run):
    origin = Architecture("ad", rule="argmax", search_run="search", pi=PI)
    text = card(run, origin=origin, search_run="search")
    assert "| valid | 12.35 | 1,234.50 | 1.2346 | inf |\n" in text
    assert (
        "| block | Attention | Dense | Identity |\n| --- | --- | --- | --- |\n"
        "| 1 | 0.750 | 0.125 | 0.125 |\n| 2 | 0.200 | 0.700 | 0.100 |\n\n" in text
    )
    assert "rule\nargmax" in text and "3 of 4,000 lines of valid have other ids." in text
    assert "trained 1,234 of" in text and "{{" not in text and "\n\n\n" not in text
    assert all(f"\n\n## {title}\n\n" in text for title in ("Network", "Data", "Scores", "Limits"))
    assert text.startswith("# exported\n\n") and text.endswith(".\n")


@pytest.mark.parametrize("format", FORMATS)
def test_the_card_of_every_format_says_what_it_is_what_it_needs_and_how_it_was_checked(
    run, format
):
    text, own = card(run, format=format), FORMATS[format]
    assert f"as {own.is_a}.\nIt needs {own.needs}.\n" in text
    assert "`step` 2.5e-07.\nA note of the format.\n" in text and "1,000 tokens" in text
    assert "{{" not in text and "{%" not in text and "\n\n\n" not in text
    assert "licence: own text" in text


def test_the_card_says_in_what_the_export_computes(run):
    assert "products in f32\n" in card(run, format="safetensors")
    bf16 = card(run, format="safetensors", precision="bf16")
    assert "products in f32 (bf16 in training)\n" in bf16
    assert "products in bf16\n" in card(run, precision="bf16")


def test_the_card_says_where_the_blocks_come_from(run):
    assert "The pi of this search:" in card(run, "ss") and "likeliest kinds" in card(run, "ss")
    assert "The blocks were given" in card(run)
    assert "search `away` is not beside the run" in card(run, search_run="away")
    assert "latency is not known" in card(run)


@pytest.mark.parametrize(
    "name",
    [
        "plain_name",
        'a "b" \\ c',
        "[x](y) <b> *z* |",
        "back\\new",
        "two\nlines",
        "\u202egnp",
        "`tick`",
    ],
)
def test_a_name_is_shown_as_it_is_and_is_a_string_of_the_python(run, name):
    text = card(run, name=name, corpus=name, note=name, search_run=re.sub("[/\n]", "", name))
    title = text.splitlines()[0].removeprefix("# ")
    assert not re.search(r"(?<!\\)[*\[\]<>|`]", title)
    assert "\u202e" not in text
    call = re.search(r"saved_model\.load\((.*)\)", text)[1]
    assert ast.literal_eval(call) == name
    assert f"\n- corpus: {title} ({title}), SHA-256" in text


@pytest.mark.parametrize(
    ("text", "shown"), [("run", "`run`"), ("a`b", "`` a`b ``"), ("``", "``` `` ```")]
)
def test_a_code_span_has_more_backticks_around_it_than_inside(text, shown):
    assert model_card.code_span(text) == shown
