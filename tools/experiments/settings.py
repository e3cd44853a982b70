"""The settings of an experiment, which its figures depend on: commands, what their recipes hold,
and the defaults of all other settings of the tools."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, Sequence
from typing import Any

from par.core.config import LoggingConfig
from par.core.errors import UsageError
from par.core.setting_group import fields
from par.tools.cli.flags import Flags
from par.tools.cli.main import parse
from par.tools.cli.recipes import flag_name, recipe_lines
from par.tools.experiments.experiment import Experiment, Step


@dataclasses.dataclass(frozen=True)
class Settings:
    """commands: by step, with references; recipes: by name, those of their lines that a step's
    tool takes; defaults: by tool, of every flag that stands for a setting."""

    commands: dict[str, str]
    recipes: dict[str, tuple[str, ...]]
    defaults: dict[str, dict[str, Any]]


def flags_of(tool: str, arguments: Sequence[str] = ()) -> Flags:
    """The flags of a tool; of benchmark, those of the subject that its first argument names, if it
    names one."""
    module = importlib.import_module(f"par.tools.{tool}")
    subjects = getattr(module, "SUBJECTS", None)
    if subjects is None:
        return module.FLAGS
    return subjects[arguments[0]].FLAGS if set(arguments[:1]) & set(subjects) else module.OVERVIEW


def own_arguments(tool: str, arguments: Sequence[str]) -> list[str]:
    """The arguments without the subject of benchmark, which is not a flag."""
    subjects = getattr(importlib.import_module(f"par.tools.{tool}"), "SUBJECTS", ())
    return list(arguments[1:] if set(arguments[:1]) & set(subjects) else arguments)


def check_command(step: Step) -> None:
    """Raises: UsageError if the tool of a step has no such flags, or not with these values."""
    arguments = own_arguments(step.tool, step.arguments)
    parse(flags_of(step.tool, step.arguments), arguments)


def of_step(step: Step) -> Settings:
    """The settings of one step."""
    return Settings({step.name: step.command}, _recipes(step), {_subject(step): _defaults(step)})


def identity(step: Step) -> Settings:
    """The settings of one step without the defaults of those that came later
    (par.core.setting_group): what tells the steps of any version from others."""
    whole, later = of_step(step), set()
    for section in flags_of(step.tool, step.arguments).sections:
        if section.group:
            known = {field.name: field for field, _ in fields(section.group)}
            later |= {name for name in section.names if known[name].metadata["is_later"]}
    kept = {name: value for name, value in _defaults(step).items() if name not in later}
    return dataclasses.replace(whole, defaults={_subject(step): kept})


def of_experiment(experiment: Experiment) -> Settings:
    """The settings of all steps."""
    found = [of_step(step) for step in experiment.steps]
    return Settings(
        {name: command for each in found for name, command in each.commands.items()},
        _merged([each.recipes for each in found]),
        {tool: values for each in found for tool, values in each.defaults.items()},
    )


def differences(old: Settings, new: Settings) -> Iterator[str]:
    """How the settings of an experiment differ from those of its figures, a line each. A setting
    that is new does not count: its default leaves everything as it was."""
    yield from _changes("step", old.commands, new.commands)
    yield from _changes("recipe", old.recipes, new.recipes)
    for tool, values in old.defaults.items():
        now = new.defaults.get(tool, {})
        for name, value in values.items():
            if name not in now:
                yield f"{tool} has no --{name} any more"
            elif now[name] != value:
                yield f"the default of {tool} --{name} was {value}, and is {now[name]}"


def _changes(what: str, old: dict[str, Any], new: dict[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys([*old, *new]):
        if name not in new or name not in old:
            yield f"{what} {name} {'is new' if name in new else 'is gone'}"
        elif new[name] != old[name]:
            yield f"{what} {name} was {_shown(old[name])}, and is {_shown(new[name])}"


def _shown(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else " ".join(value)


def _recipes(step: Step) -> dict[str, tuple[str, ...]]:
    names = [
        argument.partition("=")[2]
        for argument in step.arguments
        if argument.startswith("--recipe=")
    ]
    known = flags_of(step.tool, step.arguments)
    return {
        name: tuple(line for line in recipe_lines(name) if flag_name(line) in known)
        for name in names
    }


def _merged(found: Sequence[dict[str, tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
    """What steps take of each recipe, together, in the recipe's order."""
    taken = {(name, line) for each in found for name, lines in each.items() for line in lines}
    names = dict.fromkeys(name for each in found for name in each)
    return {
        name: tuple(line for line in recipe_lines(name) if (name, line) in taken) for name in names
    }


def _subject(step: Step) -> str:
    """`train`, `benchmark softmax`."""
    arguments = own_arguments(step.tool, step.arguments)
    return " ".join([step.tool, *step.arguments[: len(step.arguments) - len(arguments)]])


def _defaults(step: Step) -> dict[str, Any]:
    """The default of every setting of the step's tool; what is logged changes no figure."""
    flags = flags_of(step.tool, step.arguments)
    found: dict[str, Any] = {}
    for section in flags.sections:
        if section.group in (None, LoggingConfig):
            continue
        for name in section.names:
            default = flags[name].default
            if name in found and default is not None:  # groups that share a flag
                own = section.group.default(name)
                default = list(own) if isinstance(own, tuple) else own
                if default == found[name]:
                    continue
                name = f"{section.title}: {name}"
            found[name] = default
    return found


def check_commands(experiment: Experiment) -> Iterator[str]:
    """What the tools refuse of an experiment's commands, a line each."""
    for step in experiment.steps:
        try:
            check_command(step)
        except UsageError as error:
            yield f"step {step.name}: {error}"
