"""Valid data directories from arrays of integers, for tests of what comes after build_data."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from par.core.config import DataConfig
from par.data import records, sentencepiece_proto
from par.data.tokenizer import BOS, EOS, PAD, SPECIAL_PIECES, UNK, Tokenizer


def word_tokenizer(vocab_size: int) -> Tokenizer:
    """A word model without training: id i >= 8 is the word "w<i>"."""
    model = sentencepiece_proto.ModelProto()
    for i in range(vocab_size):
        piece = model.pieces.add(
            piece=SPECIAL_PIECES[i] if i < len(SPECIAL_PIECES) else f"▁w{i}", score=-float(i)
        )
        if i < len(SPECIAL_PIECES):
            piece.type = piece.UNKNOWN if i == UNK else piece.CONTROL
    spec = model.trainer_spec
    spec.model_type = spec.WORD
    spec.vocab_size = vocab_size
    spec.pad_id, spec.unk_id, spec.bos_id, spec.eos_id = PAD, UNK, BOS, EOS
    spec.pad_piece, spec.unk_piece, spec.bos_piece, spec.eos_piece = SPECIAL_PIECES[:4]
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = True
    return Tokenizer(model.SerializeToString(deterministic=True))


def make_data(
    data_dir: str | Path,
    train: np.ndarray,
    valid: np.ndarray,
    test: np.ndarray,
    vocab_size: int,
    batch_size: int,
    seq_len: int,
    shards: int = 1,
) -> Path:
    """Writes a data set of these token arrays [N] (ids from 8 to vocab_size - 1), each token a
    word of its own; it passes load and verify."""
    arrays = {
        name: np.asarray(tokens, np.int32)
        for name, tokens in zip(records.SPLITS, (train, valid, test))
    }
    streams = {
        name: records.Stream(
            tokens,
            lines=0,
            words=len(tokens),
            characters=len(text := "".join(f"w{token} " for token in tokens)),
            bytes=len(text),
        )
        for name, tokens in arrays.items()
    }
    settings = DataConfig(
        input_text="synthetic",
        model_type="word",
        vocab_size=max(vocab_size, 16),
        batch_size=batch_size,
        seq_len=seq_len,
        shards=shards,
    )
    digest = hashlib.sha256(
        b"".join(tokens.astype("<i4").tobytes() for tokens in arrays.values())
    ).hexdigest()
    model, counts = word_tokenizer(vocab_size), np.bincount(arrays["train"], minlength=vocab_size)
    records.write(
        data_dir,
        streams,
        tokenizer=model,
        counts=counts,
        settings=settings,
        corpus=records.CorpusId("synthetic", digest, "integers"),
        cleaning={},
    )
    return Path(data_dir)
