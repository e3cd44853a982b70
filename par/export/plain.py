"""The network that formats without TensorFlow have: a trained one, in float32, without what only a
search needs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from par.data.tokenizer import properties
from par.evaluate.trained_model import Model
from par.export.array_functions import names_of
from par.nn.adaptive_softmax import AdaptiveSoftmax
from par.search.architecture import KINDS, argmax
from par.train import weight_transfer
from par.train.learner import Learner

FORMAT = "par-transformer-xl 1"  # of config.json and of the weights' names
BRANCHES = {"a": "attention", "d": "dense"}


def plain(model: Model) -> Model:
    """The model with products in float32; a search that is used as its likeliest kinds becomes the
    fixed network of those, one used as its mixture stays one of all kinds."""
    learner = model.learner
    if model.config.architecture.is_search and model.phase.argmax:
        learner = weight_transfer.derive_network(learner, argmax(learner.pi))
    config = dataclasses.replace(
        learner.config,
        model=dataclasses.replace(learner.config.model, precision="f32"),
        # the weight of a removed kind is 0: it need not be left out
        search=dataclasses.replace(learner.config.search, prune_below=0.0),
    )
    if config.base:
        config = dataclasses.replace(config, base=config.base.in_f32)
    if config != learner.config:
        trained, learner = learner, Learner(config)
        weights = (
            [weight for layer in each.layers.values() for weight in layer.weights]
            for each in (learner, trained)
        )
        for mine, theirs in zip(*weights, strict=True):
            mine.assign(theirs)
    return Model(config, learner, model.tokenizer)


def described(model: Model) -> dict[str, Any]:
    """The settings of a plain model, as config.json of an export has them.

    `blocks` has of each block its kinds with their weights, and that of identity: 1 for the kind
    of a fixed block, the mixture of a search.
    """
    blocks = []
    for block, pi in zip(model.trunk.blocks, model.pi.tolist()):
        share = dict(zip(KINDS, pi))
        of_kinds = [share[kind] for kind in block.kinds]
        blocks.append({"kinds": block.kinds, "weights": of_kinds, "identity": share["i"]})
    return _settings(model, blocks)


def arrays(model: Model) -> tuple[dict, dict[str, np.ndarray]]:
    """The settings, and the weights by name, float32, of a plain model without a base: what
    par/export/shipped/forward.py reads."""
    weights = {"embedding": model.trunk.table()}
    for number, block in enumerate(model.trunk.blocks):
        for kind in block.kinds:
            branch, norm = block.parts(kind)
            own = {"norm" if block.pre else f"norm_{kind}": norm, BRANCHES[kind]: branch}
            weights |= _named(f"blocks.{number}", own)
    final = {"final_norm": model.trunk.final_norm} if model.trunk.final_norm else {}
    weights |= _named("", final)
    if (resampling := model.trunk.resampling) is not None:
        weights |= _named("", {"resampling": resampling})
    if {"step", "score", "fill"} & set(names_of(model.config.contract.exports)):
        weights |= _of_softmax(model.learner.objective.head)
    found = {name: np.asarray(weight.numpy(), np.float32) for name, weight in weights.items()}
    return described(model), found


def _named(place: str, layers: dict[str, Any]) -> dict[str, Any]:
    return {
        f"{place}.{part}.{weight.name}".removeprefix("."): weight
        for part, layer in layers.items()
        for weight in layer.weights
    }


def _of_softmax(head: AdaptiveSoftmax) -> dict[str, Any]:
    found = {} if head.head is None else {"head": head.head}
    for i, (down, out) in enumerate(head.tails):
        found |= {f"tails.{i}.down": down, f"tails.{i}.{'up' if head.is_tied else 'out'}": out}
    return found


def _settings(model: Model, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    config = model.config
    shape = ("d_model", "num_heads", "d_ffn", "norm", "tie_embeddings", "downsample")
    seq_len, mem_len = config.text_shape
    return {
        "format": FORMAT,
        "architecture": config.architecture.blocks,
        "objective": config.objective,
        "visibility": config.contract.visibility,
        **{name: getattr(config.model, name) for name in shape},
        "mem_len": mem_len,
        "cutoffs": list(config.model.cutoffs),
        "seq_len": seq_len,
        "vocab_size": config.data.vocab_size,
        "model_type": properties(model.tokenizer.model)["model_type"],
        "blocks": blocks,
    }
