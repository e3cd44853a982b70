"""The page of a run: everything that is there is told, everything else is named with its command,
and nothing of it is markup but our own."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import re
import shlex
from types import SimpleNamespace
from typing import Any

import jinja2
import numpy as np
import pytest
from PIL import Image

from faults import change_json
from par.core.config import DataConfig
from par.report import heat_map, parts, rendering, search_section, setup_section
from par.report import page as page_module
from par.search import derive
from par.tools import build_data
from par.tools import report as tool
from par.tools.cli.command_line import tool_command
from par.train import history, run_config
from pictures import luminance
from recorded_run import make_run, write_history
from reported import BLOCKS, HOSTILE, SECTIONS, Page, complete, recorded, write_comparison


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return complete(tmp_path_factory.mktemp("complete"))


@pytest.fixture(scope="module")
def page(run) -> Page:
    return made(run)


def made(run, *flags) -> Page:
    """What the command writes."""
    assert tool.main([f"--run={run}", *flags]) == 0
    return Page((run / "report.html").read_text(encoding="utf-8"))


def test_the_command_prints_the_page_and_its_size_and_the_same_run_gives_the_same_bytes(
    run, page, capsys, tmp_path
):
    assert tool.main([f"--run={run}", f"--output={tmp_path}/other.html"]) == 0
    first, second = (run / "report.html").read_bytes(), (tmp_path / "other.html").read_bytes()
    assert first == second and len(first) < 1_000_000
    assert capsys.readouterr().out == f"{tmp_path}/other.html: {len(first) / 1000:,.0f} kB\n"


def test_a_finished_search_has_every_section_in_order_and_nothing_missing_but_is_told(page):
    assert tuple(section["id"] for section in page.named("section")) == SECTIONS
    assert [link["href"] for link in page.named("a")] == [
        "#main",
        *(f"#{name}" for name in SECTIONS),
    ]
    text = page.text("main")
    for told in (
        "step 62 of 62, tau 0.100",
        "The search",
        "7.250 to 7.750",
        "-6.7%",  # 7.0 ms predicted, 7.5 measured
        "by the rule argmax.",
        "step 62, end of epoch 2:",
        "Once there was a word, plain.",
        "2.21.0",
    ):
        assert told in text, told
    rows = [attributes.get("class") for tag, attributes in page.elements if tag == "tr"]
    lines = page.text_of("tr")
    marked = [line for line, kind in zip(lines, rows) if kind == "marked"]
    assert any(line.startswith("derived") for line in marked)
    assert (
        "finished: step 62 of 62" in page.text_of("header")[0]
        and "12,345" in page.text_of("header")[0]
    )
    assert (
        page.text_of("title") == ["Search sssd on synthetic: report"]
        and [p for p in page.named("p") if p.get("class") == "missing"] == []
    )


def test_the_page_can_be_read_without_eyes(page):
    assert page.named("html") == [{"lang": "en"}] and page.text_of("h1") == [
        "Search sssd on synthetic"
    ]
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert (
        levels[0] == 1
        and levels.count(1) == 1
        and all(after <= before + 1 for before, after in itertools.pairwise(levels))
    )
    assert all(len(page.named(landmark)) == 1 for landmark in ("header", "nav", "main", "footer"))
    assert len(page.named("img")) >= 6 and all(
        len(image["alt"]) > 30 and re.search(r"\d", image["alt"]) for image in page.named("img")
    )
    assert (
        page.named("table")
        and len(page.named("caption")) == len(page.named("table"))
        and all(page.text_of("caption"))
    )
    assert {head.get("scope") for head in page.named("th")} == {"col", "row"}
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert all(
        attributes[key] in ids
        for _, attributes in page.elements
        for key in ("aria-labelledby", "for")
        if key in attributes
    )


def test_the_page_loads_nothing_and_its_policy_lets_its_own_style_and_script_alone_work(page):
    policy = next(
        meta["content"]
        for meta in page.named("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    digests = {
        name: base64.b64encode(hashlib.sha256(page.text_of(name)[-1].encode()).digest()).decode()
        for name in ("style", "script")
    }
    assert policy.startswith("default-src 'none'; img-src data:; ")
    assert (
        f"style-src 'sha256-{digests['style']}'; script-src 'sha256-{digests['script']}'" in policy
    )
    assert {kind.get("type") for kind in page.named("script")} == {
        None,
        "application/json",
    } and len(page.named("script")) == 2
    assert all(
        image["src"].startswith(("data:image/png;base64,", "data:image/svg+xml;base64,"))
        for image in page.named("img")
    )
    assert not [
        tag
        for tag, _ in page.elements
        if tag in ("link", "iframe", "object", "embed", "base", "form")
    ]
    assert not [
        key
        for _, attributes in page.elements
        for key in attributes
        if key.startswith("on") or key == "style"
    ]
    assert not re.search(
        r"url\(|@import|https?:", page.text_of("style")[0] + page.text_of("script")[-1]
    )


def test_no_text_of_a_file_is_markup(tmp_path, page):
    run = complete(tmp_path, hostile=True)
    change_json(run / "config.json", "search_run", HOSTILE)
    odd = run.rename(run.with_name("<img src=x onerror=alert(1)> & 'search'"))
    (run.with_name("search-compare")).rename(run.with_name(f"{odd.name}-compare"))
    hostile = made(odd)
    assert [tag for tag, _ in hostile.elements] == [tag for tag, _ in page.elements]
    assert odd.name in hostile.text_of("header")[0]
    seen = HOSTILE.replace("\x1b", "\\x1b").replace("\u202e", "\\u202e")
    assert (
        seen in hostile.text("samples")
        and seen in hostile.text("environment")
        and hostile.text("comparison").count(seen) >= 2
    )
    assert "\x1b" not in hostile.text("main") and "\u202e" not in hostile.text("main")


@pytest.mark.parametrize(
    "text, shown",
    [
        ("a < b & \"c\" 'd'", "a &lt; b &amp; &#34;c&#34; &#39;d&#39;"),
        ("\x00\x7f\x85", "\\x00\\x7f\\x85"),
        ("caf\udce9", "caf\\udce9"),
        ("\u202eabc\u2066", "\\u202eabc\\u2066"),
        ("naïve ▁word\u00a0\U0001f600\n\tב", "naïve ▁word\u00a0\U0001f600\n\tב"),
    ],
)
def test_text_is_escaped_and_what_has_no_sign_is_shown_by_its_code(text, shown):
    assert shown_by("{{ text }}", text=text) == shown
    assert shown_by("{% from 'macros.html.j2' import code %}{{ code(text) }}", text=text) == (
        f"<code>{shown}</code>"
    )
    label = shown_by(
        "{% from 'macros.html.j2' import listing %}{{ listing('', text) }}", text=text
    )
    assert f'aria-label="{shown}"' in label


def shown_by(source: str, **values: Any) -> str:
    """What a template of this wing makes of values."""
    return rendering.environment().from_string(source).render(values)


def test_a_value_that_a_template_asks_for_and_does_not_get_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="titel"):
        shown_by("{{ titel }}", title="x")


def test_the_slider_holds_the_history_and_the_page_its_last_state(run, page):
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["kind"] == "train"]
    data = page.data()
    assert (
        data["steps"] == [row["step"] for row in rows]
        and data["total"] == 62
        and data["stochastic"] == [True, True, True, False]
    )
    np.testing.assert_allclose(data["pi"], [row["pi"] for row in rows], atol=5e-7)
    np.testing.assert_allclose(data["tau"], [row["tau"] for row in rows], atol=5e-7)
    slider = page.named("input")
    assert len(slider) == 1 and (slider[0]["min"], slider[0]["max"], slider[0]["value"]) == (
        "0",
        "30",
        "30",
    )
    last, kinds = np.array(rows[-1]["pi"]), derive.argmax(rows[-1]["pi"])
    cells = [
        (attributes["class"], text)
        for (tag, attributes), text in zip(page.elements, page.texts)
        if tag == "td" and "class" in attributes
    ]
    cells = [cell for cell in cells if re.match(r"p\d", cell[0])]
    for number, (name, text) in enumerate(cells):
        kind, block = divmod(number, len(BLOCKS))
        p = last[block, kind]
        assert name == f"p{int(p * heat_map.LEVELS + 0.5)}" + " best" * (
            "adi"[kind] == kinds[block]
        )
        assert text == (f"{p:.2f}" if block < 3 else "fixed" if kind == 1 else "")
    assert len(cells) == 12


def test_of_a_long_history_of_many_blocks_the_slider_has_fewer_states_first_and_last_included(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(search_section, "MAX_PROBABILITIES", 60)
    states = search_section.slider_states(
        history.read_run(make_run(tmp_path / "run", "ss", count=31))
    )
    assert len(states["pi"]) == len(states["tau"]) == 10 and (
        states["steps"][0],
        states["steps"][-1],
    ) == (7, 217)


def test_every_level_of_probability_bears_a_text_that_can_be_read():
    rules = re.findall(
        r"\.p(\d+) { background: (#\w+); color: (#\w+); }", page_module.style_sheet()
    )
    assert [int(rule[0]) for rule in rules] == list(range(heat_map.LEVELS + 1))
    lightness = [luminance(background) for _, background, _ in rules]
    assert lightness == sorted(lightness, reverse=True)
    for light, text in zip(lightness, (luminance(colour) for _, _, colour in rules)):
        assert (max(light, text) + 0.05) / (min(light, text) + 0.05) >= 4.5


def test_what_is_missing_is_named_with_the_command_that_makes_it(tmp_path, monkeypatch):
    run = recorded(tmp_path, upto=40)
    change_json(run / "config.json", "data.train_sha256", "2" * 64)  # other data is there by now
    monkeypatch.chdir(tmp_path)
    page = made(run.relative_to(tmp_path))
    assert (
        "so far: step 40 of 62" in page.text_of("header")[0]
        and "told when it has ended" in page.text_of("header")[0]
    )
    commands = {
        "network": "derive --run=logs/search",
        "latency": "measure_latency --run=logs/search",
        "comparison": "compare --run=logs/search",
        "samples": "generate --run=logs/search",
        "environment": "train --flagfile=logs/search/flags.txt",
        "configuration": (
            "build_data --input_text=synthetic --vocab_size=40 --batch_size=4 --seq_len=8"
        ),
    }
    for section, command in commands.items():
        assert f"python tools/{command.replace(' ', '.py ', 1)}" in page.text(section), section
    assert "tools/compare.py --run=logs/search --truth" in page.text("comparison")
    assert "The likeliest blocks so far are" in page.text(
        "network"
    ) and "step 40 of 62" in page.text("pi-state")


@pytest.mark.slow
@pytest.mark.quick(1)
@pytest.mark.parametrize("named", [".", "samples/..", "samples/../."])
def test_a_run_named_from_inside_has_the_page_that_it_has_from_outside(
    named, tmp_path, monkeypatch
):
    run = complete(tmp_path)
    from_outside = made(run).texts
    monkeypatch.chdir(run)
    assert tool.main([f"--run={named}", f"--output={tmp_path}/page.html"]) == 0
    assert Page((tmp_path / "page.html").read_text(encoding="utf-8")).texts == from_outside


def test_a_flag_of_a_command_is_never_broken_behind_its_hyphens(tmp_path):
    page = made(recorded(tmp_path, upto=40))
    shown = next(
        text for text in page.text_of("p") if "tools/compare.py" in text and "--truth" in text
    )
    flags = [text for text in page.text_of("span") if text.startswith("--")]
    assert (
        "--truth" in flags
        and all(flag in "".join(page.text_of("code")) for flag in flags)
        and " --run=" in shown
        and " --truth" in shown
    )
    assert ".flag { display: inline-block;" in page.text_of("style")[0]
    split = rendering.words("train.py --a=1 --b='x -y'")
    assert split == ["train.py", " ", "--a=1", " ", "--b='x -y'"]


@pytest.mark.parametrize("dots", [100, 200])
def test_a_picture_is_shown_as_large_as_its_inches_say_whatever_its_dots(dots):
    image = Image.new("RGB", (3 * dots, dots))
    shown = parts.png("three inches", "", lambda file: image.save(file, "png", dpi=(dots, dots)))
    assert shown.width == 288


def test_a_run_that_has_recorded_nothing_yet_has_a_page(tmp_path):
    run = recorded(tmp_path)
    write_history(run / "history.jsonl", [])
    (run / "summary.json").unlink()
    page = made(run)
    assert "so far: step 0 of 62" in page.text_of("header")[
        0
    ] and "No step is recorded yet" in page.text("pi")
    assert (
        page.named("input") == []
        and tuple(section["id"] for section in page.named("section")) == SECTIONS
    )


def test_a_fixed_network_has_a_page_without_pi_that_tells_where_it_came_from(tmp_path):
    search = complete(tmp_path)
    blocks = json.loads((search / "architecture.json").read_text())["blocks"]
    run = recorded(tmp_path, blocks, "fixed")
    change_json(run / "config.json", "search_run", "search")
    page = made(run)
    assert page.named(
        "input"
    ) == [] and "is fixed, so there is no distribution to watch" in page.text("pi")
    assert f"tools/report.py --run={search}" in page.text(
        "pi"
    ) and "derived from the search search by the rule argmax" in page.text("network")
    assert "quartiles" in page.text("latency") and "The search" in page.text("comparison")
    assert page.text_of("title") == [f"Network {blocks} on synthetic: report"]


def test_several_seeds_have_a_page_of_their_consensus(tmp_path):
    for seed in (2, 5):
        make_run(
            tmp_path / "group" / f"seed{seed}", "sss", seed=seed, pi=np.full((3, 3, 3), 1 / 3)
        )
    page = made(tmp_path / "group")
    assert page.named("section")[0]["id"] == "seeds" and "2, 5" in page.text_of("header")[0]
    # 21 steps of a second each
    assert "Training time, all seeds0:00:42" in page.text_of("header")[0]
    assert (
        "by the mean of 2 seeds are iii" in page.named("img")[0]["alt"]
        and "derive.py" in page.text("network")
        and "consensus" in page.text("network")
    )
    assert "spread" in page.text_of("tbody")[0]
    assert f"{tmp_path}/group-again --num_seeds=2" in page.text("repeat")


def test_a_comparison_beside_the_run_is_found_a_named_one_joins_it_and_none_stands_twice(
    tmp_path,
):
    run = make_run(tmp_path / "logs" / "search", "s", count=2)
    write_comparison(tmp_path / "logs" / "search-compare")
    write_comparison(tmp_path / "elsewhere", "another")
    found = json.loads((tmp_path / "logs" / "search-compare" / "compare.json").read_text())
    text = made(
        run,
        f"--comparison={tmp_path}/elsewhere",
        f"--comparison={tmp_path}/elsewhere/../logs/search-compare",
    ).text("comparison")
    assert (
        text.count(found["verdict"]) == 2
        and "another" in text
        and str(tmp_path / "elsewhere") in text
    )
    assert found["goal"]["sentence"][1:] in text and "+2.8 % (+1.3 % to +4.3 %)" in text
    assert f"{found['networks'][0]['perplexity_per_word']['mean']:.1f} (" in text


def test_the_table_of_settings_marks_what_is_not_the_default(page, run):
    rows = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)
        for row in re.findall(
            r'<tr class="marked">(.*?)</tr>', (run / "report.html").read_text(encoding="utf-8")
        )
    ]
    changed = {row[0]: row[1:4] for row in rows if len(row) == 5}
    assert (
        changed["d_model"] == ["16", "128", "yes"]
        and changed["model_type"] == ["word", "unigram", "yes"]
        and "dropout_rate" not in changed
    )


def test_the_commands_that_repeat_it_are_taken_by_the_tools(page, run):
    commands = [
        shlex.split(line)
        for line in page.text("repeat").splitlines()
        if line.startswith("python tools/")
    ]
    assert [command[1] for command in commands] == [
        f"tools/{name}.py" for name in ("build_data", "train", "derive", "train", "report")
    ]
    values = build_data.FLAGS
    values.unparse_flags()
    values(["tool", *commands[0][2:]])
    manifest = json.loads((run_config.load(run)[1] / "manifest.json").read_text())
    assert values.read(DataConfig).to_json() == manifest["settings"]
    values.unparse_flags()
    from par.tools import derive as derive_tool
    from par.tools import train as train_tool

    for flags, command in ((train_tool.FLAGS, commands[1]), (derive_tool.FLAGS, commands[2])):
        flags.unparse_flags()
        flags(["tool", *flags.read_flags_from_files(command[2:], force_gnu=False)])
        assert flags.run == f"{run}-again"
    assert tool_command("report", run=run) in page.text("repeat")


def test_every_setting_of_the_data_that_is_not_the_default_is_in_the_command_that_builds_it():
    asked = DataConfig(
        corpus="python-docs",
        lowercase=True,
        symbols=("<unk>", "a b"),
        split_fractions=(0.5, 0.25, 0.25),
        vocab_size=300,
    )
    line = setup_section.build_command(
        SimpleNamespace(settings=asked.to_json()), tool_command, "data/my own"
    )
    flags = build_data.FLAGS
    flags.unparse_flags()
    flags(["tool", *shlex.split(line)[2:]])
    assert (
        flags.read(DataConfig) == asked
        and flags.output_dir == "data/my own"
        and line.count("--") == 9
    )
    flags.unparse_flags()


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        ([], 1, "--run=DIR is required; see --help"),
        (
            ["--run=missing"],
            3,
            "--run=missing has no config.json: give a directory that tools/train.py made",
        ),
        (["--run=run", "--output=page.pdf"], 1, "--output must end with .html, but is page.pdf"),
        (["--run=run", "--output=run"], 1, "--output must end with .html, but is run"),
        (
            ["--run=run", "--comparison=missing"],
            3,
            "--comparison=missing is not a directory: give one that tools/compare.py made",
        ),
        (
            ["--run=run", "--comparison=data"],
            3,
            "--comparison=data has neither compare.json nor truth.json: give a directory that",
        ),
        (
            ["--run=damaged"],
            3,
            (
                "comparison damaged-compare/compare.json is not what tools/compare.py writes: make"
                " it again with --report_only"
            ),
        ),
        (
            ["--run=endless"],
            3,
            "history endless/history.jsonl line 1 is not a row of this program",
        ),
        (
            ["--run=odd"],
            3,
            "summary odd/summary.json must have parameters above 0, but has 'None'",
        ),
        (
            ["--run=short"],
            3,
            (
                "history short/history.jsonl ends at step 7, but the run ended at step 14: rows"
                " were lost"
            ),
        ),
        (
            ["--run=lost"],
            3,
            (
                "history lost/history.jsonl has no step of the 14 of the run: rows were lost; put"
                " a whole copy in its place"
            ),
        ),
        (
            ["--run=seeds"],
            3,
            (
                "history seeds/seed1/history.jsonl ends at step 7, but the run ended at step 14:"
                " rows were lost"
            ),
        ),
        (
            ["--run=group"],
            3,
            "no seed of group has recorded a step yet: let tools/train.py go on, then try again",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_can_not_be_reported_is_one_line_and_nothing_is_written(
    flags, code, said, tmp_path, capsys, monkeypatch
):
    for name in ("run", "damaged", "endless", "odd", "short", "lost", "group/seed0"):
        make_run(tmp_path / name, "ss", count=2, seed=0)
    for seed in (0, 1):
        make_run(tmp_path / "seeds" / f"seed{seed}", "ss", count=2, seed=seed)
    write_comparison(tmp_path / "damaged-compare")
    change_json(tmp_path / "damaged-compare" / "compare.json", "verdict", None)
    (tmp_path / "endless" / "history.jsonl").write_text("[" * 9 + "\n")
    (tmp_path / "odd" / "summary.json").write_text('{"step": 14}')
    for name in ("short", "lost", "seeds/seed0", "seeds/seed1"):
        (tmp_path / name / "summary.json").write_text('{"step": 14, "parameters": 1}')
    for path in (
        tmp_path / "short" / "history.jsonl",
        tmp_path / "seeds" / "seed1" / "history.jsonl",
    ):
        path.write_text(path.read_text().splitlines(keepends=True)[0])
    (tmp_path / "lost" / "history.jsonl").unlink()
    (tmp_path / "group" / "seed0" / "history.jsonl").write_text("")
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    assert tool.main(flags) == code
    out, err = capsys.readouterr()
    assert (
        out == ""
        and err.startswith(f"error: {said}")
        and err.count("\n") == 1
        and not list(tmp_path.rglob("*.html"))
    )


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [
        ("compare.json", "networks", 7),
        ("compare.json", "networks", []),
        ("compare.json", "networks.0.seconds", "long"),
        ("compare.json", "networks.0.perplexity_per_word.mean", "high"),
        ("compare.json", "networks.1.latency", 7),
        ("compare.json", "networks.0.perplexity_per_word.mean", 0.0),
        ("compare.json", "networks.0.latency.inference.low", 99.0),
        ("compare.json", "networks.0.parameters", "many"),
        ("compare.json", "networks.2.blocks", ["d"]),
        ("compare.json", "networks.2.names", None),
        ("compare.json", "cost", "colour"),
        ("compare.json", "random", {"of": 3}),
        ("compare.json", "goal", "met"),
        ("compare.json", "seeds", 3),
        ("truth.json", "rows", [{}]),
        ("truth.json", "rows.1.seconds", "x"),
        ("truth.json", "fine_tuned_against_scratch", [1]),
        ("truth.json", "blocks", 5),
    ],
)
def test_a_comparison_that_is_none_is_refused_by_its_name(name, place, value, tmp_path, capsys):
    run = make_run(tmp_path / "run", "ss", count=2)
    write_comparison(tmp_path / "run-compare")
    change_json(tmp_path / "run-compare" / name, place, value)
    assert tool.main([f"--run={run}"]) == 3
    err = capsys.readouterr().err
    assert (
        err.startswith(
            f"error: comparison {tmp_path}/run-compare/{name} is not what tools/compare.py writes"
        )
        and err.count("\n") == 1
    )
