"""Recipes: settings by name, one a line of a .flags file, which stand before the command line."""

from __future__ import annotations

import functools
from pathlib import Path

from absl import flags

from par.core import config
from par.core.errors import UsageError
from par.core.progress import announce
from par.data import importers, manifest, own_text
from par.tools.cli.paths import expand_user

RECIPES = Path(__file__).resolve().parent.parent / "recipes"
AUTO = "auto"  # in place of a recipe: QUICK for a small text, else BASE
QUICK, BASE = "quick", "base"
SMALL_CORPORA = ("python-docs", "wikitext-2-small")  # tools/setup_venv.sh names them, too
SMALL_BYTES = 4 << 20  # of train; about a million pieces
# a flag of a set on the command line replaces the recipe's other flag of that set
ALTERNATIVES = ({"architecture", "num_blocks"}, set(config.TEXTS))
# a recipe sets them for its own model_type; a model_type on the command line drops them
TOKENIZER = {"vocab_size", "lowercase"}


def expand_recipe(arguments: list[str], known: flags.FlagValues) -> list[str]:
    """Puts the flags of `--recipe=NAME|FILE` first, leaving out those that the command line gives
    itself and those of other tools.

    A recipe holds the settings of the data and of the training; each tool takes those it has.
    Raises: UsageError if there is no such recipe or it holds a flag that no setting has.
    """
    recipe = _value_of("recipe", arguments)
    if recipe is None or "recipe" not in known:
        return arguments
    if recipe == AUTO:
        recipe = recipe_by_size(arguments)
        arguments = [*arguments, f"--recipe={recipe}"]
    given = {flag_name(argument) for argument in arguments}
    for names in ALTERNATIVES:
        if given & names:
            given |= names
    if "model_type" in given:
        given |= TOKENIZER
    lines = recipe_lines(recipe)
    return [
        line for line in lines if flag_name(line) in known and flag_name(line) not in given
    ] + arguments


def recipe_by_size(arguments: list[str]) -> str:
    """The recipe for the data set, the corpus or the text that a command line names, by the bytes
    of its train split; says which.

    Raises: UsageError if it names none; DataError if there is no such data.
    """
    data, text, corpus, documents = (
        _value_of(name, arguments) for name in ("data", "input_text", "corpus", "input_documents")
    )
    if data:
        size = manifest.load(Path(expand_user(data))).splits["train"].bytes
    elif text and "://" in text:
        announce(f"recipe {BASE}: the size of a text behind a URL is not known")
        return BASE
    elif text:
        size = own_text.train_bytes(text, config.DataConfig.default("split_fractions"))
    elif documents:
        size = importers.train_bytes(documents, config.DataConfig.default("split_fractions")[0])
    elif corpus:
        return QUICK if corpus in SMALL_CORPORA else BASE
    else:
        raise UsageError(
            f"--recipe={AUTO} chooses by the size of the text: give --data, --input_text,"
            " --input_documents or --corpus, or name a recipe"
        )
    recipe = QUICK if size < SMALL_BYTES else BASE
    side = "below" if recipe == QUICK else "at least"
    announce(f"recipe {recipe}: train has {size:,} bytes, {side} {SMALL_BYTES:,}")
    return recipe


def recipe_lines(recipe: str) -> list[str]:
    """The flags of a recipe, without blank lines, comments (#) and --undefok, by which absl reads
    it as a --flagfile of any tool.

    Raises: UsageError if there is no such recipe or a line is not a setting.
    """
    if recipe.endswith(".flags"):
        path = Path(expand_user(recipe))
    else:
        path = RECIPES / f"{recipe}.flags"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        names = ", ".join(sorted(p.stem for p in RECIPES.glob("*.flags")))
        raise UsageError(
            f"--recipe={recipe} does not exist: choose one of {names}, {AUTO}, or the path of a"
            " .flags file"
        ) from None
    lines = [
        line
        for line in map(str.strip, text.splitlines())
        if line and not line.startswith(("#", "--undefok="))
    ]
    for line in lines:
        if flag_name(line) not in _settings():
            raise UsageError(
                f"recipe {path} holds the unknown flag {line!r}: give one setting a line,"
                " --name=value"
            )
    return lines


def cutoffs_beside(recipe: str | None, vocab_size: int) -> str | None:
    """What --cutoffs must be beside a recipe for `train` to take it: `none` where the recipe's own
    do not lie below the vocabulary, else None."""
    values = (
        [line.partition("=")[2] for line in recipe_lines(recipe) if flag_name(line) == "cutoffs"]
        if recipe
        else []
    )
    return (
        config.NONE
        if any(value.isdecimal() and int(value) >= vocab_size for value in values)
        else None
    )


@functools.cache
def _settings() -> dict[str, type]:
    """What a recipe may hold: every setting with its type, and the architecture."""
    named = {"architecture": str, "num_blocks": int}
    return named | {
        field.name: kind for group in config.GROUPS for field, kind in config.fields(group)
    }


def flag_name(argument: str) -> str:
    """`epochs` of `--epochs=5`, `lowercase` of `--nolowercase`; empty for what is not a flag."""
    if not argument.startswith("-"):
        return ""
    name = argument.removeprefix("-").removeprefix("-").split("=", 1)[0]
    return name[2:] if name.startswith("no") and _settings().get(name[2:]) is bool else name


def _value_of(name: str, arguments: list[str]) -> str | None:
    """The last value given to a flag, written `--name=value` or `--name value`."""
    found = None
    for argument, following in zip(arguments, [*arguments[1:], None]):
        if flag_name(argument) == name:
            found = argument.split("=", 1)[1] if "=" in argument else following
    return found
