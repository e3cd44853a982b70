"""What a page has inside: the programs as one text, the weights in float16, and the tokenizer as
its JavaScript reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from par.data import sentencepiece_proto
from par.data.tokenizer import properties

HERE = Path(__file__).parent
# of the worker, in the order in which each is known to those after it
MODULES = ("weights.js", "sampling.js", "tokenizer.js", "network.js", "writer.js")
_Piece = sentencepiece_proto.SentencePiece
TYPES = {
    _Piece.NORMAL: "n",
    _Piece.UNKNOWN: "u",
    _Piece.CONTROL: "c",
    _Piece.USER_DEFINED: "d",
    _Piece.BYTE: "b",
    _Piece.UNUSED: "-",
}


def program() -> str:
    """The modules of the worker as one script: without imports and exports, as all that they name
    is in it."""
    texts = [(HERE / name).read_text(encoding="utf-8") for name in MODULES]
    joined = "\n".join(re.sub(r"^import .*\n", "", text, flags=re.MULTILINE) for text in texts)
    return (
        '"use strict";\n' + re.sub(r"^export ", "", joined, flags=re.MULTILINE) + "serve(self);\n"
    )


def packed(weights: Mapping[str, np.ndarray]) -> tuple[list[dict[str, Any]], bytes]:
    """The names and shapes of weights, and their float16 numbers one after the other."""
    entries = [{"name": name, "shape": list(each.shape)} for name, each in weights.items()]
    with np.errstate(over="ignore"):  # too large a weight becomes infinite, and the check finds it
        return entries, b"".join(each.astype("<f2").tobytes() for each in weights.values())


def tokenizer(model: bytes) -> tuple[dict[str, Any], bytes]:
    """A SentencePiece model as tokenizer.js reads it, and its map of characters, empty if it has
    none."""
    proto = sentencepiece_proto.ModelProto.FromString(model)
    normalizer = proto.normalizer_spec
    return {
        "kind": properties(model)["model_type"],
        "pieces": [piece.piece for piece in proto.pieces],
        "scores": [piece.score for piece in proto.pieces],
        "types": "".join(TYPES[piece.type] for piece in proto.pieces),
        "prefix": normalizer.add_dummy_prefix,
        "trim": normalizer.remove_extra_whitespaces,
        "bytes": proto.trainer_spec.byte_fallback,
        "surface": proto.trainer_spec.unk_surface,
    }, normalizer.precompiled_charsmap
