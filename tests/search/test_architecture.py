"""The block alphabet: every string that can be written comes back, every other one is refused, and
architecture.json is whole or refused."""

from __future__ import annotations

import dataclasses
import itertools
import json
import random

import numpy as np
import pytest

from par.core.errors import DataError, UsageError
from par.search import architecture
from par.search.architecture import Architecture
from par.search.latency_check import Case, LatencyCheck

LATENCY = LatencyCheck(
    "inference", (Case("inference", 3.0, 4.0), Case("decoding", 0.5, 0.625)), 3.25
)
DERIVED = Architecture(
    "ad", "budget", "search-1", ((0.9, 0.1, 0.0), (0.2, 0.5, 0.3)), (7,), LATENCY
)


def fields(made: Architecture) -> dict:
    """All that it says, of which equality counts only the network."""
    return {field.name: getattr(made, field.name) for field in dataclasses.fields(made)}


@pytest.mark.parametrize(
    ("text", "blocks"),
    [
        ("6s", "ssssss"),
        ("aaddid", "aaddid"),
        ("4a2d", "aaaadd"),
        ("3(ad)", "adadad"),
        ("2(a2(di))s", "adidiadidis"),
        (" a \n", "a"),
        ("1024i", "i" * 1024),
        ("001a", "a"),
    ],
)
def test_multiples_are_short_for_repeated_letters(text, blocks):
    assert architecture.parse(text).blocks == blocks


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x",
        "A",
        "aad?",
        "0a",
        "0ad",
        "6",
        "a6",
        "(ad",
        "ad)",
        "()",
        "a()",
        "2()",
        "a d",
        "-1a",
        "1025i",
        "999999999s",
        "33(32a)",
        "9999999999a",
        "٣a",
    ]
    + ["(" * n + "a" + ")" * n for n in (9, 5000)],
)
def test_every_other_string_is_refused_with_the_rule_and_examples(text):
    with pytest.raises(
        UsageError, match=r"letters of adis with multiples, such as 6s, 4a2d or 3\(ad\)"
    ) as error:
        architecture.parse(text)
    assert repr(text.strip()[:60]) in str(error.value)


def test_any_blocks_survive_writing_them_short():
    draw = random.Random(1)
    for _ in range(300):
        blocks = "".join(
            draw.choice("adis") * draw.randint(1, 12) for _ in range(draw.randint(1, 12))
        )
        written = Architecture(blocks).short
        assert architecture.parse(written).blocks == blocks and len(written) <= len(blocks)
    assert (
        Architecture("ssssss").short == "6s"
        and Architecture("aaadad").short == "aaadad"
        and Architecture("ada").short == "ada"
    )


def test_random_text_is_parsed_to_valid_blocks_or_refused():
    draw, parsed = random.Random(2), 0
    for _ in range(3000):
        text = "".join(draw.choice("adis23()") for _ in range(draw.randint(1, 10)))
        try:
            blocks = architecture.parse(text).blocks
        except UsageError:
            continue
        parsed += 1
        assert blocks and set(blocks) == set(text) & set("adis")
    assert parsed > 300


def test_blocks_that_no_network_has_are_refused():
    for blocks in ("a" * 1025, "ax"):
        with pytest.raises(UsageError, match="at most 1024 letters of adis"):
            Architecture(blocks)
    with pytest.raises(UsageError, match="pi must have a row of 3 for each of the 2 blocks"):
        Architecture("ad", pi=((1.0, 0.0, 0.0),))


def test_only_a_stochastic_block_makes_a_search():
    assert Architecture("asd").is_search and not Architecture("adi").is_search


def test_all_strings_of_six_blocks_are_127_networks_and_equal_if_they_spell_the_same():
    strings = ["".join(kinds) for kinds in itertools.product("adi", repeat=6)]
    assert len({Architecture(blocks) for blocks in strings}) == 2**7 - 1
    for spelled in ("diidad", "iddaid", "ddadii"):
        made = Architecture(spelled)
        assert (made.network, made.named) == ("ddad", f"ddad, spelled {spelled}")
        assert made == Architecture("ddad") and hash(made) == hash(Architecture("ddad"))
        assert made.canonical.blocks == "ddad" and made != Architecture("dadd")
    assert Architecture("ddad").named == "ddad" and Architecture("ad") != "ad"


def test_the_network_of_no_blocks_is_spelled_as_one_identity():
    assert {Architecture(blocks).network for blocks in ("", "i", "iii")} == {"i"}
    assert architecture.parse(Architecture("iii").network).canonical.blocks == "i"


def test_a_search_keeps_the_places_of_its_blocks():
    assert Architecture("sid").network == "sid" != Architecture("sd").network
    assert Architecture("sid").canonical.blocks == "sid"


def test_what_is_equal_does_not_depend_on_how_it_was_chosen():
    assert dataclasses.replace(DERIVED, latency=None, seeds=(1,)) == Architecture("ad") == DERIVED
    assert DERIVED.canonical.search_run == "search-1" and not DERIVED.canonical.pi


