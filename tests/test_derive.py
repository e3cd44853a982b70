"""From pi to an architecture: the likeliest kind wins, ties are cheap, fixed blocks stay; the command says what it did and what is doubtful."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest

from par import architecture, derive
from par.architecture import KINDS, Architecture
from par.errors import UsageError
from par.tools import derive as tool
from recorded_run import make_run

DECIDED = [[0.9, 0.06, 0.04], [0.1, 0.7, 0.2]]


def test_every_order_of_three_probabilities_gives_the_likeliest_kind():
    draw = np.random.default_rng(5)
    pi = draw.dirichlet(np.ones(3), 500)
    expected = "".join(max(zip(row, KINDS))[1] for row in pi.tolist())
    assert derive.argmax(pi) == expected and set(expected) == set(KINDS)


@pytest.mark.parametrize(
    ("row", "kind"), [([1 / 3] * 3, "i"), ([0.4, 0.4, 0.2], "d"), ([0.4, 0.2, 0.4], "i"), ([0.2, 0.4, 0.4], "i"), ([0.4, 0.3, 0.3], "a")], ids=str
)
def test_a_tie_goes_to_the_cheaper_kind(row, kind):
    assert derive.argmax(np.array([row])) == kind


def test_the_consensus_is_the_argmax_of_the_mean_and_not_the_vote():
    pis = [[[0.34, 0.33, 0.33]], [[0.34, 0.33, 0.33]], [[0.1, 0.9, 0.0]]]  # two of three vote for attention, each by a hair
    mean, agreement = derive.consensus(pis)
    assert np.allclose(mean, [[0.26, 0.52, 0.22]], rtol=1e-12) and derive.argmax(mean) == "d" and agreement.tolist() == [1]


def test_agreement_counts_the_searches_that_chose_the_kind_of_the_mean_block_by_block():
    a, d, i = np.eye(3) * 0.7 + 0.1
    pis = np.array([[a, d, i, a, i], [a, d, d, a, i], [a, i, d, d, i], [a, d, d, d, i], [a, d, i, i, i], [a, d, d, a, i], [a, a, d, i, i]])
    mean, agreement = derive.consensus(pis)
    assert mean.shape == (5, 3) and np.allclose(mean.sum(axis=1), 1)
    assert derive.argmax(mean) == "addai" and agreement.tolist() == [7, 5, 5, 3, 7]


def test_the_consensus_of_one_search_is_that_search():
    pi = np.random.default_rng(3).dirichlet(np.ones(3), 5)
    mean, agreement = derive.consensus([pi])
    assert np.array_equal(mean, pi) and agreement.tolist() == [1] * 5


@pytest.mark.parametrize("pis", [DECIDED, np.zeros((0, 2, 3))], ids=["one table", "none"])
def test_a_consensus_of_no_searches_is_refused(pis):
    with pytest.raises(UsageError, match=r"pis must have shape \[searches, blocks, 3\], with one search at least"):
        derive.consensus(pis)


PATTERNS = {  # blocks: (the paper's rule, interleaved, sandwich)
    1: ("a", "a", "a"),
    2: ("ad", "ad", "ad"),
    5: ("adddd", "adada", "aadad"),
    6: ("addddd", "adadad", "aadadd"),
    8: ("adaddddd", "adadadad", "aaadaddd"),
    12: ("adddaddddddd", "adadadadadad", "aaadadadaddd"),
    16: ("addadddadddddddd", "adadadadadadadad", "aaaadadadadadddd"),
    32: ("addadddaddadddaddadddddddddddddd", "ad" * 16, "aaaaaaadadadadadadadadadaddddddd"),
}


@pytest.mark.parametrize(("count", "expected"), PATTERNS.items(), ids=str)
def test_the_named_patterns_in_literal_strings(count, expected):
    assert (derive.paper(count), derive.interleaved(count), derive.sandwich(count)) == expected


def test_the_papers_rule_has_one_attention_in_five_evenly_in_the_first_two_thirds():
    for count in range(1, 1025):
        places = [place for place, kind in enumerate(derive.paper(count)) if kind == "a"]
        gaps = np.diff(places)
        assert len(places) == max(1, round(count / 5)) and places[0] == 0 and places[-1] < 2 * count / 3
        assert not len(gaps) or gaps.max() - gaps.min() <= 1
        assert len(gaps) < 2 or 2 * count / 3 - places[-1] <= gaps.max() + 1  # and it fills them
        assert set(derive.paper(count)) <= set("ad") and len(derive.paper(count)) == count


def test_thirty_two_blocks_have_the_papers_63_percent_fewer_attention_blocks():
    assert round(100 * (1 - derive.paper(32).count("a") / derive.interleaved(32).count("a")), 1) == 62.5


def test_a_sandwich_is_attention_an_interleaved_middle_and_dense_with_the_counts_of_interleaved():
    for count in range(1, 40):
        for k in range(count // 2 + 1):
            blocks = derive.sandwich(count, k)
            assert sorted(blocks) == sorted(derive.interleaved(count))
            assert blocks[:k] == "a" * k and blocks[count - k :] == "d" * k and blocks[k : count - k] == derive.interleaved(count)[: count - 2 * k]
    assert derive.sandwich(7, 0) == derive.interleaved(7) and derive.sandwich(6, 3) == "aaaddd"


@pytest.mark.parametrize("rule", [derive.paper, derive.interleaved, derive.sandwich], ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("count", [0, -3, 1025])
def test_patterns_of_no_blocks_or_too_many_are_refused(rule, count):
    with pytest.raises(UsageError, match=f"num_blocks must be from 1 to 1024, but is {count}"):
        rule(count)


@pytest.mark.parametrize("coefficient", [-1, 4])
def test_a_sandwich_that_has_no_middle_left_is_refused(coefficient):
    with pytest.raises(UsageError, match=f"coefficient must be from 0 to 3, half of the 6 blocks, but is {coefficient}"):
        derive.sandwich(6, coefficient)


def test_fixed_blocks_keep_their_kind_whatever_pi_says():
    towards_dense = np.tile([0.1, 0.8, 0.1], (5, 1))
    assert derive.derive(towards_dense, "asisd").blocks == "adidd"


def test_what_was_derived_says_where_it_came_from():
    chosen = derive.derive(np.array(DECIDED), "ss", search_run="search-1", seeds=(4,))
    assert chosen == Architecture("ad", "argmax", "search-1", tuple(map(tuple, DECIDED)), (4,))
    assert all(type(p) is float for row in chosen.pi for p in row)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((DECIDED, "ss", "best"), "rule must be one of argmax, consensus, but is 'best'"),
        ((DECIDED, "ad"), "must have a stochastic one"),
        ((DECIDED, "sss"), r"pi must have shape \(3, 3\) for the blocks 'sss', but has \(2, 3\)"),
        (([[0.5, 0.5]] * 2, "ss"), r"but has \(2, 2\)"),
    ],
)
def test_what_can_not_be_derived_is_refused(arguments, said):
    with pytest.raises(UsageError, match=said):
        derive.derive(np.array(arguments[0]), *arguments[1:])


@pytest.mark.parametrize(
    ("blocks", "pi", "step", "said"),
    [
        ("ss", DECIDED, 100, []),
        ("ss", DECIDED, 99, ["the search has not ended: step 99 of 100"]),
        ("ss", [[0.49, 0.31, 0.2], [0.5, 0.5, 0]], 100, ["not decided: the likeliest kind has a probability below 0.5 in block 1"]),
        ("si", [[0, 0, 1]] * 2, 100, ["every block is identity: a prediction knows the last token alone"]),
        ("sd", [[0, 0, 1], [0, 1, 0]], 100, ["no block is attention: a prediction knows the last token alone"]),
    ],
)
def test_doubts_are_named(blocks, pi, step, said):
    assert derive.doubts(derive.derive(np.array(pi), blocks), blocks, step, 100) == said


def test_the_table_marks_the_chosen_kind_of_every_block():
    pi = np.array([*DECIDED, [0, 0, 1]])
    assert derive.pi_lines(derive.derive(pi, "ssi"), "ssi") == [
        "block  Attention  Dense      Identity",
        "    1  0.900*     0.060      0.040",
        "    2  0.100      0.700*     0.200",
        "    3  0.000      0.000      1.000*  (fixed)",
    ]


def test_the_command_writes_the_architecture_and_prints_the_next_command(tmp_path, capsys, monkeypatch):
    run = make_run(tmp_path / "logs" / "first", "ss", [[[1 / 3] * 3] * 2, DECIDED])
    monkeypatch.chdir(tmp_path)
    assert tool.main(["--run=logs/first"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.splitlines() == [
        "architecture: ad (from ss, argmax of pi at step 14 of 14)",
        "",
        "block  Attention  Dense      Identity",
        "    1  0.900*     0.060      0.040",
        "    2  0.100      0.700*     0.200",
        "",
        "written: logs/first/architecture.json",
        "next:    python tools/train.py --flagfile=logs/first/flags.txt --data=data/words "
        "--architecture=logs/first/architecture.json --run=logs/first-derived",
    ]
    assert architecture.load(run / "architecture.json") == Architecture("ad", "argmax", "first", tuple(map(tuple, DECIDED)), (3,))


def test_json_is_one_object_with_what_the_lines_say(tmp_path, capsys):
    run = make_run(tmp_path / "run", "ss", [[[0.2, 0.4, 0.4]] * 2])
    output = tmp_path / "else where" / "chosen.json"
    assert tool.main([f"--run={run}", f"--output={output}", "--json"]) == 0
    out, err = capsys.readouterr()
    printed = json.loads(out)
    data = os.path.relpath(tmp_path.parent / "data" / "words")
    next_command = f"python tools/train.py --flagfile={run}/flags.txt --data={data} --architecture='{output}' --run={run}-derived"
    doubts = [
        "not decided: the likeliest kind has a probability below 0.5 in block 1, 2",
        "every block is identity: a prediction knows the last token alone",
    ]
    assert printed == {"architecture": "ii", "path": str(output), "rule": "argmax", "search_run": "run", "search": "ss", "step": 7} | {
        "total_steps": 7, "seeds": [3], "pi": [[0.2, 0.4, 0.4]] * 2, "warnings": doubts, "next": next_command,
    }  # fmt: skip
    assert err.splitlines() == [f"warning: {line}" for line in doubts]
    assert architecture.load(output).blocks == "ii" and not (run / "architecture.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 1, "error: --run=DIR is required; see --help"),
        (["--run=missing"], 3, "error: --run=missing has no config.json: give a directory that tools/train.py made"),
        (
            ["--run=fixed"],
            1,
            "error: run fixed has no stochastic block (architecture ad): there is nothing to derive; a search is a run of tools/train.py",
        ),
        (["--run=search", "--rule=best"], 1, "error: flag --rule=best: value should be one of <argmax|consensus|paper>; see --help"),
        (["--run=search", "--output=search"], 1, "error: search: Is a directory"),
        (["--run=search", "--output=search/config.json/x.json"], 1, "error: search/config.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_user_can_get_wrong_is_one_line_and_changes_nothing(arguments, code, said, tmp_path, capsys, monkeypatch):
    make_run(tmp_path / "search", "ss")
    make_run(tmp_path / "fixed", "ad")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    assert tool.main(arguments) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(said) and err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_live_run_is_derived_with_a_warning(tmp_path, run_tool):
    run = make_run(tmp_path / "live", "ss", [DECIDED] * 3)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"data": config["data"] | {"steps_per_epoch": 1000}, "total_steps": 1000}))
    with open(run / "history.jsonl", "a") as file:
        file.write('{"kind": "train", "step": 28, "pi": [[0.3')
    done = run_tool("derive", f"--run={run}")
    assert done.code == 0 and done.out.startswith("architecture: ad (from ss, argmax of pi at step 21 of 1,000)\n")
    assert done.err == "warning: the search has not ended: step 21 of 1,000\n"


def test_a_search_that_settled_early_is_derived_without_a_warning(tmp_path, capsys):
    run = make_run(tmp_path / "early", "ss", [DECIDED] * 3)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(config | {"data": config["data"] | {"steps_per_epoch": 1000}, "total_steps": 1000}))
    (run / "summary.json").write_text('{"step": 21}')
    assert tool.main([f"--run={run}"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.startswith("architecture: ad (from ss, argmax of pi at step 21 of 1,000, where it had settled)\n")
