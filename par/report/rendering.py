"""Renders the templates of this wing. All values are escaped, so that only the templates
themselves contain markup.

Characters that a browser can't show, and those that change the reading direction, become escape
sequences first: `\\x1b`, `\\u202e`.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from par.core import schema, text

TEMPLATES = Path(__file__).with_name("templates")


def render(template: str, **values: Any) -> str:
    """A template of par/report/templates, rendered with these values."""
    return environment().get_template(template).render(values)


@functools.cache
def environment() -> Environment:
    """The Jinja2 environment of the templates."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= {"words": words, "sentence": sentence}
    made.policies["json.dumps_function"] = lambda value, **_: schema.canonical_json(value)
    return made


def _visible(value: Any) -> Any:
    """The value of an expression without invisible characters; autoescape escapes it next."""
    return value if hasattr(value, "__html__") else text.escape(str(value), text.is_safe_in_html)


def words(command: str) -> list[str]:
    """Cuts a command before each of its flags, so that a flag can be kept on one line: a browser
    would break the line after its `--`."""
    return re.split(r"(\s+)(?=--)", command)


def sentence(line: str) -> str:
    """A line that begins with a capital letter and ends with a full stop."""
    return f"{line[0].upper()}{line[1:]}."
