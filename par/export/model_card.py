"""The model card of an exported network: a README in Markdown, written from the run, with Python
that can be run as it is. Its text is templates/model_card.md.j2."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from par.core import metrics
from par.core.text import escape, number
from par.data import named_corpora
from par.data.manifest import Manifest
from par.data.tokenizer import EOS
from par.search.architecture import KINDS, NAMES, Architecture, interleaved
from par.search.architecture import load as load_architecture
from par.train.run_config import RunConfig

TEMPLATES = Path(__file__).with_name("templates")
UNKNOWN_LICENCE = "own text: its licence is yours to state"
# what Markdown may take for markup inside a line, `_` only beside a word
MARKUP = re.compile(r"[\\`*\[\]<>|~&#]|(?<!\w)_|_(?!\w)")


@dataclasses.dataclass(frozen=True)
class Measured:
    """What an export measures of its network."""

    checkpoint: str
    step: int
    evaluated_as: str  # soft or argmax, of a SuperNet
    scores: dict[str, dict[str, float]]  # by split, par.core.metrics.figures
    # by split: how many lines get other ids from the tokenizer inside, and how many there are
    mismatches: dict[str, tuple[int, int]]
    pi: Sequence[Sequence[float]]  # [L, O] of the network itself: one-hot where a block is fixed
    memory_shape: Sequence[int]  # [A, 1, M, D] of one row


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
) -> str:
    """The text of the card. name: that of the export's directory. origin: see `find_origin`."""
    architecture = config.architecture
    counts = {kind: architecture.blocks.count(kind) for kind in NAMES}
    use, latency = "", []
    if architecture.is_search:
        way = "mixture" if measured.evaluated_as == "soft" else "likeliest kinds"
        use = f"; used as their {way}"
    if origin is not None and origin.latency is not None:
        other = Architecture(interleaved(len(origin))).short
        latency = origin.latency.lines(origin.canonical.short, other)
    return (
        _environment()
        .get_template("model_card.md.j2")
        .render(
            name=name,
            config=config,
            model=config.model,
            architecture=architecture,
            kinds=", ".join(f"{count} {NAMES[kind]}" for kind, count in counts.items() if count),
            use=use,
            manifest=manifest,
            origin=origin,
            measured=measured,
            latency=latency,
            eos=EOS,
            memory_shape=list(measured.memory_shape),
            licence=named_corpora.LICENCES.get(manifest.settings["corpus"], UNKNOWN_LICENCE),
            scores={split: _figures(found) for split, found in measured.scores.items()},
            columns=[NAMES[kind] for kind in KINDS],
        )
    )


@functools.cache
def _environment() -> Environment:
    """The environment of the template. Autoescape is for HTML: what users name is escaped by the
    filters below."""
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        auto_reload=False,
    )
    made.filters |= {"markdown": markdown, "code": code_span, "python": python_literal}
    return made


def _figures(found: dict[str, float]) -> list[str]:
    return [number(found[name], 4 if name.startswith("bits") else 2) for name in metrics.COMPARED]


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
