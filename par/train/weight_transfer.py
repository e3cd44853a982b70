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
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from par.core.errors import DataError
from par.nn.transformer import Transformer
from par.search.architecture import Architecture
from par.train import loading, run_config, warm_start
from par.train.learner import Learner


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
        found[name, "embedding"] = [layer.embedding]
        found[name, "final norm"] = [] if layer.final_norm is None else layer.final_norm.variables
        for index, block in enumerate(layer.blocks):
            found |= {
                (name, index, kind): [v for part in block.parts(kind) for v in part.variables]
                for kind in block.kinds
            }
    return found


def copy_weights(learner: Learner, source: Learner, blocks: str) -> None:
    """Copies the weights of `source` to `learner`; optimizers and step stay. They fit:
    par.train.warm_start has checked that.

    blocks: the learner's network, spelled so that each block is at the place in the source that it
    takes its weights from.
    """
    theirs = weights_by_place(source.objective.layers)
    computing = [n for n, kind in enumerate(learner.config.architecture.blocks) if kind != "i"]
    places = warm_start.source_blocks(blocks, source.config.architecture.blocks)
    source_of = dict(zip(computing, places, strict=True))
    for place, variables in weights_by_place(learner.objective.layers).items():
        name, *block = place
        if len(block) == 2:
            place = name, source_of[block[0]], block[1]
        for variable, value in zip(variables, theirs[place], strict=True):
            variable.assign(value)


def load_source(source: Path, init: run_config.Origin, warn: Callable[[str], None]) -> Learner:
    """The network of the run at `source` with the checkpoint that `init` names. Raises: DataError
    if that is damaged, or not there any more."""
    learner = loading.load_learner(source, run_config.load(source)[0], init.checkpoint, warn)
    # the one that was loaded, which an older one may have replaced
    found = dataclasses.replace(
        warm_start.newest_origin(source, init.checkpoint),
        step=int(learner.step.numpy()),
        blocks=init.blocks,
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
    copy_weights(learner, own, learner.config.places)


def derive_network(supernet: Learner, blocks: str) -> Learner:
    """The network of `blocks` with the weights that a SuperNet holds for them, untrained."""
    learner = Learner(
        dataclasses.replace(supernet.config, architecture=Architecture(blocks), init=None)
    )
    copy_weights(learner, supernet, blocks)
    return learner
