"""The model card of an exported network: a README in Markdown, written from the run, with Python
that can be run as it is. Its text is templates/model_card.md.j2."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment

from par.core import markup
from par.core.text import escape
from par.data import named_corpora
from par.data.manifest import Manifest
from par.data.tokenizer import EOS
from par.export.formats import CHECKED_TOKENS, UNKNOWN_LICENCE, Format, Shipped
from par.search.architecture import KINDS, NAMES, Architecture, interleaved
from par.search.architecture import load as load_architecture
from par.train.run_config import RunConfig

TEMPLATES = Path(__file__).with_name("templates")
# what Markdown may take for markup inside a line, `_` only beside a word
MARKUP = re.compile(r"[\\`*\[\]<>|~&#]|(?<!\w)_|_(?!\w)")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What an export measures of its network, whatever the format."""

    checkpoint: str
    step: int
    evaluated_as: str  # soft or argmax, of a SuperNet
    scores: dict[str, dict[str, float]]  # by split, the objective's figures
    pi: Sequence[Sequence[float]]  # [L, O] of the network itself: one-hot where a block is fixed


def find_origin(run_dir: Path, architecture: Architecture) -> Architecture | None:
    """The architecture.json of the search that a run's blocks were derived from, if it lies beside
    the run and is this network.

    Raises: DataError if it is damaged.
    """
    if not architecture.search_run:
        return None
    # two: a run may be one of several seeds
    for parent in list(Path(run_dir).resolve().parents)[:2]:
        if (path := parent / architecture.search_run / "architecture.json").is_file():
            found = load_architecture(path)
            return found if found == architecture else None
    return None


def render(
    name: str,
    config: RunConfig,
    manifest: Manifest,
    origin: Architecture | None,
    measured: Measured,
    shipped: Shipped,
) -> str:
    """The text of the card of one format. name: that of the format's directory. origin: see
    `find_origin`."""
    architecture = config.architecture
    use, latency = "", []
    if architecture.is_search:
        way = "mixture" if measured.evaluated_as == "soft" else "likeliest kinds"
        use = f"; used as their {way}"
    if origin is not None and origin.latency is not None:
        other = Architecture(interleaved(len(origin))).short
        latency = origin.latency.lines(origin.canonical.short, other)
    return (
        environment(TEMPLATES)
        .get_template("model_card.md.j2")
        .render(
            name=name,
            config=config,
            model=config.model,
            architecture=architecture,
            kinds=counted_kinds(architecture),
            use=use,
            manifest=manifest,
            origin=origin,
            measured=measured,
            format=shipped.format,
            written=shipped.written,
            differences=shipped.differences,
            precision=_precision(config, shipped.format),
            checked=CHECKED_TOKENS,
            latency=latency,
            eos=EOS,
            memory_shape=list(shipped.written.memory_shape),
            licence=named_corpora.LICENCES.get(manifest.settings["corpus"], UNKNOWN_LICENCE),
            contract=config.contract,
            figures=config.contract.tabled,
            scores=measured.scores,
            columns=[NAMES[kind] for kind in KINDS],
        )
    )


def _precision(config: RunConfig, format: Format) -> str:
    """In what the products are computed, in training and here."""
    trained = config.model.precision
    here = "f32" if format.in_f32 else trained
    return here if here == trained else f"{here} ({trained} in training)"


def counted_kinds(architecture: Architecture) -> str:
    """How many blocks of each kind there are, in words."""
    counts = {kind: architecture.blocks.count(kind) for kind in NAMES}
    return ", ".join(f"{count} {NAMES[kind]}" for kind, count in counts.items() if count)


@functools.cache
def environment(*folders: Path) -> Environment:
    """The environment of the templates in these directories. Autoescape is for HTML: what users
    name is escaped by the filters below."""
    made = markup.environment(*folders, autoescape=False, keep_trailing_newline=True)
    made.filters |= {"markdown": markdown, "code": code_span, "python": python_literal}
    return made


def markdown(text: str) -> str:
    """Text in Markdown that is shown as it is, in one line."""
    return MARKUP.sub(r"\\\g<0>", escape(text))


def code_span(text: str) -> str:
    """Text as a code span of Markdown, between more backticks than it has in a row."""
    shown = escape(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    padding = " " if len(fence) > 1 else ""
    return f"{fence}{padding}{shown}{padding}{fence}"


def python_literal(text: str) -> str:
    """A string of Python, in ASCII where it has more than printable characters."""
    if text.isprintable() and not set(text) & {'"', "\\"}:
        return f'"{text}"'
    return ascii(text)
