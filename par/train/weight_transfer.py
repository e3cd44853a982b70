"""Copies the weights of one network to another by place: embedding, softmax, final norm, and of
each block the branches of its kinds with their norms.

    SuperNet  block 3: norm, attention, dense  ->  derived  block 3, d: norm, dense      pre-norm:
              one norm a block
    SuperNet  block 3: norm_a, attention, norm_d, dense  ->  block 3, d: norm_d, dense   post-norm:
              one a branch

So a derived network with its SuperNet's weights computes what the SuperNet's argmax does.
Architecture logits are not copied.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras

from par.core.errors import DataError
from par.data.tokenizer import UNK, Tokenizer
from par.nn.transformer import Transformer
from par.search.architecture import Architecture
from par.train import loading, run_config, warm_start
from par.train.learner import Learner
from par.train.run_config import INIT_LAYERS


def weights_by_place(
    layers: dict[str, keras.layers.Layer],
) -> dict[tuple[Any, ...], list[keras.Variable]]:
    """The weights of an objective's layers by place; a norm that branches share is listed for each
    of them."""
    found: dict[tuple[Any, ...], list[keras.Variable]] = {}
    for name, layer in layers.items():
        if not isinstance(layer, Transformer):
            found[name,] = layer.variables
            continue
        for part in ("embedding", "projection"):  # a trunk that shares its table may have neither
            if (weight := getattr(layer, part)) is not None:
                found[name, part] = [weight]
        found[name, "final norm"] = [] if layer.final_norm is None else layer.final_norm.variables
        if layer.resampling is not None:
            found[name, "resampling"] = layer.resampling.variables
        for index, block in enumerate(layer.blocks):
            found |= {
                (name, index, kind): [v for part in block.parts(kind) for v in part.variables]
                for kind in block.kinds
            }
    return found


def copy_weights(
    learner: Learner, source: Learner, blocks: str, layers: str = INIT_LAYERS[0]
) -> None:
    """Copies the weights of `source` to `learner`; optimizers and step stay. They fit:
    par.train.warm_start has checked that.

    blocks: the learner's network, spelled so that each block is at the place in the source that it
    takes its weights from. layers: all, or the trunk alone. A base is not copied.
    """
    copied = warm_start.copied_layers(learner.config, source.config, layers)
    if copied is None:
        copied = {name: name for name in learner.objective.layers}
    theirs = weights_by_place(source.objective.layers)
    for name, of in copied.items():
        name, *part = name.split("/")
        of = of.split("/")[0]
        own, other = learner.objective.layers[name], source.objective.layers[of]
        trunks = learner.objective.trunk, source.objective.trunk
        source_of = _source_of(own, other, blocks if _are_like((own, other), trunks) else None)
        for (_, *place), variables in weights_by_place({name: own}).items():
            if part and place != part:
                continue
            if place == ["embedding"] and _is_other_table(own, other):
                own.embedding.assign(_difference(own, other))
                continue
            if len(place) == 2:
                place = [source_of[place[0]], place[1]]
            for variable, value in zip(variables, theirs[of, *place], strict=True):
                variable.assign(value)


def _source_of(
    own: keras.layers.Layer, other: keras.layers.Layer, blocks: str | None
) -> dict[int, int]:
    """The block of a source's trunk that each block of a trunk takes its weights from. blocks: see
    `copy_weights`; None: its own."""
    if not isinstance(own, Transformer):
        return {}
    mine, theirs = own.architecture.blocks, other.architecture.blocks
    computing = [n for n, kind in enumerate(mine) if kind != "i"]
    places = warm_start.source_blocks(mine if blocks is None else blocks, theirs)
    return dict(zip(computing, places, strict=True))


def _are_like(layers: Sequence[keras.layers.Layer], trunks: Sequence[Transformer]) -> bool:
    """Whether layers are trunks of the same blocks as those of the network and its source, as an
    encoder of contexts is by default."""
    return all(
        isinstance(layer, Transformer) and layer.architecture.blocks == trunk.architecture.blocks
        for layer, trunk in zip(layers, trunks, strict=True)
    )


def _is_other_table(own: Transformer, other: Transformer) -> bool:
    """Whether one of the two adds a table to a shared one and the other does not."""
    return own.embedding is not None and own.adds_to_base != other.adds_to_base


def _difference(own: Transformer, other: Transformer) -> Any:
    """What a trunk's own table must be, so that its embeddings are those of another."""
    table = other.raw_table()
    return table - (own.raw_table() - own.embedding) if own.adds_to_base else table


