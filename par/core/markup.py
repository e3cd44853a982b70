"""Templates, and HTML pages that load nothing: one file with its style and its scripts inside.

Templates of HTML escape all values, so that only they themselves contain markup. Characters that a
browser can't show, and those that change the reading direction, become escape sequences first:
`\\x1b`, `\\u202e`. A Content-Security-Policy allows the style and the script of the page by their
SHA-256 and nothing else; if text still became markup, it would have no effect.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from par.core import schema, text

POLICY = (
    "default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{script}';"
    "{more} base-uri 'none'; form-action 'none'"
)


def environment(*folders: Path, **settings: Any) -> Environment:
    """The Jinja2 environment of directories of templates; `settings`: further ones of Jinja2's."""
    return Environment(
        loader=FileSystemLoader(folders),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        **settings,
    )


def html_environment(templates: Path) -> Environment:
    """The environment of templates of HTML."""
    made = environment(templates, autoescape=True, finalize=_visible)
    made.policies["json.dumps_function"] = lambda value, **_: schema.canonical_json(value)
    return made


def policy(style: str, script: str, more: str = "") -> str:
    """The policy of a page with this style and this script; `more`: further directives."""
    directives = f" {more};" if more else ""
    return POLICY.format(style=_digest(style), script=_digest(script), more=directives)


@functools.cache
def base_style() -> str:
    """base.css: colours in light and dark, text, links, code, and what has the focus."""
    return Path(__file__).with_name("base.css").read_text(encoding="utf-8")


def _visible(value: Any) -> Any:
    """The value of an expression without invisible characters; autoescape escapes it next."""
    return value if hasattr(value, "__html__") else text.escape(str(value), text.is_safe_in_html)


def _digest(content: str) -> str:
    return base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
