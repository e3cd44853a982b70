"""The fields of an artefact, read from JSON as a dataclass says: no key more or less, each of its
type. What a field may say is checked here, too."""

from __future__ import annotations

import dataclasses
import re
import typing
from typing import Any

from par.core.errors import UsageError

MAX_INTEGER = 1 << 53
MAX_NAME = 255  # characters; most file systems take as many bytes


def read(kind: Any, value: Any, where: str) -> Any:
    """`value` from JSON as the type `kind`: a dataclass, a tuple or a dict of one type, str, bool,
    float, or an int of 0 or more.

    where: how a message names it. Raises: UsageError that says where it does not fit.
    """
    if dataclasses.is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        if not isinstance(value, dict) or set(value) != set(hints):
            odd = sorted(set(value) ^ set(hints)) if isinstance(value, dict) else repr(value)[:80]
            raise UsageError(
                f"{where} must have exactly the keys {', '.join(hints)}; unknown or missing: {odd}"
            )
        return kind(
            **{name: read(hint, value[name], f"{where}: {name}") for name, hint in hints.items()}
        )
    container, arguments = typing.get_origin(kind), typing.get_args(kind)
    if container is tuple and isinstance(value, list):
        return tuple(read(arguments[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if container is dict and isinstance(value, dict):
        return {
            name: item if arguments[1] is Any else read(arguments[1], item, f"{where}.{name}")
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


def is_schema(value: Any, schema: int) -> bool:
    """Whether an artefact is of this schema. True equals 1 and 2.0 equals 2, but neither is a
    schema."""
    return (
        isinstance(value, dict) and type(value.get("schema")) is int and value["schema"] == schema
    )


def check_name(name: str, where: str) -> None:
    """For what becomes part of a file's name. Raises: UsageError unless it can be."""
    if not 0 < len(name) <= MAX_NAME or "/" in name or "\0" in name or name in (".", ".."):
        raise UsageError(
            f"{where} must be a name of 1 to {MAX_NAME} characters without /, but is {name[:80]!r}"
        )


def check_sha256(text: str, where: str) -> None:
    """Raises: UsageError unless it is 64 hexadecimal digits."""
    if not re.fullmatch("[0-9a-f]{64}", text):
        raise UsageError(f"{where} {text[:80]!r} is not a SHA-256")


def is_near(value: float, other: float, tolerance: float = 1e-6) -> bool:
    """Whether two numbers, of which one follows from the other, agree but for rounding."""
    return abs(value - other) <= tolerance * max(abs(value), abs(other))
