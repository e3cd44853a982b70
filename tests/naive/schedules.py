"""The schedules of learning rate and temperature as one would write them on paper, for one step in
float64."""

from __future__ import annotations

import math


def learning_rate(step: int, total_steps: int, max_lr: float, warmup_steps: int) -> float:
    """A line from max_lr / warmup_steps to max_lr, then half a cosine from max_lr to 0 at
    total_steps."""
    if step < warmup_steps:
        return max_lr * (step + 1) / warmup_steps
    if step >= total_steps:
        return 0.0
    return (
        max_lr * (1 + math.cos(math.pi * (step - warmup_steps) / (total_steps - warmup_steps))) / 2
    )


def tau(step: int, total_steps: int, start: float, end: float, schedule: str) -> float:
    """From start at step 0 to end at step total_steps - 1: by equal factors, by equal differences,
    or along half a cosine."""
    if total_steps == 1:
        return start
    share = step / (total_steps - 1)
    if schedule == "exponential":
        return math.exp((1 - share) * math.log(start) + share * math.log(end))
    if schedule == "linear":
        return (1 - share) * start + share * end
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2
