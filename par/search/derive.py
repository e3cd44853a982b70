"""Discrete architectures from pi: one pure function per rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from par.core.errors import SettingError, UsageError
from par.core.text import table
from par.search import architecture, pareto
from par.search.architecture import (
    KINDS,
    LIKELIEST,
    MAX_BLOCKS,
    NAMES,
    STRING_RULES,
    Architecture,
    argmax,
)
from par.search.pareto import Choice

DECIDED = 0.5  # a probability below which the other kinds together are likelier


def consensus(pis: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The arithmetic mean [L, O] of the pi of several searches, pis [R, L, O], and their agreement
    [L].

    agreement[l] counts the searches whose own likeliest kind of block l is that of the mean.
    Raises: UsageError unless pis has three axes and one search at least.
    """
    pis = np.asarray(pis, np.float64)
    if pis.ndim != 3 or not len(pis):
        raise UsageError(
            f"pis must have shape [searches, blocks, {len(KINDS)}], with one search at least, but"
            f" has {pis.shape}"
        )
    mean = pis.mean(axis=0)
    return mean, agreement(pis, argmax(mean))


def agreement(pis: np.ndarray, chosen: str) -> np.ndarray:
    """[L] for each block, in how many of several searches, pis [R, L, O], the chosen kind is the
    likeliest."""
    return np.sum([[own == kind for own, kind in zip(argmax(pi), chosen)] for pi in pis], axis=0)


