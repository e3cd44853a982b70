"""Hostile files for tests/test_fuzz.py: hypothesis strategies that damage the bytes of a file, or
change the fields of its JSON."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

# JSON texts that Python's writer would not make, or not in reasonable time; they stand where a
# field's value stood.
RAW = (
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1e999",
        "1" * 5_000,
        "-" + "9" * 400,
        "1e-999",
        "0x10",
        "01",
        "+1",
        "1_0",
        "tru",
        "",
    ),
    *(
        '{"a": 1, "a": 2}',
        "[" * 100_000,
        '{"a":' * 3_000 + "1" + "}" * 3_000,
        "[" * 40 + "]" * 40,
        "[" + "0," * 30_000 + "0]",
        "// no",
    ),
    *(
        '"\\ud800"',
        '"a\\udfffb"',
        '"\\ud83d\\ude00"',
        '"\\u0000"',
        '"\\u202e"',
        '"\\x41"',
        '"' + "a" * 100_000 + '"',
    ),
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2,
        7,
        1.5,
        0.0,
        -0.0,
        0.1,
        1e-308,
        1e300,
        -1e300,
        1 << 20,
        (1 << 31) - 1,
        1 << 53,
        (1 << 63) - 1,
        10**30,
        10**300,
    ),
    *(
        "",
        "x",
        "1",
        "a",
        "s",
        "none",
        "valid",
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "..",
        "é",
        "\n",
        "\x1b[2J",
        "0" * 64,
        "a" * 3_000,
    ),
    *(
        [],
        {},
        [[]],
        [None],
        [0],
        [1, 2, 3],
        {"": None},
        {"a": 1},
        [[0.2, 0.3, 0.5]],
        [[1.0, 0.0, 0.0]] * 2,
    ),
)
CHUNKS = (
    b"\0",
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\r",
    b"\n",
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b",",
    b":",
    b"\\",
    b"0",
    b"-",
    b"e9",
    b"\0" * 4096,
)
Path = tuple[Any, ...]


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """`content` with one to three places flipped, cut, blanked, repeated, moved, or with something
    put in."""
    made = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        start, length = (
            draw(st.integers(0, max(len(made) - 1, 0))),
            draw(st.sampled_from((1, 2, 8, 33, 257, 1 << 20))),
        )
        block = bytes(made[start : start + length])
        how = draw(
            st.sampled_from(("flip", "cut", "end", "repeat", "move", "blank", "chunk", "bytes"))
        )
        if how == "flip" and made:
            made[start] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del made[start : start + length]
        elif how == "end":
            del made[start:]
        elif how == "repeat":
            made[start:start] = block * draw(st.integers(1, 3))
        elif how == "move":
            del made[start : start + length]
            place = draw(st.integers(0, len(made)))
            made[place:place] = block
        elif how == "blank":
            made[start : start + length] = bytes(len(block))
        else:
            made[start:start] = (
                draw(st.sampled_from(CHUNKS)) if how == "chunk" else draw(st.binary(max_size=40))
            )
    return bytes(made)


def places(value: Any, prefix: Path = ()) -> list[Path]:
    """The way to every value inside `value`."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [
        place for key, item in inner for place in [(*prefix, key), *places(item, (*prefix, key))]
    ]


def _at(value: Any, place: Path) -> Any:
    for key in place:
        value = value[key]
    return value


@st.composite
def changed(draw: st.DrawFn, value: Any) -> bytes:
    """The JSON text of `value` after one or two changes of its fields."""
    whole, raw = {"": copy.deepcopy(value)}, {}
    for _ in range(draw(st.sampled_from((1, 1, 1, 2)))):
        if not (known := places(whole)):
            break
        place = draw(st.sampled_from(known))
        holder, key = _at(whole, place[:-1]), place[-1]
        how = draw(st.sampled_from(tuple(CHANGES)))
        if how == "raw":
            mark = f"raw {len(raw)}"
            raw[json.dumps(mark)] = draw(st.sampled_from(RAW))
            holder[key] = mark
        else:
            CHANGES[how](draw, holder, key, whole)
    text = json.dumps(whole.get(""))
    for mark, replacement in raw.items():
        text = text.replace(mark, replacement)
    return text.encode("utf-8", "surrogatepass")


def _any(draw: st.DrawFn, holder: Any, key: Any, whole: Any) -> None:
    holder[key] = copy.deepcopy(draw(st.sampled_from(VALUES)))


def _missing(draw: st.DrawFn, holder: Any, key: Any, whole: Any) -> None:
    del holder[key]


