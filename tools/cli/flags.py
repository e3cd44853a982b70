"""The flags of a tool: generated from the settings, or its own, with the text of --help."""

from __future__ import annotations

import dataclasses
import textwrap
import typing
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

from absl import flags

from par.core import config
from par.core.errors import UsageError
from par.objectives import DEFAULT, OBJECTIVES
from par.tools.cli.paths import expand_user

REPEATED = ";\n    repeat this option"  # what absl adds to the help of a repeatable flag
GroupType = TypeVar("GroupType", bound=config.Group)


class Section(NamedTuple):
    """Flags that --help and docs/flags.md list under one title. group: whose settings they are;
    None for flags of the tool alone."""

    title: str
    names: list[str]
    group: type[config.Group] | None = None


class Flags(flags.FlagValues):
    """The flags of one tool. Nothing is global, so that several tools can live in one process."""

    def __init__(self, doc: str | None):
        super().__init__()
        self.__dict__["doc"] = doc or ""  # PYTHONOPTIMIZE=2 leaves docstrings out
        self.__dict__["sections"] = []
        self.__dict__["positional"] = None  # the flag that takes what is not a flag

    def group(
        self,
        cls: type[config.Group],
        title: str,
        only: Sequence[str] = (),
        inherited: bool = False,
    ) -> Flags:
        """Adds a flag for every setting of a group, or for those named, with the setting's
        default, reason and choices.

        inherited: there is no default, as the settings come from a run; `given` has those that
        were typed.
        """
        chosen = [
            (field, kind) for field, kind in config.fields(cls) if not only or field.name in only
        ]
        for field, kind in chosen:
            if not self._is_shared(field, kind):
                _define(self, field, kind, None if inherited else field.default)
        self.sections.append(Section(title, [field.name for field, _ in chosen], cls))
        return self

    def _is_shared(self, field: dataclasses.Field, kind: type) -> bool:
        """Whether a setting of several groups has its flag already: one of the same values, whose
        default and reason are those of each group."""
        groups = [config.fields(each.group) for each in self.sections if each.group]
        name, values = _named((field, kind))
        return any(dict(map(_named, own)).get(name) == values for own in groups)

    def objectives(self) -> Flags:
        """Adds --objective, and a flag for every setting that an objective brings."""
        what = "what the network learns to predict"
        self.own("Objective", (choice(*OBJECTIVES), "objective", DEFAULT, what))
        for contract in OBJECTIVES.values():
            if contract.settings:
                self.group(contract.settings, f"Objective {contract.name}")
        return self

    @property
    def of_objectives(self) -> list[str]:
        """The names of the flags that `objectives` adds."""
        groups = [each.settings for each in OBJECTIVES.values() if each.settings]
        return ["objective", *dict.fromkeys(name for own in groups for name in _names(own))]

    def read_objective(self) -> config.Group | None:
        """The settings of --objective as the flags say them; None if it has none. Raises:
        UsageError for a setting of another objective, or a value that fails a check."""
        own = OBJECTIVES[self.objective].settings
        known = _names(own)
        for name in self.of_objectives[1:]:
            if name in known or not self[name].present:
                continue
            known_to = (each for each in OBJECTIVES.values() if name in _names(each.settings))
            owners = " or ".join(each.name for each in known_to)
            raise UsageError(
                f"--{name} is a setting of --objective={owners}, but the objective is"
                f" {self.objective}: leave the flag out, or give --objective={owners}"
            )
        return self.read(own).as_typed() if own else None

    def read(self, cls: type[GroupType], **given: Any) -> GroupType:
        """The group as the flags say it; what is given goes before its flag. Raises: UsageError
        for a value that fails a check."""
        fields = [field for field, _ in config.fields(cls) if field.name in self]
        values = {
            field.name: (() if self.word(cls, field.name) == config.NONE else self._value(field))
            for field in fields
        } | given
        return cls(
            **{
                name: tuple(value) if isinstance(value, list) else value
                for name, value in values.items()
            }
        )

    def _value(self, field: dataclasses.Field) -> Any:
        """What a flag says of a group's setting; without the flag, the group's own default."""
        return field.default if self[field.name].using_default_value else self[field.name].value

    def given(self, cls: type[config.Group]) -> dict[str, Any]:
        """The inherited settings of a group that were typed, by name."""
        return {
            field.name: value
            for field, _ in config.fields(cls)
            if field.name in self and (value := getattr(self, field.name)) is not None
        }

    def completed(self, cls: type[GroupType]) -> GroupType:
        """The group with the inherited settings that were typed, else its own defaults. Raises:
        UsageError for a value that fails a check."""
        given = self.given(cls)
        words = {name: self.word(cls, name) for name in given}
        for name, word in words.items():
            if word not in (None, config.NONE):
                raise UsageError(
                    f"--{name}={word} is not found by this command: give numbers, or {config.NONE}"
                )
        values = {name: () if words[name] else value for name, value in given.items()}
        return cls(
            **{
                name: tuple(value) if isinstance(value, list) else value
                for name, value in values.items()
            }
        )

    def word(self, cls: type[config.Group], name: str) -> str | None:
        """The word that a setting's flag was given in place of numbers. Raises: UsageError for a
        word beside anything else."""
        words = cls.words(name)
        given = set(getattr(self, name)) if words else set()
        if given & set(words) and len(given) > 1:
            raise UsageError(
                f"--{name} must be numbers, or {' or '.join(words)} alone, but are"
                f" {', '.join(map(str, getattr(self, name)))}"
            )
        return next(iter(given & set(words)), None)

    def own(self, title: str, *definitions: tuple[Callable, str, Any, str]) -> Flags:
        """Adds flags of this tool alone: (flags.DEFINE_..., name, default, help)."""
        for define, name, default, text in definitions:
            define(name, default, text, flag_values=self)
        self.sections.append(Section(title, [name for _, name, _, _ in definitions]))
        return self

    def takes_arguments_as(self, name: str) -> Flags:
        """Lets arguments that are not flags be values of this one: `save RUN` for
        `save --run=RUN`."""
        self.__dict__["positional"] = name
        self.set_gnu_getopt()
        return self

    def usage(self) -> str:
        """The text of --help."""
        return "\n".join([self.doc.strip(), "", *self.options()]).strip()

    def options(self) -> list[str]:
        """The lines of --help that tell the flags."""
        lines = []
        for title, names, group in self.sections:
            lines.append(f"{title}:")
            for name in names:
                flag, choices = self[name], self.choices(name)
                repeatable = " (repeatable)" if isinstance(flag, flags.MultiFlag) else ""
                default = self.default(name, group)
                shown = repeatable + (f" (default {default})" if default else "")
                values = f": {'|'.join(choices)}" if choices else ""
                text = f"{self.reason(name, group)}{values}{shown}"
                label = f"  --{'[no]' if flag.boolean else ''}{name}"
                lines += textwrap.wrap(
                    text, 118, initial_indent=f"{label:<25} ", subsequent_indent=" " * 26
                )
        return lines

    def choices(self, name: str) -> list[str]:
        """The values that a flag may have, [] where it is not a choice."""
        return list(getattr(self[name].parser, "enum_values", None) or ())

    def default(self, name: str, group: type[config.Group] | None = None) -> str:
        """A flag's default as one would type it, several values with commas between; "" where
        there is none. group: the one whose setting it is; several may share a flag."""
        default = self[name].default
        if group and default is not None:
            own = group.default(name)
            default = list(own) if isinstance(own, tuple) else own
        return (
            ""
            if default is None
            else ", ".join(map(typed, default if isinstance(default, list) else [default]))
        )

    def reason(self, name: str, group: type[config.Group] | None = None) -> str:
        """What a flag does, as it was defined: without the choices and the advice to repeat it,
        which absl puts around it. group: as for `default`."""
        if group:
            return group.reason(name)
        text = self[name].help.split(REPEATED)[0]
        return text.split(">: ", 1)[1] if self.choices(name) else text


