"""SentencePiece's messages, made at run time, against those that the package generated."""

from __future__ import annotations

import pytest
from google.protobuf import runtime_version

from par.data import sentencepiece_proto

try:
    from sentencepiece import sentencepiece_model_pb2 as generated
except runtime_version.VersionError as error:  # beside Apache Beam
    pytest.skip(
        f"the package's own messages can't be imported with this protobuf: {error}",
        allow_module_level=True,
    )


def test_the_descriptor_is_that_of_the_sentencepiece_package():
    assert generated.DESCRIPTOR.serialized_pb == sentencepiece_proto.DESCRIPTOR


def test_a_model_with_every_field_gives_the_same_bytes():
    theirs = generated.ModelProto(
        trainer_spec={
            "model_type": "BPE",
            "input": ["a", "b"],
            "pad_id": 7,
            "unk_surface": "?",
            "self_test_sample_size": 3,
        }
    )
    theirs.pieces.add(piece="▁x", score=-1.5, type="BYTE")
    theirs.normalizer_spec.name = "nfkc_cf"
    ours = sentencepiece_proto.ModelProto.FromString(theirs.SerializeToString())
    assert (
        ours.trainer_spec.unk_surface == "?"
        and ours.pieces[0].type == sentencepiece_proto.SentencePiece.BYTE
    )
    assert ours.SerializeToString(deterministic=True) == theirs.SerializeToString(
        deterministic=True
    )
    assert (
        sentencepiece_proto.ModelProto().trainer_spec.unk_surface
        == generated.ModelProto().trainer_spec.unk_surface
        == " ⁇ "
    )