def load_source(source: Path, init: run_config.Origin, warn: Callable[[str], None]) -> Learner:
    """The network of the run at `source` with the checkpoint that `init` names. Raises: DataError
    if that is damaged, or not there any more."""
    learner = loading.load_learner(source, run_config.load(source)[0], init.checkpoint, warn)
    # the one that was loaded, which an older one may have replaced
    found = dataclasses.replace(
        warm_start.found_origin(source, init), step=int(learner.step.numpy())
    )
    if found != init:
        changed = [
            f"{name}: {value} -> {getattr(found, name)}"
            for name, value in dataclasses.asdict(init).items()
            if value != getattr(found, name)
        ]
        raise DataError(
            f"the weights of run {source} are not those that were asked for"
            f" ({'; '.join(changed)}): put those back"
        )
    return learner


def initialize(learner: Learner, source: Path, warn: Callable[[str], None]) -> None:
    """Copies the weights that the settings of a new run name as `init` from the run at `source`.
    Raises: DataError as `load_source` does."""
    own = load_source(source, learner.config.init, warn)
    copy_weights(learner, own, learner.config.places, learner.config.init.layers)


def take_teacher(learner: Learner, data_dir: Path, warn: Callable[[str], None]) -> None:
    """Copies the weights of the run that a network imitates, if it does. Of other characters, each
    has the embedding of the teacher's same one, or of [UNK]. Raises: DataError if the run is
    damaged, or another one than when the settings were made."""
    config = learner.config
    path = config.contract.teacher(config.objective_settings)
    if not path:
        return
    theirs, of_data = run_config.load(Path(path))
    source = loading.load_learner(path, theirs, "last", warn).objective.layers
    for name, of in (("teacher", "trunk"), ("teacher_head", "head")):
        if name not in learner.objective.layers:
            continue
        own = learner.objective.layers[name]
        values = [weight.numpy() for weight in source[of].weights]
        if name == "teacher" and theirs.data.tokenizer_sha256 != config.data.tokenizer_sha256:
            values[0] = values[0][_same_pieces(data_dir, of_data)]
        shapes = [[tuple(each.shape) for each in of] for of in (values, own.weights)]
        if shapes[0] != shapes[1]:
            raise DataError(
                f"teacher {path} is not the network that this run was set up for: put that back"
            )
        for weight, value in zip(own.weights, values):
            weight.assign(value)


def _same_pieces(data_dir: Path, other_dir: Path) -> list[int]:
    """[V] the id that each piece of a data set has in another one, or [UNK]."""
    own, other = (Tokenizer.load(each / "tokenizer.model") for each in (data_dir, other_dir))
    found = map(other.id_of, own.pieces(range(own.vocab_size)))
    return [UNK if token is None else token for token in found]


def derive_network(supernet: Learner, blocks: str) -> Learner:
    """The network of `blocks` with the weights that a SuperNet holds for them, untrained."""
    learner = Learner(
        dataclasses.replace(supernet.config, architecture=Architecture(blocks), init=None)
    )
    copy_weights(learner, supernet, blocks)
    if learner.base:
        for mine, theirs in zip(learner.base.weights, supernet.base.weights, strict=True):
            mine.assign(theirs)
    return learner