def _names(cls: type[config.Group] | None) -> list[str]:
    """The names of a group's settings; of None none."""
    return [field.name for field, _ in config.fields(cls)] if cls else []


def _named(setting: tuple[dataclasses.Field, type]) -> tuple[str, tuple]:
    """The name of a setting, and which values it may have."""
    field, kind = setting
    rules = {name: rule for name, rule in field.metadata.items() if name != "reason"}
    return field.name, (kind, rules)


def typed(value: Any) -> str:
    """The value of a flag as one would type it: `0.05`, `12000`, `true`, or the text itself."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def choice(*values: str, repeatable: bool = False) -> Callable:
    """For `Flags.own`: a flag that takes one of `values`, or several if it is repeatable."""

    def define(name: str, default: Any, text: str, flag_values: flags.FlagValues) -> None:
        kind = flags.DEFINE_multi_enum if repeatable else flags.DEFINE_enum
        kind(name, default, list(values), text, flag_values=flag_values)

    return define


def define_path(name: str, default: Any, text: str, flag_values: flags.FlagValues) -> None:
    """A definition for `Flags.own` of a flag that takes a path."""
    flags.DEFINE(PathParser(), name, default, text, flag_values, flags.ArgumentSerializer())


def define_paths(name: str, default: Any, text: str, flag_values: flags.FlagValues) -> None:
    """A definition for `Flags.own` of a repeatable flag that takes a path."""
    flags.DEFINE_multi(
        PathParser(), flags.ArgumentSerializer(), name, default, text, flag_values=flag_values
    )


class PathParser(flags.ArgumentParser):
    """Parses a path, in which a leading `~` is a home directory."""

    def parse(self, argument: Any) -> str:
        return expand_user(super().parse(argument))


class _IntegerOr(flags.IntegerParser):
    """Parses an integer, or leaves a word as it is."""

    def __init__(self, words: tuple[str, ...]):
        super().__init__()
        self._words = words

    def parse(self, argument: Any) -> int | str:
        return argument if argument in self._words else super().parse(argument)


def _define(values: flags.FlagValues, field: dataclasses.Field, kind: type, default: Any) -> None:
    name, text = field.name, field.metadata["reason"]
    item = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else None
    if field.metadata["choices"]:
        flags.DEFINE_enum(name, default, list(field.metadata["choices"]), text, flag_values=values)
    elif field.metadata["is_path"]:
        define_path(name, default, text, flag_values=values)
    elif item is None:
        define = {
            str: flags.DEFINE_string,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            bool: flags.DEFINE_bool,
        }[kind]
        define(name, default, text, flag_values=values)
    elif words := field.metadata["words"]:
        flags.DEFINE_multi(
            _IntegerOr(words),
            flags.ArgumentSerializer(),
            name,
            None if default is None else list(default),
            text,
            flag_values=values,
        )
    else:
        define = {
            str: flags.DEFINE_multi_string,
            int: flags.DEFINE_multi_integer,
            float: flags.DEFINE_multi_float,
        }[item]
        define(name, None if default is None else list(default), text, flag_values=values)
