"""Text to ids and back, as the network was trained: par-transformer-xl's cleaning and
SentencePiece.

A text is lines; each, the last one too, ends with EOS.
"""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import sentencepiece

PAD, UNK, BOS, EOS, MASK = range(5)
SPECIAL = 8  # ids below are special: of these, only EOS is written


class Tokenizer:
    """The SentencePiece model of an export, tokenizer.model."""

    def __init__(self, directory: str | Path):
        path, config = Path(directory) / "tokenizer.model", Path(directory) / "config.json"
        self._pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))
        # it makes one UNK of unknown words that follow one another: so words go one by one
        self._is_word = json.loads(config.read_text(encoding="utf-8"))["model_type"] == "word"

    def encode(self, text: str | bytes) -> list[int]:
        """The ids of a text; an empty one has none."""
        cleaned = clean(text)
        if cleaned and not cleaned.endswith("\n"):
            cleaned += "\n"
        return self.prompt(cleaned)

    def prompt(self, text: str | bytes) -> list[int]:
        """The ids of the beginning of a text: its last line goes on."""
        *lines, last = clean(text).split("\n")
        ids = [token for line in lines for token in [*self._line(line), EOS]]
        return ids + self._line(last)

    def decode(self, ids: list[int]) -> str:
        """The text of ids, a line end for each EOS."""
        lines: list[list[int]] = [[]]
        for token in map(int, ids):
            if token == EOS:
                lines.append([])
            else:
                lines[-1].append(token)
        return "\n".join(self._pieces.decode(line) for line in lines)

    def pieces(self, ids: list[int]) -> list[str]:
        """The piece of each id; ▁ stands for a space."""
        return [self._pieces.id_to_piece(int(token)) for token in ids]

    def _line(self, line: str) -> list[int]:
        parts = line.split() if self._is_word else [line]
        return [token for part in parts for token in self._pieces.encode(part)]


def clean(text: str | bytes) -> str:
    """Without byte order mark, LF for CRLF, U+FFFD for NUL, invalid UTF-8 and half characters."""
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    data = data.removeprefix(codecs.BOM_UTF8).replace(b"\r\n", b"\n")
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")
