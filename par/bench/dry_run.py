"""The costs of a run before it is made, from a few steps on synthetic tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from par.bench import peak_memory, training_speed
from par.train.run_config import RunConfig


def measure(
    config: RunConfig, counts: Sequence[float], steps: int = 5, runs: int = 1
) -> dict[str, Any]:
    """The costs of `runs` such runs, one after another: parameters, steps and FLOPs, and from
    `steps` updates on synthetic tokens the time (s) and this process' peak memory (MB).

    counts: [V] how often each id occurs, for the work of the adaptive softmax's tails. The time
    does not include evaluation.
    """
    trial = training_speed.TimedTraining(config, steps)
    rate = trial.run()
    total_steps = runs * config.total_steps
    return {
        "architecture": config.architecture.blocks,
        "parameters": trial.learner.parameters,
        "total_steps": total_steps,
        "gflop_per_step": round(training_speed.step_flops(config, counts) / 1e9, 3),
        "steps_per_second": round(rate, 2),
        "estimated_seconds": round(total_steps / rate, 1),
        "peak_memory_megabytes": peak_memory.of_this_process(),
    }
