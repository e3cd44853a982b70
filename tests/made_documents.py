"""Made-up documents with authors, groups and threads, and what a naive reading makes of them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from built import sentences

ODD_TEXTS = (
    "  indented\n\n\n  and blank lines  \n",
    "CR\r\nLF\r\n",
    "nul \0 and \u2581 mark",
    "\ufeffmark",
    "[EOS] [PAD] <unk>",
    "\u4e2d\u6587 \U0001f600",
    "half \ud83d",
    "one\n" * 9,
)


def threads(number: int, seed: int = 0) -> list[dict[str, Any]]:
    """Documents as lines of JSON: about nine groups in ten, five authors in six, two parents in
    three, some of them unknown, of empty texts or further down; some texts are empty or odd."""
    draw = np.random.default_rng(seed)
    lines = sentences(5 * number, seed)
    found: list[dict[str, Any]] = []
    for i in range(number):
        text = "\n".join(lines[5 * i : 5 * i + draw.integers(1, 5)])
        if i % 13 == 5:
            text = (" \n", "", None, "[deleted]")[i // 13 % 4]
        elif i % 7 == 3:
            text = ODD_TEXTS[i // 7 % len(ODD_TEXTS)]
        thread, place = divmod(i, 9)
        parent = None
        if place:
            parent = f"id{9 * thread + int(draw.integers(place))}"
        if i % 31 == 30:
            parent = f"nobody{i}"
        document = {"id": f"id{i}", "text": text, "parent": parent, "extra": [i]}
        if i % 6:
            document["author"] = f"Writer Number {draw.integers(29)}"
        if i % 10:
            document["group"] = f"Place Number {thread % 37}"
        found.append(document)
    # some answers stand before what they answer
    for i in range(0, number - 9, 54):
        found[i : i + 9] = found[i : i + 9][::-1]
    return found


def write_lines(path: Path, documents: list[dict[str, Any]]) -> Path:
    path.write_text("".join(f"{json.dumps(each)}\n" for each in documents))
    return path


def is_empty(document: dict[str, Any]) -> bool:
    return not (document["text"] or "").strip() or document["text"] == "[deleted]"


def cleaned(text: str) -> str:
    """What a span decodes to: the text as the stream holds it, without its last line end."""
    lone = "".join("\ufffd" * 3 if "\ud800" <= char <= "\udfff" else char for char in text.strip())
    return lone.replace("\r\n", "\n").replace("\0", "\ufffd").replace("\u2581", " ")


def numbered(documents: list[dict[str, Any]], key: str) -> dict[str | None, int]:
    """The numbers of the names, in the order in which they come first."""
    names = [each.get(key) for each in documents if not is_empty(each) and each.get(key)]
    return {None: -1} | {name: number for number, name in enumerate(dict.fromkeys(names))}


def split_of(document: dict[str, Any], kind: str, by_id: dict[str, dict[str, Any]]) -> str:
    """The split by the hash of what `kind` names, with chances .6, .2 and .2."""
    name, said = document.get(kind), kind
    if not name:
        name, said = thread_of(document, by_id), "id"
    digest = hashlib.blake2b(name.encode(), digest_size=16, person=said.encode()).digest()
    chance = int.from_bytes(digest[:8], "little") / 2**64
    return "train" if chance < 0.6 else "valid" if chance < 0.8 else "test"


def thread_of(document: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> str:
    """The id of the first document of a thread, be it empty or unknown."""
    while document["parent"] in by_id:
        document = by_id[document["parent"]]
    return document["parent"] or document["id"]
