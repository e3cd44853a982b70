"""All experiments, in the order of --list."""

from __future__ import annotations

from par.tools.experiments import (
    benchmarks,
    collapse,
    cutoffs,
    guide,
    latency_budget,
    latency_target,
    ngrams,
    quick_recipe,
    recipe_at_size,
    search_at_size,
    search_whole_recipe,
    seed_recipe,
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
        seed_recipe,
        collapse,
        latency_target,
        cutoffs,
        benchmarks,
    )
    for experiment in module.EXPERIMENTS
}
