"""docs/flags.md tells every flag of every command, as the commands have them."""

from __future__ import annotations

import flags_page
from par.core.config import LoggingConfig, ModelConfig, SearchConfig, TrainingConfig, fields
from par.objectives import OBJECTIVES


def test_the_page_is_what_the_flags_say():
    again = "run .venv/bin/python tests/flags_page.py > docs/flags.md"
    assert flags_page.PAGE.read_text(encoding="utf-8") == flags_page.page(), (
        f"docs/flags.md is not what the flags say: {again}"
    )


def test_every_flag_of_a_command_has_one_row_there_and_a_setting_of_a_run_one_for_all_commands():
    rows = list(flags_page.rows_of(flags_page.page()))
    own = [contract.settings for contract in OBJECTIVES.values() if contract.settings]
    groups = (ModelConfig, SearchConfig, TrainingConfig, LoggingConfig, *own)
    for name, values in flags_page.commands().items():
        told = [flag for heading, flag in rows if heading == name]
        shared = {
            flag
            for section in values.sections
            if section.group in groups
            for flag in section.names
        }
        assert sorted(told) == sorted(set(values) - shared), name
    of_a_run = [
        flag
        for heading, flag in rows
        if heading.split()[0] in ("Network", "Search", "Training", "Logging", "Objective")
    ]
    assert sorted(of_a_run) == sorted(field.name for group in groups for field, _ in fields(group))


def test_a_recipe_s_value_stands_beside_the_default_and_the_bounds():
    rows = {
        line.split("`")[1]: line
        for line in flags_page.page().splitlines()
        if line.startswith("| `--")
    }
    assert rows["--epochs"].startswith(
        "| `--epochs` | integer, 1 to 1,000,000 | 5 | 3 | 3 | 20 | passes over the train split"
    )
    assert rows["--tau_end"].startswith(
        "| `--tau_end` | number, 0.001 to 1,000 | 0.1 | 0.1 | 0.1 | 0.1 | "
    )
    assert rows["--norm"].startswith("| `--norm` | `pre`, `post` | pre | pre |  |  | ")
    assert rows["--[no]tie_embeddings"].startswith(
        "| `--[no]tie_embeddings` | switch | false | false |  |  | "
    )


def test_what_markdown_would_not_show_is_escaped():
    symbols = next(
        line for line in flags_page.page().splitlines() if line.startswith("| `--symbols`")
    )
    assert r"\<unk>" in symbols
