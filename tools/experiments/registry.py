"""All experiments, in the order of --list."""

from __future__ import annotations

from par.tools.experiments import (
    ngrams,
    readme_python_docs,
    recipe_at_size,
    search_at_size,
    search_whole_recipe,
)
from par.tools.experiments.experiment import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for module in (
        readme_python_docs,
        ngrams,
        recipe_at_size,
        search_at_size,
        search_whole_recipe,
    )
    for experiment in module.EXPERIMENTS
}
