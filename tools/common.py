"""What the commands share: flags generated from the settings, start-up, and one line with an exit
code for every error."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import os
import re
import shlex
import signal
import sys
import tempfile
import textwrap
import threading
import traceback
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TextIO, TypeVar

from absl import flags

from par.core import config, files
from par.core.errors import (
    DataError,
    ParError,
    ResourceError,
    SettingError,
    StoppedError,
    UsageError,
    one_line,
)

RECIPES = Path(__file__).resolve().parent / "recipes"
# one of each set on the command line replaces a recipe's other
ALTERNATIVES = ({"architecture", "num_blocks"}, {"corpus", "input_text"})
# a recipe gives them for its own model_type; one on the command line replaces them, too
TOKENIZER = {"vocab_size", "lowercase"}
REPEATED = ";\n    repeat this option"  # what absl adds to the help of a repeatable flag
TEMPORARY_BYTES = 1 << 16  # far above any function that AutoGraph rewrites
OUT_OF_MEMORY = "out of memory: lower batch_size, seq_len, mem_len or d_model"
GroupType = TypeVar("GroupType", bound=config.Group)


class Section(NamedTuple):
    """Flags that --help and docs/flags.md list under one title. group: whose settings they are;
    None for flags of the tool alone."""

    title: str
    names: list[str]
    group: type[config.Group] | None = None


class Flags(flags.FlagValues):
    """The flags of one tool. Nothing is registered globally, so that several tools can live in one
    process."""

    def __init__(self, doc: str):
        super().__init__()
        self.__dict__["doc"] = doc
        self.__dict__["sections"] = []

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
            _define(self, field, kind, None if inherited else field.default)
        self.sections.append(Section(title, [field.name for field, _ in chosen], cls))
        return self

    def read(self, cls: type[GroupType], **given: Any) -> GroupType:
        """The group as the flags say it; what is given goes before its flag. Raises: UsageError
        for a value that fails a check."""
        fields = [field for field, _ in config.fields(cls) if field.name in self]
        values = {
            field.name: (
                () if self.word(cls, field.name) == config.NONE else getattr(self, field.name)
            )
            for field in fields
        } | given
        return cls(
            **{
                name: tuple(value) if isinstance(value, list) else value
                for name, value in values.items()
            }
        )

    def given(self, cls: type[config.Group]) -> dict[str, Any]:
        """The inherited settings of a group that were typed, by name."""
        return {
            field.name: value
            for field, _ in config.fields(cls)
            if field.name in self and (value := getattr(self, field.name)) is not None
        }

    def word(self, cls: type[config.Group], name: str) -> str | None:
        """The word that a setting's flag was given in place of numbers. Raises: UsageError for a
        word beside anything else."""
        words = cls.words(name)
        given = set(getattr(self, name)) if words else set()
        if given & set(words) and len(given) > 1:
            raise UsageError(
                f"{name} must be numbers, or {' or '.join(words)} alone, but are"
                f" {', '.join(map(str, getattr(self, name)))}"
            )
        return next(iter(given & set(words)), None)

    def own(self, title: str, *definitions: tuple[Callable, str, Any, str]) -> Flags:
        """Adds flags of this tool alone: (flags.DEFINE_..., name, default, help)."""
        for define, name, default, text in definitions:
            define(name, default, text, flag_values=self)
        self.sections.append(Section(title, [name for _, name, _, _ in definitions]))
        return self

    def usage(self) -> str:
        """The text of --help."""
        return "\n".join([self.doc.strip(), "", *self.options()]).strip()

    def options(self) -> list[str]:
        """The lines of --help that tell the flags."""
        lines = []
        for title, names, _ in self.sections:
            lines.append(f"{title}:")
            for name in names:
                flag, choices = self[name], self.choices(name)
                repeatable = " (repeatable)" if isinstance(flag, flags.MultiFlag) else ""
                shown = repeatable + (
                    f" (default {self.default(name)})" if self.default(name) else ""
                )
                text = self.reason(name) + (": " + "|".join(choices) if choices else "") + shown
                label = f"  --{'[no]' if flag.boolean else ''}{name}"
                lines += textwrap.wrap(
                    text, 118, initial_indent=f"{label:<25} ", subsequent_indent=" " * 26
                )
        return lines

    def choices(self, name: str) -> list[str]:
        """The values that a flag may have, [] where it is not a choice."""
        return list(getattr(self[name].parser, "enum_values", None) or ())

    def default(self, name: str) -> str:
        """A flag's default as one would type it, several values with commas between; "" where
        there is none."""
        default = self[name].default
        return (
            ""
            if default is None
            else ", ".join(map(typed, default if isinstance(default, list) else [default]))
        )

    def reason(self, name: str) -> str:
        """What a flag does, as it was defined: without the choices and the advice to repeat it,
        which absl puts around it."""
        text = self[name].help.split(REPEATED)[0]
        return text.split(">: ", 1)[1] if self.choices(name) else text


def typed(value: Any) -> str:
    """The value of a flag as one would type it: `0.05`, `12000`, `true`, or the text itself."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def choice(*values: str, repeatable: bool = False) -> Callable:
    """A definition for `Flags.own` of a flag that takes one of `values`, or several if it is
    repeatable."""

    def define(name: str, default: Any, text: str, flag_values: flags.FlagValues) -> None:
        kind = flags.DEFINE_multi_enum if repeatable else flags.DEFINE_enum
        kind(name, default, list(values), text, flag_values=flag_values)

    return define


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


