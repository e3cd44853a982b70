"""A format is known without TensorFlow: where it goes, what it replaces, and what it needs."""

from __future__ import annotations

import dataclasses
import importlib.util
from pathlib import Path

import pytest

from par.core.errors import UsageError
from par.export import formats
from par.export.formats import FORMATS

ALL = list(FORMATS.values())


def test_one_format_fills_the_directory_and_several_have_one_each():
    assert formats.place(Path("out"), "savedmodel", ALL[:1]) == Path("out")
    assert formats.mark_of(Path("out"), ALL[:1]) == "saved_model.pb"
    assert formats.place(Path("out"), "safetensors", ALL) == Path("out/safetensors")
    assert formats.mark_of(Path("out"), ALL) == "savedmodel/saved_model.pb"


def test_every_format_has_a_module_a_use_in_the_card_and_files_with_its_mark():
    templates = Path(formats.__file__).with_name("templates")
    for each in ALL:
        assert each.mark in each.files and (templates / f"use_{each.name}.md.j2").is_file()
        assert importlib.util.find_spec(each.module)


def filled(directory, *names):
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")


@pytest.mark.parametrize("format", ALL, ids=lambda each: each.name)
@pytest.mark.parametrize("below", ["", "{}/"], ids=["one", "several"])
def test_an_export_of_any_format_is_replaced_only_by_overwrite(tmp_path, format, below):
    where = below.format(format.name)
    filled(tmp_path, f"{where}{format.mark}", f"{where}README.md")
    for wanted in (ALL[:1], ALL[1:2], ALL):
        formats.check_output(tmp_path, wanted, overwrite=True)
        with pytest.raises(UsageError, match="--overwrite to replace it"):
            formats.check_output(tmp_path, wanted, overwrite=False)


@pytest.mark.parametrize("file", ["notes.txt", "savedmodel/notes.txt", "README.txt"])
def test_a_directory_with_a_user_s_own_files_is_refused(tmp_path, file):
    filled(tmp_path, "model.safetensors", "config.json", file)
    with pytest.raises(UsageError, match=f"also holds {file}"):
        formats.check_output(tmp_path, ALL, overwrite=True)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UsageError, match=r"has no savedmodel/saved_model\.pb, so it is not"):
        formats.check_output(tmp_path, ALL, overwrite=True)


def test_what_is_not_installed_is_named_with_the_extra_that_brings_it():
    needy = dataclasses.replace(ALL[0], name="odd", packages=("json", "no_such_a", "no_such_b"))
    with pytest.raises(UsageError) as refused:
        needy.check_packages()
    assert str(refused.value) == (
        "--format=odd needs no_such_a and no_such_b, which are not installed: pip install"
        ' "par-transformer-xl[odd]"'
    )
    dataclasses.replace(needy, packages=("json",)).check_packages()
