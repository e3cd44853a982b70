"""All experiments, in the order of --list."""

from __future__ import annotations

from par.tools.experiments import (
    benchmarks,
    block_order,
    characters,
    collapse,
    contexts,
    cutoffs,
    depth,
    guide,
    latency_budget,
    latency_target,
    ngrams,
    objective_blocks,
    quick_recipe,
    recipe_at_size,
    replaced_tokens,
    search_at_size,
    search_whole_recipe,
    seed_recipe,
    shipping,
    texts_in_context,
    towers,
    transfer,
    unseen_authors,
)
from par.tools.experiments.experiment import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for module in (
        quick_recipe,
        ngrams,
        guide,
        latency_budget,
        recipe_at_size,
        search_at_size,
        search_whole_recipe,
        depth,
        transfer,
        block_order,
        objective_blocks,
        replaced_tokens,
        contexts,
        texts_in_context,
        characters,
        unseen_authors,
        towers,
        seed_recipe,
        collapse,
        latency_target,
        cutoffs,
        benchmarks,
        shipping,
    )
    for experiment in module.EXPERIMENTS
}
