"""From pi to a discrete architecture: one pure function a rule."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from par.architecture import KINDS, NAMES, Architecture
from par.errors import UsageError

DECIDED = 0.5  # below it, the other kinds together are likelier than the chosen one


def argmax(pi: np.ndarray) -> str:
    """The likeliest kind of each row of pi [L, O]; a tie goes to the cheaper kind: identity before dense before attention."""
    pi = np.asarray(pi)
    return "".join(KINDS[len(KINDS) - 1 - int(column)] for column in pi[:, ::-1].argmax(axis=1))


RULES: dict[str, Callable[[np.ndarray], str]] = {"argmax": argmax}


def derive(pi: np.ndarray, blocks: str, rule: str = "argmax", search_run: str = "", seeds: tuple[int, ...] = ()) -> Architecture:
    """The architecture that `rule` chooses from pi [L, O] for the stochastic blocks of `blocks`; the others keep their kind.

    Raises: UsageError if the rule is unknown, no block is stochastic, or pi does not have a row of O probabilities for every block.
    """
    pi = np.asarray(pi, np.float64)
    if rule not in RULES:
        raise UsageError(f"rule must be one of {', '.join(RULES)}, but is {rule!r}")
    if "s" not in blocks:
        raise UsageError(f"blocks must have a stochastic one (s) to derive from, but are {blocks!r}")
    if pi.shape != (len(blocks), len(KINDS)):
        raise UsageError(f"pi must have shape {(len(blocks), len(KINDS))} for the blocks {blocks!r}, but has {pi.shape}")
    chosen = "".join(new if kind == "s" else kind for kind, new in zip(blocks, RULES[rule](pi)))
    return Architecture(chosen, rule, search_run, tuple(map(tuple, pi.tolist())), seeds)


def doubts(chosen: Architecture, blocks: str, step: int, last_step: int) -> list[str]:
    """Why the architecture derived from the search `blocks` at `step`, where `last_step` ends it, may not be what one wants, a line each."""
    lines = []
    if step < last_step:
        lines.append(f"the search has not ended: step {step:,} of {last_step:,}")
    open_blocks = [str(b) for b, (kind, row) in enumerate(zip(blocks, chosen.pi), 1) if kind == "s" and max(row) < DECIDED]
    if open_blocks:
        lines.append(f"not decided: the likeliest kind has a probability below {DECIDED} in block {', '.join(open_blocks)}")
    if set(chosen.blocks) == {"i"}:
        lines.append("every block is identity: a prediction knows the last token alone")
    elif "a" not in chosen.blocks:
        lines.append("no block is attention: a prediction knows the last token alone")
    return lines


def pi_lines(chosen: Architecture, blocks: str) -> list[str]:
    """pi as a table, one line a block: the chosen kind marked with a star, fixed blocks named."""
    lines = ["block  " + "".join(f"{NAMES[kind]:<11}" for kind in KINDS).rstrip()]
    for number, (kind, letter, row) in enumerate(zip(blocks, chosen.blocks, chosen.pi), 1):
        cells = "".join(f"{f'{p:.3f}' + ('*' if KINDS[o] == letter else ''):<11}" for o, p in enumerate(row))
        lines.append(f"{number:>5}  {cells.rstrip()}{'' if kind == 's' else '  (fixed)'}")
    return lines
