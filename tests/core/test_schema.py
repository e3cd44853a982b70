"""JSON that no artefact holds is refused, and fields are decoded as the types they have."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from par.core import schema
from par.core.errors import DataError, UsageError


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1e999}', "a number is beyond 1.8e+308"),
        (b'{"a": [-1e999]}', "a number is beyond"),
        (b"[" + b"9" * 400 + b"]", "a number is beyond"),
        (b"1" * 5_000, "Exceeds the limit"),
        (b"NaN", "NaN is not a JSON number"),
        (b'{"a": "x\\udc80"}', "'x\\udc80' holds half a character"),
        (b'{"\\ud800": 1}', "half a character"),
        (b'"\xed\xa0\x80"', "invalid continuation byte"),
        (b'{"a": 1, "a": 2}', "a key twice in one object"),
        (b"[" * 18 + b"]" * 18, "nested more than 16 deep"),
        (b'{"a":' * 900 + b"1" + b"}" * 900, "nested more than 16 deep"),
        (b"[" * 100_000, "nested more than 16 deep"),
        (b"[" + b"0," * (1 << 21) + b"0]", "more than 2,097,152 values"),
        (b"[" + b"{}," * (1 << 20) + b"{}]", "more than 2,097,152 values"),
    ],
    ids=lambda value: repr(value[:20]),
)
def test_what_json_allows_and_no_artefact_holds_is_refused(content, said):
    with pytest.raises(ValueError) as error:
        schema.parse_json(content)
    assert said in str(error.value)


def test_what_an_artefact_may_hold_is_read():
    content = (
        '{"a": [1.7e308, -1e-320, 123456789012345678901234567890, null, true, "é\\ud83d\\ude00"],'
        ' "": {}}'
    )
    assert schema.parse_json(content.encode()) == {
        "a": [1.7e308, -1e-320, 123456789012345678901234567890, None, True, "é😀"],
        "": {},
    }
    assert schema.parse_json(b"[" * 17 + b"]" * 17)


@dataclasses.dataclass(frozen=True)
class Part:
    name: str
    size: int


@dataclasses.dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    shares: dict[str, float]
    notes: dict[str, Any]
    done: bool


VALUE = {
    "parts": [{"name": "a", "size": 0}, {"name": "b", "size": (1 << 53) - 1}],
    "shares": {"x": 0.5},
    "notes": {"y": [None]},
    "done": False,
}


def test_a_dataclass_is_decoded_with_all_that_it_holds():
    whole = schema.decode(Whole, VALUE, "artefact")
    assert whole.parts == (Part("a", 0), Part("b", (1 << 53) - 1))
    assert dataclasses.asdict(whole) == VALUE | {"parts": tuple(VALUE["parts"])}


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("done", 0, "artefact: done must be of type bool, but is 0"),
        ("shares", {"x": 1}, "artefact: shares.x must be of type float, but is 1"),
        ("shares", [], "artefact: shares must be of type dict"),
        ("parts", {}, "artefact: parts must be of type tuple"),
        (
            "parts",
            [{"name": "a", "size": True}],
            r"parts\[0\]: size .* is True",
        ),
        ("parts", [{"name": "a", "size": -1}], r"parts\[0\]: size .* is -1"),
        ("parts", [{"name": "a", "size": 1 << 53}], "size must be of type int"),
        ("parts", [{"name": "a"}], r"parts\[0\] must have exactly the keys name, size; .*'size'"),
        ("parts", [3], r"parts\[0\] must have exactly the keys name, size; .*3"),
        ("more", 1, r"must have exactly the keys parts, .*\['more'\]"),
    ],
    ids=str,
)
def test_a_field_of_another_type_is_named_where_it_stands(key, value, said):
    with pytest.raises(UsageError, match=said):
        schema.decode(Whole, VALUE | {key: value}, "artefact")


def test_only_the_whole_number_is_a_schema():
    assert schema.is_schema({"schema": 1}, 1)
    for value in ({"schema": True}, {"schema": 1.0}, {"schema": 2}, {}, [1], None):
        assert not schema.is_schema(value, 1)


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0", "x" * 256])
def test_what_can_not_be_the_name_of_a_file_is_refused(name):
    schema.check_name("x" * 255, "name")
    schema.check_name("..a", "name")
    with pytest.raises(UsageError, match="where must be a name of 1 to 255 characters"):
        schema.check_name(name, "where")


def test_a_sha256_is_64_small_hexadecimal_digits():
    schema.check_sha256("0123456789abcdef" * 4, "hash")
    for text in ("a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n"):
        with pytest.raises(UsageError, match="is not a SHA-256"):
            schema.check_sha256(text, "hash")


def test_numbers_are_near_relative_to_the_larger():
    assert schema.is_near(1e6, 1e6 + 0.5) and schema.is_near(-3.0, -3.0) and schema.is_near(0, 0)
    assert not schema.is_near(1e6, 1e6 + 2) and not schema.is_near(0, 1e-9)
    assert not schema.is_near(1.0, -1.0) and schema.is_near(1.0, 1.2, tolerance=0.2)


def test_json_that_is_written_is_read_again_and_equal_values_have_equal_canonical_text(tmp_path):
    value = {"b": ["é", 1.5, None], "a": {}}
    schema.write_json(tmp_path / "file", value)
    assert schema.read_json(tmp_path / "file", "file") == value
    assert schema.canonical_json(value) == '{"a":{},"b":["\\u00e9",1.5,null]}'
    for content, said in (("[1]", "must hold a JSON object, not a list"), ("{", "not valid JSON")):
        (tmp_path / "file").write_text(content)
        with pytest.raises(DataError, match=f"file {tmp_path}/file .*{said}"):
            schema.read_json(tmp_path / "file", "file")
    with pytest.raises(ValueError):
        schema.write_json(tmp_path / "nan", {"a": float("nan")})
    assert not (tmp_path / "nan").exists()
