"""A group of settings: a frozen dataclass whose fields carry default, reason and check.

The flags of the tools, the JSON of a run and docs/flags.md are made from these fields.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from typing import Any, Self

from par.core.errors import SettingError, UsageError

NONE = "none"  # what a flag takes for no numbers


def setting(
    default: Any,
    reason: str,
    *,
    choices: tuple = (),
    minimum: float | None = None,
    maximum: float | None = None,
    words: tuple[str, ...] = (),
    is_path: bool = False,
    is_duration: bool = False,
    is_later: bool = False,
) -> Any:
    """A dataclass field with its reason (the flag's help) and its bounds (both inclusive).

    A setting whose default is None may stay None: it is left open.
    words: what its flag takes instead of numbers. NONE stands for no numbers, where a recipe has
    some; any other word is replaced by numbers before the group is made, which holds no words.
    is_path: a leading `~` of its flag is a home directory. is_duration: a float that is a whole
    number of steps, or below 1 a share of a run's steps (`in_steps`). is_later: files of before it
    was there lack it, which stands for the default; it must leave everything as it was.
    """
    rules = {"choices": choices, "minimum": minimum, "maximum": maximum, "words": words}
    rules["is_duration"] = is_duration
    about = {"reason": reason, "is_path": is_path, "is_later": is_later}
    return dataclasses.field(default=default, metadata=about | rules)


def duration(default: float, reason: str) -> Any:
    """A setting that is a whole number of steps, or below 1 a share of a run's steps
    (`in_steps`)."""
    return setting(default, reason, minimum=0, maximum=1 << 30, is_duration=True)


@dataclasses.dataclass(frozen=True)
class Group:
    """Base of the groups: values are checked at construction; converts to and from JSON."""

    def __post_init__(self) -> None:
        for field, kind in fields(type(self)):
            value = getattr(self, field.name)
            if typing.get_origin(kind) is tuple:
                if not isinstance(value, (list, tuple)):
                    raise SettingError(
                        f"{field.name} must be a list, but is {value!r}", field.name
                    )
                checked = tuple(_checked(field, typing.get_args(kind)[0], item) for item in value)
            else:
                checked = _checked(field, kind, value)
            object.__setattr__(self, field.name, checked)

    @classmethod
    def choices(cls, name: str) -> tuple[str, ...]:
        """The values that a setting may have; () if it is not a choice."""
        return cls._rule(name, "choices")

    @classmethod
    def default(cls, name: str) -> Any:
        """What a setting is if it is not given."""
        return next(field.default for field, _ in fields(cls) if field.name == name)

    @classmethod
    def reason(cls, name: str) -> str:
        """What a setting does."""
        return cls._rule(name, "reason")

    @classmethod
    def maximum(cls, name: str) -> float:
        """The largest value that a setting may have."""
        return cls._rule(name, "maximum")

    @classmethod
    def words(cls, name: str) -> tuple[str, ...]:
        """The words that a setting's flag takes instead of numbers."""
        return cls._rule(name, "words")

    @classmethod
    def _rule(cls, name: str, rule: str) -> Any:
        return next(field.metadata[rule] for field, _ in fields(cls) if field.name == name)

    def as_typed(self) -> Self:
        """The settings of flags: with what files hold in the place of their names."""
        return self

    def to_json(self) -> dict[str, Any]:
        """The settings as JSON values; tuples become lists."""
        return {
            field.name: (
                list(value) if isinstance(value := getattr(self, field.name), tuple) else value
            )
            for field, _ in fields(type(self))
        }

    def to_identity(self) -> dict[str, Any]:
        """`to_json` without settings that came later and have their defaults: what tells the
        settings of any version from others."""
        of_before = {
            field.name
            for field, _ in fields(type(self))
            if field.metadata["is_later"] and getattr(self, field.name) == field.default
        }
        return {name: value for name, value in self.to_json().items() if name not in of_before}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        """Inverse of `to_json`. Raises: UsageError for unknown or missing keys and for values that
        fail a check."""
        if not isinstance(value, dict):
            raise UsageError(f"{cls.__name__} must be a JSON object, but is {value!r}")
        known = {field.name for field, _ in fields(cls)}
        later = {field.name for field, _ in fields(cls) if field.metadata["is_later"]}
        if not known - later <= set(value) <= known:
            unknown = sorted(set(value) - known)
            missing = sorted(known - later - set(value))
            raise UsageError(
                f"{cls.__name__} must have exactly the keys {', '.join(sorted(known))}; unknown:"
                f" {unknown}, missing: {missing}"
            )
        return cls(**value)


def _checked(field: dataclasses.Field, kind: type, item: Any) -> Any:
    """A value of a setting, converted to `kind`. Raises: SettingError with the setting's name, the
    rule and the value."""
    name, rules = field.name, field.metadata
    if item is None and field.default is None:
        return None
    accepted = (int, float) if kind is float else kind
    if not isinstance(item, accepted) or (isinstance(item, bool) and kind is not bool):
        raise SettingError(f"{name} must be of type {kind.__name__}, but is {item!r}", name)
    if kind is float:
        if not abs(item) <= sys.float_info.max:
            raise SettingError(f"{name} must be finite, but is {item!r}", name)
        item = float(item)
    if rules["is_duration"] and (item >= 1 or item == 0):
        if not item.is_integer():
            raise SettingError(
                f"{name} must be a whole number of steps, or a share of the run's steps below 1,"
                f" but is {item!r}",
                name,
            )
        item = int(item)
    if rules["choices"] and item not in rules["choices"]:
        raise SettingError(
            f"{name} must be one of {', '.join(map(str, rules['choices']))}, but is {item!r}", name
        )
    if rules["minimum"] is not None and item < rules["minimum"]:
        raise SettingError(f"{name} must be at least {rules['minimum']}, but is {item!r}", name)
    if rules["maximum"] is not None and item > rules["maximum"]:
        raise SettingError(f"{name} must be at most {rules['maximum']}, but is {item!r}", name)
    return item


def in_steps(duration: float, total_steps: int) -> int:
    """A duration in steps: as it is, or below 1 a share of `total_steps`."""
    return int(duration) if duration >= 1 else round(duration * total_steps)


def fields(cls: type) -> list[tuple[dataclasses.Field, type]]:
    """The fields of a group with their types, without the None of an optional one."""
    hints = typing.get_type_hints(cls)
    return [(field, _without_none(hints[field.name])) for field in dataclasses.fields(cls)]


def _without_none(hint: Any) -> Any:
    return typing.get_args(hint)[0] if type(None) in typing.get_args(hint) else hint
