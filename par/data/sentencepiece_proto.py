"""SentencePiece's model file as protobuf messages.

The sentencepiece package has a generated module of the same messages, but that of version 0.2.3
refuses every protobuf before 7.36.1, and Apache Beam every protobuf from 7 on. The descriptor
alone works with both, and with what TensorFlow takes.
"""

from __future__ import annotations

from google.protobuf import descriptor_pool, message_factory

# sentencepiece_model_pb2.DESCRIPTOR.serialized_pb of sentencepiece 0.2.3; a test compares the two
DESCRIPTOR = (
    b'\n\x19sentencepiece_model.proto\x12\rsentencepiece"\xe9\x0c\n\x0bTrainerSpec\x12\r\n'
    b"\x05input\x18\x01 \x03(\t\x12\x14\n\x0cinput_format\x18\x07 \x01(\t\x12\x14\n\x0cmode"
    b"l_prefix\x18\x02 \x01(\t\x12A\n\nmodel_type\x18\x03 \x01(\x0e2$.sentencepiece.Trainer"
    b"Spec.ModelType:\x07UNIGRAM\x12\x18\n\nvocab_size\x18\x04 \x01(\x05:\x048000\x12'\n"
    b"\x12character_coverage\x18\n \x01(\x02:\x0b0.999499977\x12\x1e\n\x13input_sentence_si"
    b"ze\x18\x0b \x01(\x04:\x010\x12$\n\x16shuffle_input_sentence\x18\x13 \x01(\x08:\x04tru"
    b"e\x12(\n\x17seed_sentencepiece_size\x18\x0e \x01(\x05:\x071000000\x12\x1e\n\x10shrink"
    b"ing_factor\x18\x0f \x01(\x02:\x040.75\x12!\n\x13max_sentence_length\x18\x12 \x01(\x05"
    b":\x044192\x12\x17\n\x0bnum_threads\x18\x10 \x01(\x05:\x0216\x12\x1d\n\x12num_sub_iter"
    b"ations\x18\x11 \x01(\x05:\x012\x12$\n\x18max_sentencepiece_length\x18\x14 \x01(\x05:"
    b"\x0216\x12%\n\x17split_by_unicode_script\x18\x15 \x01(\x08:\x04true\x12\x1d\n\x0fspli"
    b"t_by_number\x18\x17 \x01(\x08:\x04true\x12!\n\x13split_by_whitespace\x18\x16 \x01("
    b"\x08:\x04true\x12)\n\x1atreat_whitespace_as_suffix\x18\x18 \x01(\x08:\x05false\x12+\n"
    b"\x1callow_whitespace_only_pieces\x18\x1a \x01(\x08:\x05false\x12\x1b\n\x0csplit_digit"
    b"s\x18\x19 \x01(\x08:\x05false\x12#\n\x19pretokenization_delimiter\x185 \x01(\t:\x00"
    b"\x12\x17\n\x0fcontrol_symbols\x18\x1e \x03(\t\x12\x1c\n\x14user_defined_symbols\x18"
    b"\x1f \x03(\t\x12\x16\n\x0erequired_chars\x18$ \x01(\t\x12\x1c\n\rbyte_fallback\x18# "
    b"\x01(\x08:\x05false\x12+\n\x1dvocabulary_output_piece_score\x18  \x01(\x08:\x04true"
    b'\x12\x1e\n\x10hard_vocab_limit\x18! \x01(\x08:\x04true\x12\x1c\n\ruse_all_vocab\x18" '
    b"\x01(\x08:\x05false\x12\x11\n\x06unk_id\x18( \x01(\x05:\x010\x12\x11\n\x06bos_id\x18)"
    b" \x01(\x05:\x011\x12\x11\n\x06eos_id\x18* \x01(\x05:\x012\x12\x12\n\x06pad_id\x18+ "
    b"\x01(\x05:\x02-1\x12\x18\n\tunk_piece\x18- \x01(\t:\x05<unk>\x12\x16\n\tbos_piece\x18"
    b". \x01(\t:\x03<s>\x12\x17\n\teos_piece\x18/ \x01(\t:\x04</s>\x12\x18\n\tpad_piece\x18"
    b'0 \x01(\t:\x05<pad>\x12\x1a\n\x0bunk_surface\x18, \x01(\t:\x05 \xe2\x81\x87 \x12"\n'
    b"\x18seed_sentencepieces_file\x186 \x01(\t:\x00\x12&\n\x17auto_character_coverage\x187"
    b" \x01(\x08:\x05false\x12\x1b\n\x0faccept_language\x18\x05 \x03(\tB\x02\x18\x01\x12$\n"
    b"\x15self_test_sample_size\x18\x06 \x01(\x05:\x010B\x02\x18\x01\x12 \n\x14mining_sente"
    b'nce_size\x18\x0c \x01(\x05B\x02\x18\x01\x12"\n\x16training_sentence_size\x18\r \x01('
    b"\x05B\x02\x18\x01\x12/\n\x1ctrain_extremely_large_corpus\x181 \x01(\x08:\x05falseB"
    b"\x02\x18\x01\x12.\n\x1benable_differential_privacy\x182 \x01(\x08:\x05falseB\x02\x18"
    b"\x01\x12/\n differential_privacy_noise_level\x183 \x01(\x02:\x010B\x02\x18\x01\x126\n"
    b"'differential_privacy_clipping_threshold\x184 \x01(\x04:\x010B\x02\x18\x01\"5\n\tMode"
    b"lType\x12\x0b\n\x07UNIGRAM\x10\x01\x12\x07\n\x03BPE\x10\x02\x12\x08\n\x04WORD\x10\x03"
    b'\x12\x08\n\x04CHAR\x10\x04*\t\x08\xc8\x01\x10\x80\x80\x80\x80\x02"\xd1\x01\n\x0eNorma'
    b"lizerSpec\x12\x0c\n\x04name\x18\x01 \x01(\t\x12\x1c\n\x14precompiled_charsmap\x18\x02"
    b" \x01(\x0c\x12\x1e\n\x10add_dummy_prefix\x18\x03 \x01(\x08:\x04true\x12&\n\x18remove_"
    b"extra_whitespaces\x18\x04 \x01(\x08:\x04true\x12 \n\x12escape_whitespaces\x18\x05 "
    b"\x01(\x08:\x04true\x12\x1e\n\x16normalization_rule_tsv\x18\x06 \x01(\t*\t\x08\xc8\x01"
    b"\x10\x80\x80\x80\x80\x02\"\xcf\x03\n\nModelProto\x127\n\x06pieces\x18\x01 \x03(\x0b2'"
    b".sentencepiece.ModelProto.SentencePiece\x120\n\x0ctrainer_spec\x18\x02 \x01(\x0b2\x1a"
    b".sentencepiece.TrainerSpec\x126\n\x0fnormalizer_spec\x18\x03 \x01(\x0b2\x1d.sentencep"
    b"iece.NormalizerSpec\x128\n\x11denormalizer_spec\x18\x05 \x01(\x0b2\x1d.sentencepiece."
    b"NormalizerSpec\x1a\xd2\x01\n\rSentencePiece\x12\r\n\x05piece\x18\x01 \x01(\t\x12\r\n"
    b"\x05score\x18\x02 \x01(\x02\x12B\n\x04type\x18\x03 \x01(\x0e2,.sentencepiece.ModelPro"
    b'to.SentencePiece.Type:\x06NORMAL"T\n\x04Type\x12\n\n\x06NORMAL\x10\x01\x12\x0b\n\x07U'
    b"NKNOWN\x10\x02\x12\x0b\n\x07CONTROL\x10\x03\x12\x10\n\x0cUSER_DEFINED\x10\x04\x12\x08"
    b"\n\x04BYTE\x10\x06\x12\n\n\x06UNUSED\x10\x05*\t\x08\xc8\x01\x10\x80\x80\x80\x80\x02*"
    b"\t\x08\xc8\x01\x10\x80\x80\x80\x80\x02J\x04\x08\x04\x10\x05B\x02H\x03"
)

# of its own: the package's module, where it is imported, has the same names
_pool = descriptor_pool.DescriptorPool()
_pool.AddSerializedFile(DESCRIPTOR)
ModelProto, SentencePiece, TrainerSpec = (
    message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"sentencepiece.{name}"))
    for name in ("ModelProto", "ModelProto.SentencePiece", "TrainerSpec")
)
