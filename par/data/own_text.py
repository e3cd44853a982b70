"""Own text, found by a path, a directory or a glob, in three splits."""

from __future__ import annotations

import glob
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

from par.core.errors import DataError, ParError
from par.data.corpus import SPLITS, Corpus, Text, count_lines, cut_behind
from par.data.text_formats import plain

# the name of a text, and its files: all in order, or one a split
Found = tuple[str, list[Path] | dict[str, Path]]


def load(
    input_text: str,
    fractions: Sequence[float],
    find: Callable[[str], Found] | None = None,
    directory: Path | None = None,
) -> Corpus:
    """Own text: a file; a directory with train.txt, valid.txt and test.txt, taken as they are;
    else all *.txt of a directory; or a glob.

    Without splits, `fractions` of all lines become train, valid and test, in this order, each in
    one piece.

    Args:
      find: how its name and its files are found, where they are not on this machine.
      directory: where the decoded text of a file lies that is not plain UTF-8.

    Raises: DataError if there is no such text, or a file is not text; ResourceError if the disk
    has no room for decoded text.
    """
    try:
        name, paths = (find or _find)(input_text)
        if isinstance(paths, dict):
            return Corpus(
                name, {split: Text.of(plain(path, directory)) for split, path in paths.items()}
            )
        sources = [plain(path, directory) for path in paths]
    except ParError:
        raise
    except OSError as error:
        raise DataError(f"--input_text={input_text} can't be read ({error.strerror})") from None
    total = count_lines(sources)
    ends = [round(total * fractions[0]), round(total * (fractions[0] + fractions[1]))]
    return Corpus(name, dict(zip(SPLITS, cut_behind(sources, ends), strict=True)))


def name_of(file: str) -> str:
    """The name of a text after its file: without .gz or .xz, and without its ending."""
    path = Path(file)
    return Path(path.stem).stem if path.suffix in (".gz", ".xz") else path.stem


def is_hidden(file: str) -> bool:
    """Whether a glob leaves a file name out: systems put files beside texts (._a.txt)."""
    return file.startswith(".")


def of_directory(input_text: str, found: Sequence[Path]) -> list[Path] | dict[str, Path]:
    """The .txt files of a directory, or the three of them that are its splits. Raises: DataError
    if there are none, or not all three."""
    splits = {split: path for split in SPLITS for path in found if path.name == f"{split}.txt"}
    if 0 < len(splits) < len(SPLITS):
        missing = ", ".join(f"{split}.txt" for split in SPLITS if split not in splits)
        raise DataError(
            f"--input_text={input_text} has {', '.join(p.name for p in splits.values())}, but not"
            f" {missing}: give all three, or other names"
        )
    if not found:
        raise DataError(
            f"--input_text={input_text} is a directory without a .txt file: give a glob in"
            " quotes for files of other names, such as '*.txt.gz'"
        )
    return splits or list(found)


def train_bytes(input_text: str, split_fractions: Sequence[float]) -> int:
    """About how many bytes the train split of a text will have: those of its files as they lie on
    the disk. Raises: DataError if there is no text."""
    _, found = _find(input_text)
    if isinstance(found, dict):
        return found["train"].stat().st_size
    return round(split_fractions[0] * sum(path.stat().st_size for path in found))


def _find(input_text: str) -> Found:
    path = Path(input_text).expanduser()
    if path.is_dir():
        found = sorted(
            file for file in path.glob("*.txt") if file.is_file() and not is_hidden(file.name)
        )
        return path.resolve().name or "text", of_directory(input_text, found)
    if path.exists():
        if not path.is_file():
            raise DataError(f"--input_text={input_text} is neither a regular file nor a directory")
        return name_of(path.name), [path]
    found = sorted(
        Path(file) for file in glob.glob(str(path), recursive=True) if Path(file).is_file()
    )
    if not found:
        raise DataError(
            f"--input_text={input_text} does not exist: give a file, a directory or a glob in"
            " quotes"
        )
    literal = itertools.takewhile(lambda part: not glob.has_magic(part), path.parts[:-1])
    return Path(*literal).resolve().name or "text", found
