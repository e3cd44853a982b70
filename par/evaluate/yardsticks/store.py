"""The yardsticks of a data set, which an objective names (Contract.yardsticks): loaded, or made.

    kneser_ney          the next token
    unigram, bigrams    the masked tokens of an evaluation

Their scores lie beside the records, in NAME.json, with the SHA-256 of the manifest: those of
another data set are never shown.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from par.core import files, schema
from par.core.errors import DataError, ResourceError, UsageError
from par.core.progress import announce
from par.data.manifest import Manifest
from par.evaluate.counted_texts import Reading, Texts
from par.evaluate.yardsticks.base import Yardstick
from par.evaluate.yardsticks.masked import Bigrams, Unigram
from par.evaluate.yardsticks.next_token import KneserNey

UNASKED = 1 << 28  # tokens of train
MODELS = {model.key: model for model in (KneserNey, Unigram, Bigrams)}


def load(data_dir: str | Path, name: str) -> Yardstick | None:
    """The scores of one of MODELS beside the records of a data set; None if there are none of this
    manifest.

    Raises: DataError if the file is damaged.
    """
    path, model = _path(data_dir, name), MODELS[name]
    if not path.is_file():
        return None
    value = schema.read_json(path, f"scores of the {model.what}")
    try:
        found = schema.decode(model, value, "it")
    except UsageError as error:
        raise DataError(
            f"scores of the {model.what} {path}: {error}; remove it, and tools/evaluate.py makes"
            " it again"
        ) from None
    return found if found.manifest_sha256 == _manifest_sha256(data_dir) else None


def load_all(data_dir: str | Path, names: Iterable[str]) -> list[Yardstick]:
    """Those of MODELS that are there. Raises: as `load`."""
    return [found for name in names if (found := load(data_dir, name))]


def load_or_make(
    data_dir: str | Path,
    manifest: Manifest,
    names: Iterable[str],
    *,
    is_asked: bool = False,
    reading: Reading | None = None,
    is_kept: bool = True,
) -> list[Yardstick]:
    """The scores of some of MODELS beside the records, made where there are none of this manifest
    and reading, and kept there if the directory can be written. Shows progress. To make them needs
    TensorFlow, as the records do.

    Of more than UNASKED tokens they are made only if asked for. reading: needed by those of
    windows. is_kept: False for another reading than that of training, of which what depends on
    windows is made anew each time.
    Raises: as `load`.
    """
    texts, found = Texts(data_dir, manifest, reading), []
    for name in names:
        model = MODELS[name]
        is_beside = is_kept or not model.is_of_windows
        own = load(data_dir, name) if is_beside else None
        if not (own and own.fits(reading)):
            own = _make(data_dir, texts, model, is_asked)
            if own and is_beside:
                _keep(data_dir, own)
        found += [own] if own else []
    return found


def _make(
    data_dir: str | Path, texts: Texts, model: type[Yardstick], is_asked: bool
) -> Yardstick | None:
    if (tokens := texts.manifest.splits["train"].tokens) > UNASKED and not is_asked:
        announce(
            f"note: no {model.what} is scored, as train has {tokens:,} tokens:"
            f" --baseline={model.key} does it, {model.cost}"
        )
        return None
    if not is_asked and not texts.has("train"):
        announce(
            f"note: no {model.what} is scored, as the data set has no records of train, which it"
            " is made of"
        )
        return None
    return model.make(texts, _manifest_sha256(data_dir))


def _keep(data_dir: str | Path, made: Yardstick) -> None:
    try:
        schema.write_json(_path(data_dir, made.key), dataclasses.asdict(made))
    except (OSError, ResourceError, UsageError) as error:
        announce(f"note: the scores of the {made.what} are not kept: {error}")


def _path(data_dir: str | Path, name: str) -> Path:
    return Path(data_dir) / f"{name}.json"


def _manifest_sha256(data_dir: str | Path) -> str:
    return files.sha256(Path(data_dir) / "manifest.json")
