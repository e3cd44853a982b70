"""What a compressor makes of a text behind another one."""

from __future__ import annotations

import json

import numpy as np
import pytest

import documented
from built import sentences
from par.bench import compression
from par.tools import build_data


def test_a_text_that_was_read_before_costs_nothing_and_noise_costs_all():
    noise = np.random.default_rng(1).bytes(4000)
    assert compression.primed_bits(noise, noise) < 8 * 100
    assert compression.primed_bits(b"", noise) == pytest.approx(8 * 4000, rel=0.03)
    other = np.random.default_rng(2).bytes(4000)
    assert compression.primed_bits(noise, other) == pytest.approx(8 * 4000, rel=0.03)
    assert compression.primed_bits(b"abc", b"abab", size=lambda text: len(set(text))) == 0


def test_the_command_prints_bits_of_characters(call, tmp_path):
    for name, number in (("train", 300), ("valid", 40), ("test", 40)):
        (tmp_path / f"{name}.txt").write_text("\n".join(sentences(number, seed=number)) + "\n")
    sizes = ("--batch_size=2", "--seq_len=8", "--baseline=none", "--model_type=char")
    given = (f"--input_text={tmp_path}", f"--output_dir={tmp_path / 'data'}")
    assert build_data.main([*given, *sizes]) == 0
    flags = ("benchmark", "compression", f"--data={tmp_path / 'data'}")
    done = call(*flags, "--json")
    assert done.code == 0, done.err
    value = json.loads(done.out)
    documented.check("benchmark compression --json", value)
    texts = [(tmp_path / f"{name}.txt").read_bytes() for name in ("train", "valid")]
    expected = compression.primed_bits(*texts) / len(texts[1])
    first, second = value["xz"]
    # the records leave out the end of train
    assert first["bits_per_character"] == pytest.approx(expected, rel=0.02)
    assert [first["split"], second["split"]] == ["valid", "test"]
    assert "bits per character" in call(*flags).out
    refused = call("benchmark", "compression")
    assert refused.code == 1 and refused.err.count("\n") == 1
