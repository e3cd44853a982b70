"""JSON artefacts: read and written within bounds, and decoded into the types of a dataclass."""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import types
import typing
from pathlib import Path
from typing import Any

from par.core import files
from par.core.errors import DataError, UsageError

# far above any artefact but a manifest (par/data/manifest.py): refuses to parse what can't be one
MAX_JSON_BYTES = 1 << 20
MAX_VALUES = 1 << 21  # of a JSON text; the largest manifest has 1.5 million
MAX_DEPTH = 16  # far above any artefact's
TOO_DEEP = f"it is nested more than {MAX_DEPTH} deep"
MAX_INTEGER = 1 << 53
MAX_NAME = 255  # characters; most file systems take as many bytes


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, hence equal hashes."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, indented by two, atomically."""
    files.write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, what: str, limit: int = MAX_JSON_BYTES) -> dict[str, Any]:
    """Reads a JSON object of at most `limit` bytes.

    Raises: DataError if the file is missing, too large, not JSON, or not an object; `what` names
    the artefact in the message.
    """
    content = files.read_bytes(path, what, limit)
    try:
        value = parse_json(content)
    except ValueError as error:
        raise DataError(
            f"{what} {path} is not valid JSON ({str(error).splitlines()[0]})"
        ) from None
    if not isinstance(value, dict):
        raise DataError(f"{what} {path} must hold a JSON object, not a {type(value).__name__}")
    return value


def parse_json(content: bytes) -> Any:
    """Parses a JSON text. Raises: ValueError if it is not JSON, or holds what no artefact does:
    invalid UTF-8, lone surrogates, NaN, numbers beyond float64, a key twice in one object, more
    than MAX_VALUES values, or brackets nested more than MAX_DEPTH deep."""
    # counted before they take memory
    if sum(content.count(mark) for mark in (b",", b"[", b"{")) > MAX_VALUES:
        raise ValueError(f"it has more than {MAX_VALUES:,} values")
    try:
        value = json.loads(
            content.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_unique
        )
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    _check_values(value)
    return value


def _check_values(value: Any) -> None:
    """Checks what Python's json accepts. Raises: ValueError. Goes level by level, as a value may
    be nested deeper than Python's calls."""
    level, depth = [value], 0
    while level:
        if depth > MAX_DEPTH:
            raise ValueError(TOO_DEEP)
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item
                below += item.values()
            elif isinstance(item, list):
                below += item
            elif isinstance(item, str):
                if not item.isascii() and any("\ud800" <= char <= "\udfff" for char in item):
                    raise ValueError(f"{item[:40]!r} holds half a character (a lone surrogate)")
            elif item is not None and abs(item) > sys.float_info.max:
                raise ValueError(f"a number is beyond {sys.float_info.max:.1e}")
        level, depth = below, depth + 1


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("it has a key twice in one object")
    return value


def decode(kind: Any, value: Any, where: str) -> Any:
    """Converts a JSON value to the type `kind`: a dataclass, whose keys must be exactly its
    fields, a tuple or a dict of one type, str, bool, float, or an int of 0 or more.

    where: how a message names the value. Raises: UsageError that says where it does not fit.
    """
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        if not isinstance(value, dict) or set(value) != set(hints):
            odd = sorted(set(value) ^ set(hints)) if isinstance(value, dict) else repr(value)[:80]
            raise UsageError(
                f"{where} must have exactly the keys {', '.join(hints)}; unknown or missing: {odd}"
            )
        return kind(
            **{name: decode(hint, value[name], f"{where}: {name}") for name, hint in hints.items()}
        )
    if hasattr(kind, "from_json"):
        return kind.from_json(value, where)
    container, arguments = typing.get_origin(kind), typing.get_args(kind)
    if container is types.UnionType:
        if value is None and types.NoneType in arguments:
            return None
        fitting = [each for each in arguments if each is type(value)]
        kinds = fitting or [each for each in arguments if each is not types.NoneType]
        return decode(kinds[0], value, where)
    if container is tuple and isinstance(value, list):
        return tuple(decode(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if container is dict and isinstance(value, dict):
        return {
            name: item if arguments[1] is Any else decode(arguments[1], item, f"{where}.{name}")
            for name, item in value.items()
        }
    if (
        container is None
        and type(value) is kind
        and not (kind is int and not 0 <= value < MAX_INTEGER)
    ):
        return value
    raise UsageError(
        f"{where} must be of type {getattr(container or kind, '__name__', kind)}, but is"
        f" {repr(value)[:80]}"
    )


def encode(value: Any) -> Any:
    """The JSON value that `decode` converts back: keys in the order of the fields."""
    if dataclasses.is_dataclass(value):
        return {
            field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
    if hasattr(value, "to_json"):
        return value.to_json()
    if isinstance(value, dict):
        return {name: encode(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    return value


def is_schema(value: Any, schema: int) -> bool:
    """Whether an artefact has this schema number: an int, not a bool or float equal to it."""
    return (
        isinstance(value, dict) and type(value.get("schema")) is int and value["schema"] == schema
    )


def check_name(name: str, where: str) -> None:
    """Checks a name that becomes part of a file's name. Raises: UsageError."""
    if not 0 < len(name) <= MAX_NAME or "/" in name or "\0" in name or name in (".", ".."):
        raise UsageError(
            f"{where} must be a name of 1 to {MAX_NAME} characters without /, but is {name[:80]!r}"
        )


def check_sha256(text: str, where: str) -> None:
    """Checks that a text is a SHA-256, 64 hexadecimal digits. Raises: UsageError."""
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise UsageError(f"{where} {text[:80]!r} is not a SHA-256")


def is_near(value: float, other: float, tolerance: float = 1e-6) -> bool:
    """Whether two numbers agree up to rounding."""
    return abs(value - other) <= tolerance * max(abs(value), abs(other))