def test_a_saved_architecture_comes_back_equal(tmp_path):
    for value in (Architecture("aaddid"), DERIVED):
        value.save(tmp_path / "architecture.json")
        for read in (architecture.load, lambda path: architecture.parse(str(path))):
            assert fields(read(tmp_path / "architecture.json")) == fields(value)


def test_a_file_of_the_first_schema_which_knew_no_latency_is_still_read(tmp_path):
    value = DERIVED.to_json() | {"schema": 1}
    del value["latency"]
    (tmp_path / "a.json").write_text(json.dumps(value))
    found = architecture.load(tmp_path / "a.json")
    assert fields(found) == fields(dataclasses.replace(DERIVED, latency=None))


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 3},
        {"schema": 1},
        {"latency": {}},
        {"latency": 3.2},
        {"latency": []},
        {"latency": "fast"},
        {"schema": "1"},
        {"blocks": "", "pi": []},
        {"blocks": "ax"},
        {"blocks": ["a", "d"]},
        {"blocks": "add"},
        {"rule": None},
        {"search_run": 3},
        {"kinds": "aid"},
        {"pi": None},
        {"pi": [[0.9, 0.1, 0.0]]},
        {"pi": [[0.9, 0.1], [0.5, 0.5]]},
        {"pi": [[0.9, 0.1, 0.0], [0.9, 0.9, 0.9]]},
        {"pi": [[0.9, 0.1, 0.0], [0.2, 0.2, 0.2]]},
        {"pi": [[0.9, 0.1, 0.0], [1.2, -0.1, -0.1]]},
        {"pi": [[0.9, 0.1, 0.0], ["1", "0", "0"]]},
        {"pi": [[0.9, 0.1, 0.0], [True, False, False]]},
        {"pi": [[0.9, 0.1, 0.0], "abc"]},
        {"seeds": "12"},
        {"seeds": [1.5]},
        {"seeds": [True]},
        {"extra": 1},
    ],
    ids=str,
)
def test_a_damaged_architecture_file_is_refused_by_name(change, tmp_path):
    path = tmp_path / "architecture.json"
    path.write_text(json.dumps(DERIVED.to_json() | change))
    with pytest.raises(
        DataError, match=r"architecture .*architecture\.json (is not valid|must have schema 2)"
    ):
        architecture.load(path)


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ({"budget_ms": 3.0}, ""),
        ({"budget_ms": 2.9}, "the budget is 2.9 ms, but the network takes 3.0 ms"),
        ({"budget_ms": 3.2, "budget_ratio": 0.8}, ""),
        ({"budget_ms": 3.2, "budget_ratio": 0.7}, "the budget is 3.2 ms, but 0.7 of 4.0 ms"),
        ({}, "rule is budget, but the budget is None ms"),
    ],
    ids=str,
)
def test_a_network_that_was_chosen_by_a_budget_meets_it_in_its_file(budget, said, tmp_path):
    latency = LatencyCheck("inference", (Case("inference", 3.0, 4.0),), **budget)
    dataclasses.replace(DERIVED, rule="budget", latency=latency).save(tmp_path / "a.json")
    if not said:
        assert architecture.load(tmp_path / "a.json").latency == latency
        return
    with pytest.raises(DataError, match=f"contradicts itself: {said}"):
        architecture.load(tmp_path / "a.json")


@pytest.mark.parametrize("key", sorted(DERIVED.to_json()))
def test_an_architecture_file_without_one_of_its_keys_is_refused(key, tmp_path):
    value = DERIVED.to_json()
    del value[key]
    (tmp_path / "a.json").write_text(json.dumps(value))
    with pytest.raises(DataError, match="must have schema 2 and the keys"):
        architecture.load(tmp_path / "a.json")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not valid JSON"),
        (b"[]", "must hold a JSON object, not a list"),
        (b'{"blocks": "ad"', "is not valid JSON"),
        (b"\xff", "is not valid JSON"),
        (b'{"schema": NaN}', "is not valid JSON (NaN"),
        (b'{"schema": ' + b"1" * 5000 + b"}", "is not valid JSON"),
        (b"[" * 200_000, "is not valid JSON"),
        (None, "does not exist"),
    ],
    ids=["empty", "list", "cut", "utf-8", "nan", "digits", "deep", "missing"],
)
def test_what_is_no_json_object_is_refused(content, said, tmp_path):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as error:
        architecture.parse(str(path))
    assert f"{path} {said}" in str(error.value) and "\n" not in str(error.value)


def test_a_directory_in_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(DataError, match="can't be read"):
        architecture.parse(str(tmp_path / "a.json"))


def test_the_pi_table_is_one_hot_where_a_block_is_fixed():
    table = architecture.pi_table("asids", [[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])
    assert table.tolist() == [[1, 0, 0], [0.2, 0.3, 0.5], [0, 0, 1], [0, 1, 0], [0.6, 0.3, 0.1]]
    assert architecture.pi_table("", []).shape == (0, 3)
    with pytest.raises(ValueError, match="a row for each s of 'as', but has 2"):
        architecture.pi_table("as", np.full((2, 3), 1 / 3))
