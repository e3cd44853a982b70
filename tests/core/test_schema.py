"""JSON that no artefact holds is refused before it is used."""

from __future__ import annotations

import pytest

from par.core import schema


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
