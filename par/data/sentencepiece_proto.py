"""SentencePiece's model file as protobuf messages.

The sentencepiece package has a generated module of the same messages, but its version 0.2.3
refuses every protobuf before 7.36.1, and Apache Beam
every protobuf from 7 on. Messages made from their fields at run time work with both, and with what
TensorFlow takes. A test holds that these are the
package's fields: the same model gives the same bytes.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE = "sentencepiece"
ENUMS = {  # of a message: its enum's values
    "TrainerSpec": ("ModelType", {"UNIGRAM": 1, "BPE": 2, "WORD": 3, "CHAR": 4}),
    "SentencePiece": (
        "Type",
        {"NORMAL": 1, "UNKNOWN": 2, "CONTROL": 3, "USER_DEFINED": 4, "BYTE": 6, "UNUSED": 5},
    ),
}
FIELDS = {  # number, type (* repeated; a message's or an enum's by its name), name, default
    "TrainerSpec": (
        """
        1 string* input
        7 string input_format
        2 string model_prefix
        3 ModelType model_type UNIGRAM
        4 int32 vocab_size 8000
        10 float character_coverage 0.999499977
        11 uint64 input_sentence_size 0
        19 bool shuffle_input_sentence true
        14 int32 seed_sentencepiece_size 1000000
        15 float shrinking_factor 0.75
        18 int32 max_sentence_length 4192
        16 int32 num_threads 16
        17 int32 num_sub_iterations 2
        20 int32 max_sentencepiece_length 16
        21 bool split_by_unicode_script true
        23 bool split_by_number true
        22 bool split_by_whitespace true
        24 bool treat_whitespace_as_suffix false
        26 bool allow_whitespace_only_pieces false
        25 bool split_digits false
        53 string pretokenization_delimiter
        30 string* control_symbols
        31 string* user_defined_symbols
        36 string required_chars
        35 bool byte_fallback false
        32 bool vocabulary_output_piece_score true
        33 bool hard_vocab_limit true
        34 bool use_all_vocab false
        40 int32 unk_id 0
        41 int32 bos_id 1
        42 int32 eos_id 2
        43 int32 pad_id -1
        45 string unk_piece <unk>
        46 string bos_piece <s>
        47 string eos_piece </s>
        48 string pad_piece <pad>
        44 string unk_surface \u0020⁇\u0020
        54 string seed_sentencepieces_file
        55 bool auto_character_coverage false
        5 string* accept_language
        6 int32 self_test_sample_size 0
        12 int32 mining_sentence_size
        13 int32 training_sentence_size
        49 bool train_extremely_large_corpus false
        50 bool enable_differential_privacy false
        51 float differential_privacy_noise_level 0
        52 uint64 differential_privacy_clipping_threshold 0"""
    ),
    "NormalizerSpec": (
        """
        1 string name
        2 bytes precompiled_charsmap
        3 bool add_dummy_prefix true
        4 bool remove_extra_whitespaces true
        5 bool escape_whitespaces true
        6 string normalization_rule_tsv"""
    ),
    "SentencePiece": (
        """
        1 string piece
        2 float score
        3 Type type NORMAL"""
    ),
    "ModelProto": (
        """
        1 SentencePiece* pieces
        2 TrainerSpec trainer_spec
        3 NormalizerSpec normalizer_spec
        5 NormalizerSpec denormalizer_spec"""
    ),
}
_Field = descriptor_pb2.FieldDescriptorProto


def schema() -> descriptor_pb2.FileDescriptorProto:
    """The messages as protobuf describes them. All stand side by side: where one is nested in
    another is no part of a file's bytes."""
    file = descriptor_pb2.FileDescriptorProto(
        name="par/sentencepiece_model.proto", package=PACKAGE, syntax="proto2"
    )
    for name, fields in FIELDS.items():
        message = file.message_type.add(name=name)
        message.extension_range.add(start=200, end=1 << 29)
        if name in ENUMS:
            kind, values = ENUMS[name]
            enum = message.enum_type.add(name=kind)
            for value, number in values.items():
                enum.value.add(name=value, number=number)
        for line in fields.strip("\n").split("\n"):
            number, kind, field, *default = line.lstrip(" ").split(" ", 3)
            added = message.field.add(name=field, number=int(number))
            added.label = _Field.LABEL_REPEATED if kind.endswith("*") else _Field.LABEL_OPTIONAL
            kind = kind.removesuffix("*")
            if kind in FIELDS:
                added.type, added.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
            elif kind == ENUMS.get(name, ("",))[0]:
                added.type, added.type_name = _Field.TYPE_ENUM, f".{PACKAGE}.{name}.{kind}"
            else:
                added.type = _Field.Type.Value(f"TYPE_{kind.upper()}")
            if default:
                added.default_value = default[0]
    return file


# of its own: the package's module, where it is imported, has the same names
_pool = descriptor_pool.DescriptorPool()
_pool.Add(schema())
ModelProto, SentencePiece, TrainerSpec = (
    message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{PACKAGE}.{name}"))
    for name in ("ModelProto", "SentencePiece", "TrainerSpec")
)
