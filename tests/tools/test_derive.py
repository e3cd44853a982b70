"""From pi to an architecture: the likeliest kind wins, ties are cheap, fixed blocks stay; the
command says what it did and what is doubtful."""

from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest

import documented
from par.core.errors import UsageError
from par.search import architecture, derive
from par.search.architecture import KINDS, Architecture
from par.tools import derive as tool
from recorded_run import make_run

DECIDED = [[0.9, 0.06, 0.04], [0.1, 0.7, 0.2]]


def test_every_order_of_three_probabilities_gives_the_likeliest_kind():
    draw = np.random.default_rng(5)
    pi = draw.dirichlet(np.ones(3), 500)
    expected = "".join(max(zip(row, KINDS))[1] for row in pi.tolist())
    assert derive.argmax(pi) == expected and set(expected) == set(KINDS)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ([1 / 3] * 3, "i"),
        ([0.4, 0.4, 0.2], "d"),
        ([0.4, 0.2, 0.4], "i"),
        ([0.2, 0.4, 0.4], "i"),
        ([0.4, 0.3, 0.3], "a"),
    ],
    ids=str,
)
def test_a_tie_goes_to_the_cheaper_kind(row, kind):
    assert derive.argmax(np.array([row])) == kind


def test_the_consensus_is_the_argmax_of_the_mean_and_not_the_vote():
    # two of three vote for attention, each by a hair
    pis = [[[0.34, 0.33, 0.33]], [[0.34, 0.33, 0.33]], [[0.1, 0.9, 0.0]]]
    mean, agreement = derive.consensus(pis)
    assert (
        np.allclose(mean, [[0.26, 0.52, 0.22]], rtol=1e-12)
        and derive.argmax(mean) == "d"
        and agreement.tolist() == [1]
    )


def test_agreement_counts_the_searches_that_chose_the_kind_of_the_mean_block_by_block():
    a, d, i = np.eye(3) * 0.7 + 0.1
    pis = np.array(
        [
            [a, d, i, a, i],
            [a, d, d, a, i],
            [a, i, d, d, i],
            [a, d, d, d, i],
            [a, d, i, i, i],
            [a, d, d, a, i],
            [a, a, d, i, i],
        ]
    )
    mean, agreement = derive.consensus(pis)
    assert mean.shape == (5, 3) and np.allclose(mean.sum(axis=1), 1)
    assert derive.argmax(mean) == "addai" and agreement.tolist() == [7, 5, 5, 3, 7]


def test_the_consensus_of_one_search_is_that_search():
    pi = np.random.default_rng(3).dirichlet(np.ones(3), 5)
    mean, agreement = derive.consensus([pi])
    assert np.array_equal(mean, pi) and agreement.tolist() == [1] * 5


@pytest.mark.parametrize("pis", [DECIDED, np.zeros((0, 2, 3))], ids=["one table", "none"])
def test_a_consensus_of_no_searches_is_refused(pis):
    with pytest.raises(
        UsageError, match=r"pis must have shape \[searches, blocks, 3\], with one search at least"
    ):
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
        assert (
            len(places) == max(1, round(count / 5))
            and places[0] == 0
            and places[-1] < 2 * count / 3
        )
        assert not len(gaps) or gaps.max() - gaps.min() <= 1
        assert len(gaps) < 2 or 2 * count / 3 - places[-1] <= gaps.max() + 1  # and it fills them
        assert set(derive.paper(count)) <= set("ad") and len(derive.paper(count)) == count


def test_thirty_two_blocks_have_the_papers_63_percent_fewer_attention_blocks():
    assert (
        round(100 * (1 - derive.paper(32).count("a") / derive.interleaved(32).count("a")), 1)
        == 62.5
    )