def paper(num_blocks: int) -> str:
    """The heuristic of the PAR paper (Mandava et al. 2020): one attention block in five, evenly
    spaced over the first two thirds, dense elsewhere.

    The n = max(1, round(L/5)) attention blocks are at floor(k * (2L/3) / n), k = 0 .. n-1. L = 32
    gives n = 6, where the interleaved network has 16: 62.5 % fewer; the paper's abstract says
    63 %. Rounding and places are choices of this program.
    Raises: UsageError unless num_blocks is 1 to MAX_BLOCKS.
    """
    _check_count(num_blocks)
    attention = max(1, round(num_blocks / 5))
    places = {2 * num_blocks * k // (3 * attention) for k in range(attention)}
    return "".join("a" if block in places else "d" for block in range(num_blocks))


def interleaved(num_blocks: int) -> str:
    """Transformer-XL's order: attention and dense alternate, attention first. Raises: UsageError
    unless num_blocks is 1 to MAX_BLOCKS."""
    _check_count(num_blocks)
    return architecture.interleaved(num_blocks)


def sandwich(num_blocks: int, coefficient: int | None = None) -> str:
    """The sandwich of Press et al. 2020 (arXiv 1911.03864): k attention blocks, an interleaved
    middle, k dense ones; the counts of `interleaved`.

    coefficient: k, 0 (interleaved) to L // 2 (all attention first); by default 3L/16 rounded, the
    share of the paper's best on WikiText-103 (k = 6 of 16 pairs).
    Raises: UsageError for another num_blocks or coefficient.
    """
    _check_count(num_blocks)
    k = (3 * num_blocks + 8) // 16 if coefficient is None else coefficient
    if not 0 <= k <= num_blocks // 2:
        raise UsageError(
            f"coefficient must be from 0 to {num_blocks // 2}, half of the {num_blocks} blocks,"
            f" but is {k}"
        )
    return "a" * k + ("ad" * num_blocks)[: num_blocks - 2 * k] + "d" * k


def _check_count(num_blocks: int) -> None:
    if not 1 <= num_blocks <= MAX_BLOCKS:
        raise SettingError(
            f"num_blocks must be from 1 to {MAX_BLOCKS}, but is {num_blocks}", "num_blocks"
        )


def likeliest_kinds(pi: np.ndarray, blocks: str) -> str:
    """The likeliest kind of each stochastic block of `blocks`, the kind of the others."""
    return "".join(new if kind == "s" else kind for kind, new in zip(blocks, argmax(pi)))


def likeliest_network(pi: np.ndarray, blocks: str) -> str:
    """The network that most of the samples of pi spell, in its likeliest spelling."""
    return pareto.likeliest(pi, blocks).blocks


# from pi [L, O], of one search or the mean of several, and the blocks of the search
RULES: dict[str, Callable[[np.ndarray, str], str]] = dict.fromkeys(STRING_RULES, likeliest_kinds)
RULES[LIKELIEST] = likeliest_network
PATTERNS: dict[str, Callable[[int], str]] = {"paper": paper}  # from the number of blocks alone


def derive(
    pi: np.ndarray,
    blocks: str,
    rule: str = "argmax",
    search_run: str = "",
    seeds: tuple[int, ...] = (),
) -> Architecture:
    """The architecture that `rule` chooses from pi [L, O] for the stochastic blocks of `blocks`;
    the others keep their kind.

    Raises: UsageError if the rule is unknown, no block is stochastic, or pi does not have a row of
    O probabilities for every block.
    """
    pi = np.asarray(pi, np.float64)
    if rule not in RULES:
        raise UsageError(f"rule must be one of {', '.join(RULES)}, but is {rule!r}")
    if "s" not in blocks:
        raise UsageError(
            f"blocks must have a stochastic one (s) to derive from, but are {blocks!r}"
        )
    if pi.shape != (len(blocks), len(KINDS)):
        raise UsageError(
            f"pi must have shape {(len(blocks), len(KINDS))} for the blocks {blocks!r}, but has"
            f" {pi.shape}"
        )
    rows = tuple(map(tuple, pi.tolist()))
    return Architecture(
        RULES[rule](pi, blocks), rule=rule, search_run=search_run, pi=rows, seeds=seeds
    )


def candidates(pi: np.ndarray, blocks: str, string_rule: str) -> dict[str, Choice]:
    """The networks that the likeliest kinds and the rule `likeliest` give, by rule. pi: [L, O]."""
    string = pareto.described(pi, likeliest_kinds(pi, blocks), blocks)
    return {string_rule: string, LIKELIEST: pareto.likeliest(pi, blocks)}


def rule_lines(found: Mapping[str, Choice]) -> list[str]:
    """Both `candidates` with their log probabilities as a table, [] if they are one network."""
    if len({each.network for each in found.values()}) == 1:
        return []
    rows = [("rule", "network", "log probability")]
    for rule, each in found.items():
        named = Architecture(each.blocks).named
        rows.append((rule, named, f"{each.log_probability:.3f}"))
    return ["", *table(rows, left=2)]


def disagreement(agreement: Sequence[int], num_searches: int) -> list[str]:
    """A warning that names the blocks whose kind fewer than half of the searches chose, [] if
    there are none. agreement: [L], see `consensus`."""
    blocks = [str(block) for block, count in enumerate(agreement, 1) if 2 * count < num_searches]
    if not blocks:
        return []
    names = ", ".join(blocks)
    return [f"fewer than half of the {num_searches} seeds chose the kind of block {names}"]


def doubts(
    chosen: Architecture, blocks: str, step: int, last_step: int, who: str = "the search"
) -> list[str]:
    """Warnings about an architecture derived at `step` of `last_step` from the search `blocks`, a
    line each."""
    lines = []
    if step < last_step:
        lines.append(f"{who} has not ended: step {step:,} of {last_step:,}")
    open_blocks = [
        str(b)
        for b, (kind, row) in enumerate(zip(blocks, chosen.pi), 1)
        if kind == "s" and max(row) < DECIDED
    ]
    if open_blocks:
        lines.append(
            f"not decided: the likeliest kind has a probability below {DECIDED} in block"
            f" {', '.join(open_blocks)}"
        )
    if set(chosen.blocks) == {"i"}:
        lines.append("every block is identity: a prediction knows the last token alone")
    elif "a" not in chosen.blocks:
        lines.append("no block is attention: a prediction knows the last token alone")
    return lines


def pi_lines(chosen: Architecture, blocks: str, agreement: Sequence[int] = ()) -> list[str]:
    """pi as a table, one line per block: a star marks the chosen kind, fixed blocks are named; for
    a consensus, with the number of seeds that chose that kind."""
    counts = [f"{count} of {len(chosen.seeds)}" for count in agreement] or [""] * len(blocks)
    lines = [
        "block  "
        + (
            "".join(f"{NAMES[kind]:<11}" for kind in KINDS) + ("agree" if agreement else "")
        ).rstrip()
    ]
    for number, (kind, letter, row, count) in enumerate(
        zip(blocks, chosen.blocks, chosen.pi, counts), 1
    ):
        cells = "".join(
            f"{f'{p:.3f}' + ('*' if KINDS[o] == letter else ''):<11}" for o, p in enumerate(row)
        )
        lines.append(
            f"{number:>5}  {(cells + count).rstrip()}{'' if kind == 's' else '  (fixed)'}"
        )
    return lines