def expand_recipe(arguments: list[str], known: flags.FlagValues) -> list[str]:
    """Puts the flags of `--recipe=NAME|FILE` first, leaving out those that the command line gives
    itself and those of other tools.

    A recipe holds the settings of the data and of the training in one file; each tool takes those
    that it has.
    Raises: UsageError if there is no such recipe or it holds a flag that no setting has.
    """
    recipe = _value_of("recipe", arguments)
    if recipe is None or "recipe" not in known:
        return arguments
    given = {_flag_name(argument) for argument in arguments}
    for names in ALTERNATIVES:
        if given & names:
            given |= names
    if "model_type" in given:
        given |= TOKENIZER
    lines = recipe_lines(recipe)
    return [
        line for line in lines if _flag_name(line) in known and _flag_name(line) not in given
    ] + arguments


def recipe_lines(recipe: str) -> list[str]:
    """The flags of a recipe, without blank lines, comments (#) and --undefok, by which absl reads
    it as a --flagfile of any tool.

    Raises: UsageError if there is no such recipe or a line is no setting.
    """
    path = Path(recipe) if recipe.endswith(".flags") else RECIPES / f"{recipe}.flags"
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        names = ", ".join(sorted(p.stem for p in RECIPES.glob("*.flags")))
        raise UsageError(
            f"recipe {recipe!r} does not exist: choose one of {names}, or the path of a .flags"
            " file"
        ) from None
    lines = [
        line
        for line in map(str.strip, text.splitlines())
        if line and not line.startswith(("#", "--undefok="))
    ]
    for line in lines:
        if _flag_name(line) not in _settings():
            raise UsageError(
                f"recipe {path} holds the unknown flag {line!r}: give one setting a line,"
                " --name=value"
            )
    return lines