def test_a_sandwich_is_attention_an_interleaved_middle_and_dense_with_the_counts_of_interleaved():
    for count in range(1, 40):
        for k in range(count // 2 + 1):
            blocks = derive.sandwich(count, k)
            assert sorted(blocks) == sorted(derive.interleaved(count))
            assert (
                blocks[:k] == "a" * k
                and blocks[count - k :] == "d" * k
                and blocks[k : count - k] == derive.interleaved(count)[: count - 2 * k]
            )
    assert derive.sandwich(7, 0) == derive.interleaved(7) and derive.sandwich(6, 3) == "aaaddd"


@pytest.mark.parametrize(
    "rule", [derive.paper, derive.interleaved, derive.sandwich], ids=lambda rule: rule.__name__
)
@pytest.mark.parametrize("count", [0, -3, 1025])
def test_patterns_of_no_blocks_or_too_many_are_refused(rule, count):
    with pytest.raises(UsageError, match=f"num_blocks must be from 1 to 1024, but is {count}"):
        rule(count)


@pytest.mark.parametrize("coefficient", [-1, 4])
def test_a_sandwich_that_has_no_middle_left_is_refused(coefficient):
    with pytest.raises(
        UsageError,
        match=f"coefficient must be from 0 to 3, half of the 6 blocks, but is {coefficient}",
    ):
        derive.sandwich(6, coefficient)


def test_fixed_blocks_keep_their_kind_whatever_pi_says():
    towards_dense = np.tile([0.1, 0.8, 0.1], (5, 1))
    assert derive.derive(towards_dense, "asisd").blocks == "adidd"


def test_what_was_derived_says_where_it_came_from():
    chosen = derive.derive(np.array(DECIDED), "ss", search_run="search-1", seeds=(4,))
    expected = Architecture("ad", "argmax", "search-1", tuple(map(tuple, DECIDED)), (4,))
    assert chosen.to_json() == expected.to_json()
    assert all(type(p) is float for row in chosen.pi for p in row)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            (DECIDED, "ss", "best"),
            "rule must be one of argmax, consensus, likeliest, but is 'best'",
        ),
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
        (
            "ss",
            [[0.49, 0.31, 0.2], [0.5, 0.5, 0]],
            100,
            ["not decided: the likeliest kind has a probability below 0.5 in block 1"],
        ),
        (
            "si",
            [[0, 0, 1]] * 2,
            100,
            ["every block is identity: a prediction knows the last token alone"],
        ),
        (
            "sd",
            [[0, 0, 1], [0, 1, 0]],
            100,
            ["no block is attention: a prediction knows the last token alone"],
        ),
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


def test_the_command_writes_the_architecture_and_prints_the_next_command(
    tmp_path, capsys, monkeypatch
):
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
        (
            "next:    python tools/train.py --flagfile=logs/first/flags.txt --data=data/words "
            "--architecture=logs/first/architecture.json --run=logs/first-derived"
        ),
    ]
    expected = Architecture("ad", "argmax", "first", tuple(map(tuple, DECIDED)), (3,))
    assert architecture.load(run / "architecture.json").to_json() == expected.to_json()


LOG_16, LOG_32 = math.log(0.16), math.log(0.32)  # of no block, and of one dense block


def test_the_likeliest_network_is_another_than_the_argmax_s_and_both_are_printed(tmp_path, capsys):
    run = make_run(tmp_path / "run", "ss", [[[0.2, 0.4, 0.4]] * 2])
    for rule, first in (
        ("argmax", "architecture: i, spelled ii (from ss, argmax of pi at step 7 of 7)"),
        (
            "likeliest",
            "architecture: d, spelled di (from ss, likeliest network by pi at step 7 of 7)",
        ),
    ):
        assert tool.main([f"--run={run}", f"--rule={rule}"]) == 0
        lines = capsys.readouterr().out.splitlines()
        at = lines.index("rule       network        log probability")
        assert lines[0] == first and lines[at - 1] == ""
        assert [" ".join(line.split()) for line in lines[at + 1 : at + 3]] == [
            f"argmax i, spelled ii {LOG_16:.3f}",
            f"likeliest d, spelled di {LOG_32:.3f}",
        ]
    written = architecture.load(run / "architecture.json")
    assert (written.blocks, written.rule, written.network) == ("di", "likeliest", "d")


