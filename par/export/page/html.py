"""A network as one HTML file that loads nothing: it continues texts, colours their tokens by
surprise, and shows where the network looked.

The weights are inside in float16, as base64, and so are the tokenizer and the programs:
network.js is the forward pass, tokenizer.js SentencePiece's encoding, writer.js what runs in a
worker, page.js what a user sees.
"""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from par import __version__
from par.core import files, markup
from par.data import named_corpora
from par.evaluate.trained_model import Model
from par.export.array_functions import Library
from par.export.formats import UNKNOWN_LICENCE, Written
from par.export.page import parts
from par.export.plain import arrays
from par.export.safetensors import Reference
from par.export.self_check import Sample, costs_of_rounding
from par.export.shipped import forward
from par.export.shipping import Source
from par.search.architecture import NAMES
from par.train.learner import Learner

FILE = "index.html"
LEVELS = 6  # colours of surprise, see page.js
LOOK_BACK = 48  # rows of the map, see page.js


def write(source: Source, directory: Path) -> Written:
    """Writes the files of the format."""
    page = html(source)
    files.write_text(directory / FILE, page)
    files.write_bytes(directory / "tokenizer.model", source.model.tokenizer.model)
    settings, weights = read(page)
    compared = with_rounded_weights(source.plain)
    sample = Sample(compared, source.streams["valid"])
    written = Reference(forward.Network(settings, weights), ("step",))
    return Written(
        written,
        (FILE,),
        "The weights of the page are rounded to float16; both computed with these, the export by"
        " forward.py.",
        costs_of_rounding("page", sample, written, Library(source.plain)),
        "float16",
        compared,
    )


def html(source: Source) -> str:
    """The page."""
    model, manifest = source.plain, source.manifest
    settings, weights = arrays(model)
    entries, halves = parts.packed(weights)
    tokenizer, charsmap = parts.tokenizer(model.tokenizer.model)
    context = model.config.trained_context
    style = markup.base_style() + _file("page.css")
    script, program = _file("page.js"), parts.program()
    blocks = model.config.architecture.blocks
    name = model.config.architecture.short
    data = {"settings": settings, "context": context, "entries": entries, "tokenizer": tokenizer}
    rendered = markup.html_environment(parts.HERE).get_template("page.html.j2")
    return rendered.render(
        policy=markup.policy(style, script, "worker-src blob:"),
        version=__version__,
        title=f"A network that writes: {name}",
        style=style,
        script=script,
        program=program,
        data=data,
        weights=base64.b64encode(halves).decode(),
        charsmap=base64.b64encode(charsmap).decode(),
        settings=settings,
        parameters=f"{sum(each.size for each in weights.values()):,}",
        prompt="The",
        levels=LEVELS,
        look_back=LOOK_BACK,
        attends=[number for number, kind in enumerate(blocks, 1) if kind in "as"],
        blocks=[{"kind": kind, "name": NAMES[kind], "remembers": kind in "as"} for kind in blocks],
        facts=[
            ("Blocks", name),
            (
                "Width, heads, dense width",
                f"{settings['d_model']}, {settings['num_heads']}, {settings['d_ffn']}",
            ),
            ("A token sees", f"itself and {context:,} tokens back"),
            ("Tokenizer", f"{tokenizer['kind']}, {settings['vocab_size']:,} pieces"),
            ("Trained on", f"{manifest.corpus.name}, {manifest.splits['train'].tokens:,} tokens"),
            ("Licence of the text", licence_of(source)),
            *((f"On {split}", scores) for split, scores in source.scores.items()),
        ],
        limits=(
            "The network continues text of the kind that it was trained on, and knows nothing"
            " else. It was not trained to follow instructions; its text may be wrong, or a passage"
            " of its training text."
        ),
    )


def licence_of(source: Source) -> str:
    """The licence of the corpus."""
    return named_corpora.LICENCES.get(source.manifest.settings["corpus"], UNKNOWN_LICENCE)


def read(page: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The settings and the weights, in float32, that a page holds."""

    def content(name: str) -> str:
        return re.search(rf'<script type="[\w/]+" id="{name}">(.*?)</script>', page, re.DOTALL)[1]

    data = json.loads(content("page-data"))
    halves = np.frombuffer(base64.b64decode(content("weights")), "<f2").astype(np.float32)
    sizes = [int(np.prod(entry["shape"])) for entry in data["entries"]]
    pieces = np.split(halves, np.cumsum(sizes)[:-1])
    return data["settings"], {
        entry["name"]: piece.reshape(entry["shape"])
        for entry, piece in zip(data["entries"], pieces, strict=True)
    }


def with_rounded_weights(model: Model) -> Model:
    """The model with its weights rounded to float16, as a page has them."""
    learner = Learner(model.config)
    for mine, theirs in zip(learner.logits, model.learner.logits, strict=True):
        mine.assign(theirs)
    with np.errstate(over="ignore"):  # too large a weight becomes infinite, and the check finds it
        for mine, theirs in zip(learner.weights, model.learner.weights, strict=True):
            mine.assign(theirs.numpy().astype(np.float16).astype(np.float32))
    return Model(model.config, learner, model.tokenizer)


def _file(name: str) -> str:
    return (parts.HERE / name).read_text(encoding="utf-8")