def _extra(draw: st.DrawFn, holder: Any, key: Any, whole: Any) -> None:
    if isinstance(holder, dict):
        holder[draw(st.sampled_from(("colour", "", "schema", str(key) + " ")))] = holder[key]
    else:
        holder.insert(key, copy.deepcopy(holder[key]))


def _near(draw: st.DrawFn, holder: Any, key: Any, whole: Any) -> None:
    """Another value of the same kind: what only a look at the other fields can tell."""
    value = holder[key]
    if isinstance(value, bool):
        holder[key] = not value
    elif isinstance(value, int):
        holder[key] = draw(
            st.sampled_from((value + 1, value - 1, 2 * value, -value, value // 2, value * 1000))
        )
    elif isinstance(value, float):
        holder[key] = draw(
            st.sampled_from((value * 1.01, value / 2, -value, value + 1, value * 1e6, 0.0))
        )
    elif isinstance(value, str):
        holder[key] = draw(
            st.sampled_from((value + "a", value[:-1], value.upper(), value[::-1], 2 * value, ""))
        )
    elif isinstance(value, list):
        holder[key] = draw(
            st.sampled_from((value[:-1], value + value[:1], value[::-1], value * 2, [], [value]))
        )


def _swap(draw: st.DrawFn, holder: Any, key: Any, whole: Any) -> None:
    """With the value of another place, unless one is inside the other."""
    place = draw(st.sampled_from(places(whole)))
    other, there = _at(whole, place[:-1]), place[-1]
    mine, theirs = copy.deepcopy(holder[key]), copy.deepcopy(other[there])
    holder[key] = theirs
    with contextlib.suppress(LookupError, TypeError):
        _at(whole, place[:-1])[there] = mine


CHANGES: dict[str, Callable[..., None] | None] = {
    "any": _any,
    "missing": _missing,
    "extra": _extra,
    "near": _near,
    "swap": _swap,
    "raw": None,
}


@st.composite
def changed_lines(draw: st.DrawFn, content: bytes) -> bytes:
    """JSON lines of which one is changed, or stands twice, or has changed places with another."""
    lines = content.splitlines()
    number, other = draw(st.integers(0, len(lines) - 1)), draw(st.integers(0, len(lines) - 1))
    how = draw(st.sampled_from(("change", "change", "change", "twice", "swap", "missing")))
    if how == "change":
        lines[number] = draw(changed(json.loads(lines[number])))
    elif how == "twice":
        lines.insert(other, lines[number])
    elif how == "swap":
        lines[number], lines[other] = lines[other], lines[number]
    else:
        del lines[number]
    return b"".join(line + b"\n" for line in lines)


def json_file(content: bytes) -> st.SearchStrategy[bytes]:
    """A JSON file, damaged or changed."""
    return st.one_of(damaged(content), changed(json.loads(content)), changed(json.loads(content)))


def json_lines(content: bytes) -> st.SearchStrategy[bytes]:
    """A file of JSON lines, damaged or changed."""
    return st.one_of(damaged(content), changed_lines(content), changed_lines(content))


@st.composite
def number_lines(draw: st.DrawFn, content: bytes) -> bytes:
    """A file of a number a line, damaged, or with other numbers."""
    if draw(st.booleans()):
        return draw(damaged(content))
    lines, odd = (
        content.splitlines(),
        (
            b"-1",
            b"1.5",
            b"",
            b" 1",
            b"1 2",
            b"1_0",
            b"0x1",
            b"nan",
            b"inf",
            b"1e3",
            b"9" * 16,
            b"9" * 5_000,
            b"\xd9\xa3",
        ),
    )
    number = draw(st.integers(0, len(lines) - 1))
    lines[number] = draw(
        st.sampled_from((*odd, b"%d" % (1 << 63), str(int(lines[number]) + 1).encode()))
    )
    return b"\n".join(lines) + b"\n"


@st.composite
def archive_member(draw: st.DrawFn, content: bytes) -> bytes:
    """A zip with a member damaged, its check sum right again, or with another member's content."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = draw(st.sampled_from(sorted(members)))
    made = members | {
        name: members[draw(st.sampled_from(sorted(members)))]
        if draw(st.integers(0, 4)) == 0
        else draw(damaged(members[name]))
    }
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for each, data in made.items():
            archive.writestr(each, data)
    return written.getvalue()


def archive_file(content: bytes) -> st.SearchStrategy[bytes]:
    """A zip, damaged itself or inside."""
    return st.one_of(damaged(content), archive_member(content), archive_member(content))
