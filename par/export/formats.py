"""The formats that a trained network is exported in. Each is a module with

    write(source, directory) -> Written        source: a par.export.shipping.Source

and an entry here, which is known without TensorFlow. An export of one format is a directory; of
several, a directory of those, each with the name of its format.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from par.core import files
from par.core.errors import UsageError

CARD = "README.md"
UNKNOWN_LICENCE = "own text: its licence is yours to state"
# the functions of arrays that formats without TensorFlow have (par.export.array_functions)
ARRAY_FUNCTIONS = ("step", "score", "fill", "replaced", "encodings", "embed")
CHECKED_TOKENS = 1_000  # of the check that an export passes (par.export.self_check)


@dataclasses.dataclass(frozen=True)
class Format:
    """A format. is_a: what an export is, for its card. needs: what its user needs, for the same.
    mark: a file that every export has; files: patterns of all that one can have. packages: the
    modules that writing it needs beside this program's own, which the extra of its name installs.
    quantizes: the types that --quantize can round its weights to. in_f32: whether it computes in
    float32 whatever the run did. has_bases: whether it takes networks that read a base. generates:
    whether it is for networks that predict the next token alone. bytes_a_weight: how large it
    gets, where the user is told before it gets large."""

    name: str
    is_a: str
    needs: str
    module: str
    mark: str
    files: tuple[str, ...]
    packages: tuple[str, ...] = ()
    quantizes: tuple[str, ...] = ()
    in_f32: bool = True
    generates: bool = False
    has_bases: bool = True
    bytes_a_weight: float = 0.0

    def load(self) -> ModuleType:
        """The module that writes it. Imports TensorFlow."""
        return importlib.import_module(self.module)

    def check_packages(self) -> None:
        """Raises: UsageError if a package that writing it needs is not installed."""
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            raise UsageError(
                f"--format={self.name} needs {' and '.join(missing)}, which"
                f" {'is' if len(missing) == 1 else 'are'} not installed: pip install"
                f' "par-transformer-xl[{self.name}]"'
            )


# the settings, the tokenizer, and the module that makes ids of a text
TEXT_FILES = ("config.json", "tokenizer.model", "text.py")
FORMATS = {
    each.name: each
    for each in (
        Format(
            name="savedmodel",
            is_a="a TensorFlow SavedModel with its tokenizer inside",
            needs="only `tensorflow` and `tensorflow-text`",
            module="par.export.saved_model",
            mark="saved_model.pb",
            files=("saved_model.pb", "fingerprint.pb", "variables/variables.*", "assets/*"),
            in_f32=False,
        ),
        Format(
            name="safetensors",
            is_a="safetensors with a forward pass in NumPy",
            needs="only `numpy` and `sentencepiece`",
            module="par.export.safetensors",
            has_bases=False,
            mark="model.safetensors",
            files=("model.safetensors", "forward.py", *TEXT_FILES),
        ),
        Format(
            name="onnx",
            is_a="ONNX graphs with a few lines of Python",
            needs="only `onnxruntime` and `sentencepiece`",
            module="par.export.onnx_graphs",
            mark="weights.bin",
            files=(
                *("weights.bin", *(f"{name}.onnx" for name in ARRAY_FUNCTIONS)),
                *("step.py", "generate.py", "score.py", "part.py", "encode.py", *TEXT_FILES),
            ),
            packages=("tf2onnx", "onnx", "onnxruntime"),
            quantizes=("int8",),
        ),
        Format(
            name="litert",
            is_a="a file for LiteRT (TensorFlow Lite)",
            needs="only `ai-edge-litert` and `sentencepiece`",
            module="par.export.litert",
            mark="model.tflite",
            files=("model.tflite", "step.py", "generate.py", "part.py", "encode.py", *TEXT_FILES),
            packages=("ai_edge_litert",),
            quantizes=("float16",),
        ),
        Format(
            name="page",
            is_a="an HTML page that loads nothing",
            needs="only a browser of 2023 or newer",
            module="par.export.page.html",
            has_bases=False,
            mark="index.html",
            files=("index.html", "tokenizer.model"),
            generates=True,
            bytes_a_weight=8 / 3,  # float16 in base64
        ),
    )
}
DEFAULT = "savedmodel"
# by type, the names of the formats whose weights --quantize can round to it
ROUNDED = {
    kind: [each.name for each in FORMATS.values() if kind in each.quantizes]
    for kind in ("int8", "float16")
}


@dataclasses.dataclass(frozen=True)
class Written:
    """A format as its module wrote it. backend: a par.export.self_check.Backend that computes with
    what was written. names: what it offers to the user. note: a sentence for the card. rounding:
    what rounded weights cost, in nats by function (par.export.self_check.costs_of_rounding), empty
    without them. rounded_to: their type.

    compared: the model that it is compared with, if that is not the run's (of a page, whose
    weights are rounded).

    Of a SavedModel memory_shape, [A, 1, M, D] of one row of `step` or [] if there is none; and
    mismatches: by split, how many lines get other ids from the tokenizer inside, and how many
    there are.
    """

    backend: Any
    names: tuple[str, ...]
    note: str = ""
    rounding: Mapping[str, float] = dataclasses.field(default_factory=dict)
    rounded_to: str = ""
    compared: Any = None
    memory_shape: Sequence[int] = ()
    mismatches: Mapping[str, tuple[int, int]] = dataclasses.field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """Sentences for the card: the own one, and what rounding costs."""
        costs = [
            f"Weights in {self.rounded_to}: by `{name}`, the mean nll of these tokens is"
            f" {cost:+.4f} nats higher than in f32."
            for name, cost in self.rounding.items()
        ]
        return [self.note, *costs] if self.note else costs


@dataclasses.dataclass(frozen=True)
class Shipped:
    """A format that was written and passed its check. differences: the largest ones from the
    library, by function (par.export.self_check.check)."""

    format: Format
    written: Written
    differences: Mapping[str, float]


def place(directory: Path, name: str, formats: Sequence[Format]) -> Path:
    """Where the format of a name goes in the directory of an export."""
    return Path(directory) / name if len(formats) > 1 else Path(directory)


def mark_of(directory: Path, formats: Sequence[Format]) -> str:
    """The file by which an export of these formats is known, as a path within its directory."""
    first = formats[0]
    return str((place(directory, first.name, formats) / first.mark).relative_to(directory))


def check_output(directory: Path, formats: Sequence[Format], overwrite: bool) -> None:
    """Raises: UsageError if the directory can't be written, or holds something that is no export,
    or an export while `overwrite` is not given."""
    marks, own = [], []
    for each in FORMATS.values():
        for where in ("", f"{each.name}/"):
            marks.append(f"{where}{each.mark}")
            own += [f"{where}{name}" for name in (CARD, *each.files)]
    wanted = mark_of(directory, formats)
    mark = next((name for name in marks if (Path(directory) / name).is_file()), wanted)
    files.check_replaceable(directory, mark, own, overwrite, "output")
