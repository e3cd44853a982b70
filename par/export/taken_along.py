"""What an export takes along, so that it can be used without this program: settings, tokenizer,
and programs of par/export/shipped."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from par.core import files, schema
from par.data.tokenizer import Tokenizer
from par.export import shipped

SHIPPED = Path(shipped.__file__).parent
# by function, its script, and the module by which that calls the runtime
PROGRAMS = {
    "step": ("generate.py", "step.py"),
    "score": ("score.py",),
    "encodings": ("encode.py", "part.py"),
}


def write_text_files(directory: Path, settings: Mapping[str, Any], tokenizer: Tokenizer) -> None:
    """Writes par.export.formats.TEXT_FILES. settings: of par.export.plain.arrays."""
    schema.write_json(directory / "config.json", settings)
    files.write_bytes(directory / "tokenizer.model", tokenizer.model)
    shutil.copyfile(SHIPPED / "text.py", directory / "text.py")


def write_programs(directory: Path, functions: Iterable[str], runtime: str) -> tuple[str, ...]:
    """Copies the programs for these functions; returns the names of the scripts. runtime: what a
    name begins with in par/export/shipped where the program is for one runtime alone."""
    scripts = []
    for script, *modules in (PROGRAMS[name] for name in functions if name in PROGRAMS):
        scripts.append(script)
        for name in (script, *modules):
            own = SHIPPED / f"{runtime}_{name}"
            shutil.copyfile(own if own.is_file() else SHIPPED / name, directory / name)
    return tuple(scripts)
