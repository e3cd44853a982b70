"""Files written whole or not at all, read with bounds, and named by their SHA-256."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from par.errors import DataError, ResourceError

MAX_JSON_BYTES = 64 << 20  # far above any artefact of this program: refuses to parse what can't be one


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces of 1 MiB."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text, hence equal hashes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


@contextlib.contextmanager
def naming_a_full_disk(path: Path) -> Iterator[None]:
    """Turns the system's error of a full disk into a ResourceError that names the file."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(f"no space left to write {path}: free some disk space and run the same command again") from None
        raise


def check_space(directory: Path, needed: int) -> None:
    """Raises: ResourceError if the disk of a directory has fewer than `needed` bytes left."""
    free = shutil.disk_usage(directory).free
    if free < needed:
        raise ResourceError(
            f"{directory} needs {needed:,} bytes, but its disk has {free:,} left: free some disk space and run the same command again"
        )


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` that takes its place when the block ends, and is removed when it fails.

    Raises: ResourceError, naming the path, if the disk is full.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with open(partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(f"no space left to write {path}: free some disk space and run the same command again") from error
        if str(error.filename) == str(partial):
            error.filename, error.filename2 = str(path), None  # a message names the file that the user knows
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text atomically."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


def append_text(path: Path, text: str) -> None:
    """Appends UTF-8 text and hands it to the system at once. Raises: ResourceError, naming the path, if the disk is full."""
    try:
        with open(path, "a", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResourceError(f"no space left to write {path}: free some disk space and run the same command again") from None
        raise


def write_json(path: Path, value: Any) -> None:
    """Writes JSON, indented by two, atomically."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Reads a JSON object.

    Raises: DataError if the file is missing, too large, not JSON, or not an object; `what` names the artefact in the message.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_JSON_BYTES + 1)
    except FileNotFoundError:
        raise DataError(f"{what} {path} does not exist") from None
    except OSError as error:
        raise DataError(f"{what} {path} can't be read ({error.strerror})") from None
    if len(content) > MAX_JSON_BYTES:
        raise DataError(f"{what} {path} has more than the {MAX_JSON_BYTES} bytes that such a file can have")
    try:
        value = json.loads(content.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:  # bad UTF-8, bad JSON, NaN, an integer of thousands of digits
        raise DataError(f"{what} {path} is not valid JSON ({str(error).splitlines()[0]})") from None
    if not isinstance(value, dict):
        raise DataError(f"{what} {path} must hold a JSON object, not a {type(value).__name__}")
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")
