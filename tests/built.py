"""Made-up texts and tokenizers, and `build_data` run in this process."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from par.data import sentencepiece_proto
from par.tools import build_data

SMALL = (
    *("--vocab_size=307", "--model_type=char", "--batch_size=3", "--seq_len=7"),
    "--baseline=none",
)


AWKWARD = (
    b"\xef\xbb\xbfa first line\r\n\n\r\n  two  spaces \x00 \xff\xfe\n\xe4\xb8\xad\xe6\x96\x87"
    b" \xe2\x96\x81x\n" + b"word " * 40 + b"\n\xef\xbb\xbfmark\nlast one"
)


def tiny_text(lines: int) -> str:
    rng = np.random.default_rng(0)
    nouns, verbs = ("cat", "dog", "queen", "crow"), ("sees", "hears", "feeds")
    sentences = [
        f"the {rng.choice(nouns)} {rng.choice(verbs)} the {rng.choice(nouns)} ."
        for _ in range(lines)
    ]
    return "\n".join(sentences) + "\n"


def sentences(number: int, seed: int = 1) -> list[str]:
    """Lines of a made-up language."""
    draw = np.random.default_rng(seed)
    words = ["".join("etaoinshrdlu"[int(digit)] for digit in str(i * i)) for i in range(97)]
    return [
        " ".join(words[w % 97] for w in draw.zipf(1.4, size=draw.integers(1, 17))) + " ."
        for _ in range(number)
    ]


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def run(capsys, *flags: str) -> str:
    """Runs the command in this process; returns what it printed."""
    capsys.readouterr()
    code = build_data.main(list(flags))
    captured = capsys.readouterr()
    assert code == 0, captured.err
    return captured.out


def foreign(model: bytes, drop: tuple[str, ...] = (), ordinary: tuple[str, ...] = ()) -> bytes:
    """The model as someone else would have it: special pieces last, and without the reserved
    ones."""
    proto = sentencepiece_proto.ModelProto.FromString(model)
    pieces = [p for p in proto.pieces[8:]] + [p for p in proto.pieces[:5] if p.piece not in drop]
    for piece in pieces:
        if piece.piece in ordinary:
            piece.type = piece.NORMAL
    changed = sentencepiece_proto.ModelProto.FromString(model)
    del changed.pieces[:]
    changed.pieces.extend(pieces)
    changed.trainer_spec.ClearField("eos_piece")  # the default is </s>, which is not a piece
    changed.trainer_spec.eos_id = len(pieces) - 2
    return changed.SerializeToString()


def tiny_data(root: Path) -> Path:
    """A data set of tiny texts, root/data, whose texts are root/{train,valid,test}.txt."""
    for name, lines in (("train", 400), ("valid", 40), ("test", 40)):
        (root / f"{name}.txt").write_text(tiny_text(lines))
    size = ["--vocab_size=283", "--batch_size=4", "--seq_len=8"]
    assert build_data.main([f"--input_text={root}", *size, f"--output_dir={root / 'data'}"]) == 0
    return root / "data"
