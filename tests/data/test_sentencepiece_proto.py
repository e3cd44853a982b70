"""SentencePiece's messages, made at run time, against those that the package generated."""

from __future__ import annotations

import pytest
from google.protobuf import descriptor_pb2, runtime_version

from par.data import sentencepiece_proto

try:
    from sentencepiece import sentencepiece_model_pb2 as generated
except runtime_version.VersionError as error:  # beside Apache Beam
    pytest.skip(
        f"the package's own messages can't be imported with this protobuf: {error}",
        allow_module_level=True,
    )


def fields(message: descriptor_pb2.DescriptorProto) -> dict:
    """What decides about a message's bytes."""
    enums = {
        enum.name: {value.name: value.number for value in enum.value} for enum in message.enum_type
    }
    named = {
        field.name: (
            field.number,
            field.type,
            field.label,
            field.type_name.split(".")[-1],
            field.default_value,
        )
        for field in message.field
    }
    return {"enums": enums, "fields": named}


def test_the_messages_are_those_of_the_sentencepiece_package():
    theirs = descriptor_pb2.FileDescriptorProto.FromString(generated.DESCRIPTOR.serialized_pb)
    nested = [inner for message in theirs.message_type for inner in message.nested_type]
    expected = {message.name: fields(message) for message in [*theirs.message_type, *nested]}
    assert {
        message.name: fields(message) for message in sentencepiece_proto.schema().message_type
    } == expected


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
