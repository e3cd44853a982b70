"""compare.json and truth.json as typed values: every byte comes back, nothing else is taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from par.core import schema
from par.core.errors import UsageError
from par.evaluate.compare import supernet_ablation, tables
from par.evaluate.compare.results import Ablation, Comparison

KEPT = Path(__file__).parents[2] / "fixtures" / "comparison"  # as written before they were typed


def load(name: str) -> dict:
    return json.loads((KEPT / name).read_text())


def test_a_file_is_read_and_written_again_byte_for_byte(tmp_path):
    value = Ablation.from_json(load("truth.json"), "truth")
    schema.write_json(tmp_path / "again.json", value.to_json())
    assert (tmp_path / "again.json").read_bytes() == (KEPT / "truth.json").read_bytes()


def test_a_comparison_of_strings_by_an_earlier_version_is_read_with_its_figures():
    old = load("compare.json")
    found = Comparison.from_json(old, "compare")
    assert found.settings.networks_that_fit is None
    assert found.settings.others_that_fit == old.pop("strings_that_fit")
    assert not found.findings.random.is_whole
    written = found.to_json()
    assert Comparison.from_json(written, "compare").to_json() == written
    new = {"networks_that_fit": None, "others_that_fit": found.settings.others_that_fit}
    assert written == old | new | {"random": old["random"] | {"is_whole": False}}


def test_tables_csv_and_points_of_a_file_are_those_that_were_printed():
    found = Comparison.from_json(load("compare.json"), "compare").findings
    assert "\n".join(tables.lines(found, "latency")) + "\n" == (KEPT / "compare.txt").read_text()
    assert tables.csv_text(found) == (KEPT / "compare.csv").read_text()
    assert repr(tables.points(found)) == (KEPT / "points.txt").read_text()
    truth = Ablation.from_json(load("truth.json"), "truth")
    text = "\n".join(supernet_ablation.lines(truth)) + "\n"
    assert text == (KEPT / "truth.txt").read_text()


def test_the_order_of_keys_does_not_matter():
    def reversed_keys(value):
        if isinstance(value, dict):
            return {name: reversed_keys(value[name]) for name in reversed(value)}
        return [*map(reversed_keys, value)] if isinstance(value, list) else value

    for kind, name in ((Comparison, "compare.json"), (Ablation, "truth.json")):
        value = load(name)
        assert kind.from_json(reversed_keys(value), name) == kind.from_json(value, name)


@pytest.mark.parametrize(
    ("kind", "name", "path", "value"),
    [
        (Comparison, "compare.json", ["verdict"], None),
        (Comparison, "compare.json", ["colour"], 1),
        (Comparison, "compare.json", ["networks", 0, "names"], "derived"),
        (Comparison, "compare.json", ["networks", 0, "change", "mean"], "high"),
        (Comparison, "compare.json", ["networks", 0, "runs", 0, "seed"], -1),
        (Comparison, "compare.json", ["goal", "met"], 1),
        (Comparison, "compare.json", ["random"], {"of": 3}),
        (Ablation, "truth.json", ["rows", 0, "steps"], 1.5),
        (Ablation, "truth.json", ["rows"], None),
        (Ablation, "truth.json", ["fine_tuned_against_scratch"], {"mean": 1.0}),
    ],
    ids=str,
)
def test_what_was_not_written_by_compare_is_refused(kind, name, path, value):
    content = load(name)
    place = content
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(UsageError):
        kind.from_json(content, name)