def test_the_likeliest_network_of_several_seeds_is_that_of_their_mean(tmp_path, capsys):
    group = tmp_path / "group"
    for seed, row in enumerate(([0.2, 0.4, 0.4], [0.1, 0.3, 0.6])):
        make_run(group / f"seed{seed}", "ss", [[row] * 2], seed=seed)
    assert tool.main([f"--run={group}", "--rule=likeliest", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    documented.check("derive --json", printed)
    assert printed["network"] == "d" and printed["seeds"] == [0, 1]
    assert printed["log_probability"] == pytest.approx(math.log(2 * 0.35 * 0.5))
    assert set(printed["candidates"]) == {"consensus", "likeliest"}


def test_a_decided_search_gives_one_network_by_both_rules_and_prints_it_once(tmp_path, capsys):
    run = make_run(tmp_path / "run", "ss", [DECIDED])
    assert tool.main([f"--run={run}", "--rule=likeliest"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("architecture: ad (from ss, likeliest network by pi")
    assert "log probability" not in out


def test_json_is_one_object_with_what_the_lines_say(tmp_path, capsys):
    run = make_run(tmp_path / "run", "ss", [[[0.2, 0.4, 0.4]] * 2])
    output = tmp_path / "else where" / "chosen.json"
    assert tool.main([f"--run={run}", f"--output={output}", "--json"]) == 0
    out, err = capsys.readouterr()
    printed = json.loads(out)
    documented.check("derive --json", printed)
    data = os.path.relpath(tmp_path.parent / "data" / "words")
    next_command = (
        f"python tools/train.py --flagfile={run}/flags.txt --data={data} --architecture='{output}'"
        f" --run={run}-chosen"
    )
    doubts = [
        "not decided: the likeliest kind has a probability below 0.5 in block 1, 2",
        "every block is identity: a prediction knows the last token alone",
    ]
    candidates = printed.pop("candidates")
    assert candidates == {
        "argmax": {"network": "i", "blocks": "ii", "log_probability": pytest.approx(LOG_16)},
        "likeliest": {"network": "d", "blocks": "di", "log_probability": pytest.approx(LOG_32)},
    }
    assert printed.pop("log_probability") == pytest.approx(LOG_16)
    assert printed == {
        "architecture": "ii",
        "network": "i",
        "path": str(output),
        "rule": "argmax",
        "search_run": "run",
        "search": "ss",
        "step": 7,
    } | {
        "total_steps": 7,
        "seeds": [3],
        "pi": [[0.2, 0.4, 0.4]] * 2,
        "warnings": doubts,
        "next": next_command,
    }
    assert err.splitlines() == [f"warning: {line}" for line in doubts]
    assert architecture.load(output).blocks == "ii" and not (run / "architecture.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 1, "error: --run=DIR is required; see --help"),
        (
            ["--run=missing"],
            3,
            "error: --run=missing has no config.json: give a directory that tools/train.py made",
        ),
        (
            ["--run=fixed"],
            1,
            (
                "error: run fixed has no stochastic block (architecture ad): there is nothing to"
                " derive; a search is a run of tools/train.py"
            ),
        ),
        (
            ["--run=search", "--rule=best"],
            1,
            (
                "error: flag --rule=best: value should be one of"
                " <argmax|consensus|likeliest|budget|paper>; see --help"
            ),
        ),
        (["--run=search", "--output=search"], 1, "error: search: Is a directory"),
        (["--run=search", "--output=search/config.json/x.json"], 1, "error: search/config.json"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_a_user_can_get_wrong_is_one_line_and_changes_nothing(
    arguments, code, said, tmp_path, capsys, monkeypatch
):
    make_run(tmp_path / "search", "ss")
    make_run(tmp_path / "fixed", "ad")
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    assert tool.main(arguments) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(said) and err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_a_live_run_is_derived_with_a_warning(tmp_path, call):
    run = make_run(tmp_path / "live", "ss", [DECIDED] * 3)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(
        json.dumps(
            config | {"data": config["data"] | {"steps_per_epoch": 1000}, "total_steps": 1000}
        )
    )
    with open(run / "history.jsonl", "a") as file:
        file.write('{"kind": "train", "step": 28, "pi": [[0.3')
    done = call("derive", f"--run={run}")
    assert done.code == 0 and done.out.startswith(
        "architecture: ad (from ss, argmax of pi at step 21 of 1,000)\n"
    )
    assert done.err == "warning: the search has not ended: step 21 of 1,000\n"


def test_a_search_that_settled_early_is_derived_without_a_warning(tmp_path, capsys):
    run = make_run(tmp_path / "early", "ss", [DECIDED] * 3)
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(
        json.dumps(
            config | {"data": config["data"] | {"steps_per_epoch": 1000}, "total_steps": 1000}
        )
    )
    (run / "summary.json").write_text('{"step": 21}')
    assert tool.main([f"--run={run}"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.startswith(
        "architecture: ad (from ss, argmax of pi at step 21 of 1,000, where it had settled)\n"
    )


def make_group(directory, *pis, blocks="ss"):
    """Runs seed0, seed1, ... that ended with the given pi."""
    for seed, pi in enumerate(pis):
        make_run(directory / f"seed{seed}", blocks, [[[1 / 3] * 3] * len(blocks), pi], seed=seed)
    return directory


AD, DD, DA = (
    [[0.7, 0.2, 0.1], [0.1, 0.7, 0.2]],
    [[0.1, 0.8, 0.1], [0.3, 0.6, 0.1]],
    [[0.2, 0.8, 0.0], [0.7, 0.1, 0.2]],
)


def test_the_command_derives_the_consensus_of_seeds_and_writes_all_seeds(
    tmp_path, capsys, monkeypatch
):
    make_group(tmp_path / "logs" / "group", AD, DD, AD, DA)
    monkeypatch.chdir(tmp_path)
    assert tool.main(["--run=logs/group", "--rule=consensus"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "architecture: dd (from ss, argmax of the mean pi of 4 seeds at step 14 of 14)",
        "",
        "block  Attention  Dense      Identity   agree",
        "    1  0.425      0.500*     0.075      2 of 4",
        "    2  0.300      0.525*     0.175      3 of 4",
        "",
        "written: logs/group/architecture.json",
        (
            "next:    python tools/train.py --flagfile=logs/group/seed0/flags.txt"
            " --data=logs/data/words --architecture=logs/group/architecture.json"
            " --run=logs/group-derived"
        ),
    ]
    assert err == "warning: no block is attention: a prediction knows the last token alone\n"
    written = architecture.load(tmp_path / "logs" / "group" / "architecture.json")
    assert (written.blocks, written.rule, written.search_run, written.seeds) == (
        "dd",
        "consensus",
        "group",
        (0, 1, 2, 3),
    )
    assert np.allclose(written.pi, np.mean([AD, DD, AD, DA], axis=0), rtol=1e-12)


def test_where_fewer_than_half_of_the_seeds_agree_is_warned_of_and_json_counts(tmp_path, capsys):
    a, d, i = [0.5, 0.3, 0.2], [0.3, 0.5, 0.2], [0.0, 0.1, 0.9]
    group = make_group(tmp_path / "group", [a, a], [a, i], [d, a])
    make_run(group / "seed3", "ss", [[i, i]], seed=3)  # only half as far
    (group / "seed1" / "history.jsonl").unlink()  # begun, but nothing is recorded
    for seed in range(4):  # none of them has ended
        config = json.loads((group / f"seed{seed}" / "config.json").read_text())
        text = json.dumps(
            config | {"data": config["data"] | {"steps_per_epoch": 20}, "total_steps": 20}
        )
        (group / f"seed{seed}" / "config.json").write_text(text)
    assert tool.main([f"--run={group}", "--rule=consensus", "--json"]) == 0
    out, err = capsys.readouterr()
    printed = json.loads(out)
    documented.check("derive --json", printed)
    assert (printed["architecture"], printed["seeds"], printed["agreement"], printed["step"]) == (
        "ii",
        [0, 2, 3],
        [1, 1],
        7,
    )
    assert printed["warnings"] == [
        "seed 1 is left out: it has recorded no step yet",
        "seed 3 has not ended: step 7 of 20",
        "not decided: the likeliest kind has a probability below 0.5 in block 1, 2",
        "every block is identity: a prediction knows the last token alone",
        "fewer than half of the 3 seeds chose the kind of block 1, 2",
    ]
    assert err.splitlines() == [f"warning: {line}" for line in printed["warnings"]]


@pytest.mark.parametrize(
    ("agreement", "said"), [([2, 4], []), ([1, 2], ["1"]), ([1, 1], ["1, 2"])]
)
def test_half_of_the_seeds_is_enough_and_fewer_is_not(agreement, said):
    assert derive.disagreement(agreement, 4) == [
        f"fewer than half of the 4 seeds chose the kind of block {blocks}" for blocks in said
    ]


def test_the_papers_rule_takes_the_number_of_blocks_from_a_run_from_seeds_or_from_a_flag(
    tmp_path, capsys, monkeypatch
):
    make_run(tmp_path / "one", "ssssdsssss")
    make_group(tmp_path / "group", AD * 5, DA * 5, blocks="s" * 10)
    (tmp_path / "one" / "history.jsonl").unlink()
    monkeypatch.chdir(tmp_path)
    for name, flags in (("one", "one/flags.txt"), ("group", "group/seed0/flags.txt")):
        assert tool.main([f"--run={name}", "--rule=paper"]) == 0
        out, err = capsys.readouterr()
        lines = out.splitlines()
        assert err == "" and lines[:3] == [
            "architecture: addadddddd (rule paper, 10 blocks)",
            "",
            f"written: {name}/architecture.json",
        ]
        assert f" --flagfile={flags} " in lines[3] and lines[3].endswith(
            f" --architecture={name}/architecture.json --run={name}-derived"
        )
        found = architecture.load(tmp_path / name / "architecture.json")
        assert found.to_json() == Architecture("addadddddd", "paper").to_json()
    before = sorted(tmp_path.rglob("*"))
    assert tool.main(["--num_blocks=12", "--rule=paper"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "architecture: adddaddddddd (rule paper, 12 blocks)",
        "",
        "next:    python tools/train.py --data=data/NAME --architecture=adddaddddddd",
    ]
    assert sorted(tmp_path.rglob("*")) == before
    assert tool.main(["--num_blocks=12", "--rule=paper", "--output=x/paper.json", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "architecture": "adddaddddddd",
        "path": "x/paper.json",
        "rule": "paper",
    } | {"next": "python tools/train.py --data=data/NAME --architecture=x/paper.json"}
    assert architecture.load(tmp_path / "x" / "paper.json").blocks == "adddaddddddd"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (
            ["--run=group"],
            1,
            (
                "error: --run=group holds 2 seeds: give one of them, such as group/seed0; derive"
                " --rule=consensus --plot takes all"
            ),
        ),
        (
            ["--run=group/seed0", "--rule=consensus"],
            1,
            (
                "error: --run=group/seed0 is a single run: --rule=consensus needs the directory of"
                " several"
            ),
        ),
        (
            ["--run=empty", "--rule=consensus"],
            3,
            "error: empty holds no seeds: give a directory that tools/train.py --num_seeds=N made",
        ),
        (
            ["--run=fixed", "--rule=consensus"],
            1,
            "error: run fixed/seed0 has no stochastic block (architecture ad)",
        ),
        (["--rule=consensus"], 1, "error: --run=DIR is required"),
        (["--rule=paper"], 1, "error: --rule=paper needs either --run=DIR or --num_blocks=N"),
        (
            ["--rule=paper", "--run=group", "--num_blocks=3"],
            1,
            "error: --rule=paper needs either --run=DIR or --num_blocks=N",
        ),
        (
            ["--rule=paper", "--num_blocks=0"],
            1,
            "error: --num_blocks must be from 1 to 1024, but is 0",
        ),
        (["--rule=paper", "--run=empty"], 3, "error: --run=empty has no config.json"),
        (
            ["--num_blocks=3"],
            1,
            (
                "error: --num_blocks=3 goes with --rule=paper, but --rule=argmax needs a search:"
                " give --run=DIR"
            ),
        ),
        (
            ["--run=group/seed0", "--plot"],
            1,
            (
                "error: --plot draws --rule=consensus, a budget or --pareto, but the rule is"
                " argmax: tools/plot_pi.py"
            ),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_does_not_go_together_is_one_line_and_changes_nothing(
    arguments, code, said, tmp_path, capsys, monkeypatch
):
    make_group(tmp_path / "group", AD, DD)
    make_group(tmp_path / "fixed", np.eye(3)[:2].tolist(), blocks="ad")
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.chdir(tmp_path)
    assert tool.main(arguments) == code
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(said) and err.count("\n") == 1, err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_seed_of_several_is_derived_like_any_run_and_named_with_its_group(tmp_path, capsys):
    group = make_group(tmp_path / "group", AD, DD)
    assert tool.main([f"--run={group}/seed1", "--output", str(tmp_path / "out.json")]) == 0
    written = architecture.load(tmp_path / "out.json")
    assert (written.blocks, written.rule, written.search_run, written.seeds) == (
        "dd",
        "argmax",
        "group/seed1",
        (1,),
    )


def test_the_consensus_is_drawn_where_the_command_says(tmp_path, capsys, monkeypatch):
    make_group(tmp_path / "group", AD, DD, AD)
    monkeypatch.chdir(tmp_path)
    assert tool.main(["--run=group", "--rule=consensus", "--plot"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2].startswith("drawn:   group/plots/consensus.png: ") and lines[-2].endswith(
        " kB"
    )
    assert [path.name for path in (tmp_path / "group" / "plots").iterdir()] == ["consensus.png"]