def cutoffs_beside(recipe: str | None, vocab_size: int) -> str | None:
    """What --cutoffs must be beside a recipe for `train` to take it: `none` where the recipe's own
    do not lie below the vocabulary, else None."""
    values = (
        [line.partition("=")[2] for line in recipe_lines(recipe) if _flag_name(line) == "cutoffs"]
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


def _flag_name(argument: str) -> str:
    """`epochs` of `--epochs=5`, `lowercase` of `--nolowercase`; empty for what is not a flag."""
    if not argument.startswith("-"):
        return ""
    name = argument.removeprefix("-").removeprefix("-").split("=", 1)[0]
    return name[2:] if name.startswith("no") and _settings().get(name[2:]) is bool else name


def _value_of(name: str, arguments: list[str]) -> str | None:
    """The last value given to a flag, written `--name=value` or `--name value`."""
    found = None
    for argument, following in zip(arguments, [*arguments[1:], None]):
        if _flag_name(argument) == name:
            found = argument.split("=", 1)[1] if "=" in argument else following
    return found


def run(values: Flags, work: Callable[[Flags], int | None], argv: list[str] | None = None) -> int:
    """Parses `argv` (without the program's name) into `values`, does the work, and turns what
    happens into an exit code.

    Every error a user can cause is one line on stderr; a traceback is shown only for a defect of
    this program.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # what a terminal's encoding has no sign for is shown by its code, as on stderr
        sys.stdout.reconfigure(errors="backslashreplace")
    before = (
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        if threading.current_thread() is threading.main_thread()
        else None
    )
    try:
        if {"--help", "-help", "-h", "--helpfull", "--helpshort"} & set(arguments):
            print(values.usage())
            code = 0
        else:
            _parse(values, arguments)
            _check_text(values)
            code = work(values) or 0
        sys.stdout.flush()
        return code
    except SettingError as error:
        return _fail(error.of_flags(values), error.exit_code)
    except ParError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted before there was anything to save", StoppedError.exit_code)
    except MemoryError:
        return _fail(OUT_OF_MEMORY, ResourceError.exit_code)
    except BrokenPipeError:  # the reader of our output left, as `| head` does
        _discard_output()
        return 0
    except OSError as error:
        if error.errno in files.DISK_FULL:
            if error.filename is None:
                _discard_output()
            return _fail(
                f"can't write {error.filename or 'the output'} ({error.strerror}):"
                f" {files.DISK_ERRORS[error.errno]}",
                ResourceError.exit_code,
            )
        # a path that the user named, or one below it: missing, a directory, not permitted
        if error.filename is not None:
            return _fail(f"{error.filename}: {error.strerror}", UsageError.exit_code)
        return _defect(error)
    except Exception as error:
        # TensorFlow's; the module may not be loaded here
        if type(error).__name__ == "ResourceExhaustedError":
            return _fail(f"{OUT_OF_MEMORY}, or use another --sampling", ResourceError.exit_code)
        return _defect(error)
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def _discard_output() -> None:
    """If stdout takes no more, what is left in its buffer has nowhere to go: the interpreter must
    not try again when it exits."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parse(values: Flags, arguments: list[str]) -> None:
    """Raises: UsageError in one line for everything that absl refuses (which raises ValueError for
    `--nojson=1`)."""
    values.unparse_flags()
    try:
        arguments = values.read_flags_from_files(arguments, force_gnu=False)
        rest = values(["tool", *expand_recipe(_one_value_a_flag(arguments, values), values)])[1:]
    except ParError:
        raise
    except (flags.Error, ValueError) as error:
        # absl prints a tuple
        said = re.sub(
            r"\('Non-boolean argument to boolean flag', (.*)\)",
            r"must be true or false, but is \1",
            str(error),
        )
        raise UsageError(f"{said}; see --help") from None
    if rest:
        raise UsageError(
            f"unexpected argument {rest[0]!r}: every option is a flag, --name=value; see --help"
        )


def _check_text(values: Flags) -> None:
    """Raises: UsageError for a flag or a working directory that is not UTF-8: TensorFlow opens no
    such path, and no artefact can name it."""
    given = {f"--{name}": values[name].value for name in values}
    with contextlib.suppress(FileNotFoundError):  # another process removed it
        given["the working directory"] = os.getcwd()
    for where, value in given.items():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and not text.isascii() and re.search("[\ud800-\udfff]", text):
                raise UsageError(
                    f"{where} must be UTF-8, but is {text!r}: give a text or a name that is"
                )


def _one_value_a_flag(arguments: Sequence[str], known: flags.FlagValues) -> list[str]:
    """`--run=A --run=B` for `--run A B`, if the flag is repeatable: what a shell makes of `--run
    logs/*`."""
    rest, out = list(arguments), []
    while rest:
        out.append(flag := rest.pop(0))
        name = _flag_name(flag)
        if rest and "=" not in flag and name in known and isinstance(known[name], flags.MultiFlag):
            out.append(rest.pop(0))
            while rest and not rest[0].startswith("-"):
                out.append(f"{flag}={rest.pop(0)}")
    return out


def _defect(error: Exception) -> int:
    traceback.print_exception(error)
    return _fail(f"unexpected {type(error).__name__}: please report the lines above", 1)


def _fail(message: str, code: int) -> int:
    print(f"error: {one_line(message)}", file=sys.stderr)
    return code


def refuse_idle(values: Flags, names: Sequence[str], beside: str = "", without: str = "") -> None:
    """Raises: UsageError if one of these flags was typed `beside` another, or `without` one, where
    it changes nothing."""
    for name in names:
        if values[name].present and values[name].value is not False:
            where, remedy = (
                (f"beside --{beside}", "leave one of both out")
                if beside
                else (f"without --{without}", f"add --{without}, or leave it out")
            )
            raise UsageError(f"--{name} has no effect {where}: {remedy}")


def picture(path: str, flag: str, formats: Sequence[str] = (".png",)) -> Path:
    """Where a picture goes. Raises: UsageError unless its name ends as one of `formats`, in which
    it is written; what `files.check_writable` does."""
    if Path(path).suffix.lower() not in formats:
        raise UsageError(f"--{flag} must end with {' or '.join(formats)}, but is {path!r}")
    files.check_writable(Path(path))
    return Path(path)


def command(tool: str, **named: Any) -> str:
    """The command line of another tool, called as this one was: by its script, or by the name that
    pip installed."""
    program = (
        f"par-{tool}" if Path(sys.argv[0]).name.startswith("par-") else f"python tools/{tool}.py"
    )
    return " ".join(
        [
            program,
            *(f"--{name}={shlex.quote(str(value))}" for name, value in named.items() if value),
        ]
    )


def required_dir(path: str | None, flag: str, artefact: str) -> Path:
    """The directory that a flag names. Raises: UsageError if the flag is missing or several runs
    are given for one, DataError if the directory lacks `artefact`."""
    if not path:
        raise UsageError(f"--{flag}=DIR is required; see --help")
    if not (Path(path) / artefact).is_file():
        from par.train import seeds

        if several := seeds.find_runs(Path(path)) if artefact == "config.json" else {}:
            first = next(iter(several.values()))
            raise UsageError(
                f"--{flag}={path} holds {len(several)} seeds: give one of them, such as {first};"
                " derive --rule=consensus --plot takes all together"
            )
        maker = "build_data" if artefact == "manifest.json" else "train"
        raise DataError(
            f"--{flag}={path} has no {artefact}: give a directory that tools/{maker}.py made"
        )
    return Path(path)


def opened(run: str | None, data: str | None = None) -> tuple[Any, Path, Any]:
    """Settings (par.train.run_config.RunConfig), data directory and manifest of a trained run.
    data: where the data is now; None: where the run remembers it.

    Raises: UsageError, DataError as `required_dir` does; DataError if the run or the data is
    damaged, or the data is not the run's.
    """
    from par.train import run_config

    config, remembered = run_config.load(required_dir(run, "run", "config.json"))
    data_dir = required_dir(data or str(remembered), "data", "manifest.json")
    return config, data_dir, run_config.load_manifest(run, config, data_dir)


def start_tensorflow(distribute: str = "none", num_devices: int = 0) -> Any:
    """Imports TensorFlow quietly, with deterministic ops and GPUs that grow their memory; returns
    the tf.distribute.Strategy (par.train.distributed.workers.strategy).

    TensorFlow writes to file descriptor 2 at import and at its first op whatever the log level
    says. If the import fails, that text is shown.
    Raises: ResourceError if no temporary file can be written; UsageError if the devices are not
    there.
    """
    check_temporary_files()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # whatever a user's keras.json says
    # two ops side by side, each on one core: measured 1.2 to 1.3 times the steps of each op on
    # both
    if (os.cpu_count() or 1) <= 2:
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    with silenced_stderr() as stderr:
        import tensorflow as tf

        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
        tf.config.experimental.enable_op_determinism()
        # it warns where one function becomes many graphs; each network needs its own
        tf.get_logger().setLevel("ERROR")
        from par.train.distributed import workers

        strategy = workers.strategy(
            distribute, num_devices, lambda line: print(line, file=stderr, flush=True)
        )
        tf.constant(0.0) + 1.0
    return strategy


def check_temporary_files() -> None:
    """For work that starts TensorFlow late. Raises: ResourceError if no temporary file can be
    written.

    AutoGraph writes the code that it makes to temporary files; where it can't, it leaves loops as
    they are, and training fails late.
    """
    try:
        with tempfile.NamedTemporaryFile() as file:
            file.write(bytes(TEMPORARY_BYTES))
    except FileNotFoundError as error:  # of none of the usual directories could be written
        raise ResourceError(
            f"{error.strerror}, each must take {TEMPORARY_BYTES:,} bytes: free some disk space, or"
            " name one by TMPDIR"
        ) from None
    except OSError as error:
        raise files.write_error(
            Path(tempfile.gettempdir()) / "temporary files", TEMPORARY_BYTES, error
        ) from None


@contextlib.contextmanager
def silenced_stderr() -> Iterator[TextIO]:
    """Nothing is written to file descriptor 2, to which C++ libraries log, unless the block fails:
    then all of it is. Yields the stderr that is seen.

    What a user can cause (ParError) is told without it.
    """
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as captured, os.fdopen(saved, "w") as seen:
        os.dup2(captured.fileno(), 2)
        try:
            yield seen
        except ParError:
            raise
        except Exception:
            os.dup2(saved, 2)
            captured.seek(0)
            sys.stderr.write(captured.read().decode("utf-8", "replace"))
            raise
        finally:
            os.dup2(saved, 2)
