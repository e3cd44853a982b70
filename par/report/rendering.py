"""Renders the templates of this wing; par.core.markup escapes all values."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment

from par.core import markup

TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **values: Any) -> str:
    """A template of par/report/templates, rendered with these values."""
    return environment().get_template(template).render(values)


@functools.cache
def environment() -> Environment:
    """The Jinja2 environment of the templates."""
    made = markup.html_environment(TEMPLATES)
    made.filters |= {"words": words, "sentence": sentence}
    return made


def words(command: str) -> list[str]:
    """Cuts a command before each of its flags, so that a flag can be kept on one line: a browser
    would break the line after its `--`."""
    return re.split(r"(\s+)(?=--)", command)


def sentence(line: str) -> str:
    """A line that begins with a capital letter and ends with a full stop."""
    return f"{line[0].upper()}{line[1:]}."
