"""Which trainings come next, as a function of what has been trained: so a choice that was stopped
goes on where it was, and the same function can be replayed on a table of finished trainings.

Few networks are raced: all are trained for a quarter of the steps with the first seed, then to the
end, the most promising first (by the sum of their training losses, Ru et al. 2020, arXiv
2006.04492), until those that are left are clearly worse; then those that are not get one more seed
after the other. Of many networks some are drawn and trained, then those that the posterior finds
most promising (the lowest lower confidence bound, Srinivas et al. 2010), and the best of them get
more seeds.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from par.evaluate.certify.belief import Belief
from par.evaluate.certify.problem import RUNG, Problem, Record, Training

MAX_RACED = 40  # networks
AT_ONCE = 2  # trainings between two looks, however many cores there are
FIRST = 4  # whole trainings before the posterior is asked
DRAWN, GUIDED = 3 / 8, 3 / 8  # of many networks: shares of the trainings; the rest confirms
CONFIRMED = 4  # networks that are confirmed
REPLICATED = 3  # networks that have at least two seeds in the end


def next_trainings(problem: Problem, record: Record, max_raced: int = MAX_RACED) -> list[Training]:
    """What is trained next, [] at the end."""
    raced = len(problem.networks) <= max_raced
    wanted = _race(problem, record) if raced else _search(problem, record)
    return _affordable(problem, record, wanted)


def _race(problem: Problem, record: Record) -> list[Training]:
    """What is trained next of few networks."""
    first, networks = problem.seeds[0], problem.networks
    whole = {network for network, seed in record.final if seed == first}
    if len(networks) > FIRST:
        rung = [
            Training(network, first, RUNG)
            for network in networks
            if network not in record.early and network not in whole
        ]
        if rung:
            return rung
    waiting = sorted(
        (network for network in networks if network not in whole),
        key=lambda network: record.early.get(network, 0.0),
    )
    if len(whole) < min(FIRST, len(networks)):
        return [Training(network, first, 1) for network in waiting[: FIRST - len(whole)]]
    belief = Belief(problem, record)
    alive = [networks[n] for n in belief.alive]
    promising = [network for network in alive if network in waiting]
    if promising:
        return [Training(network, first, 1) for network in promising[:AT_ONCE]]
    return _confirm(problem, record, belief, alive)


def _search(problem: Problem, record: Record) -> list[Training]:
    """What is trained next of many networks."""
    first, networks = problem.seeds[0], problem.networks
    whole = [network for network, seed in record.final if seed == first]
    drawn = min(round(DRAWN * problem.num_trainings), len(networks))
    guided = min(round(GUIDED * problem.num_trainings), len(networks) - drawn)
    if len(whole) < drawn:
        order = random.Random(problem.random_seed).sample(networks, drawn)
        left = [network for network in order if network not in whole]
        return [Training(network, first, 1) for network in left[:AT_ONCE]]
    belief = Belief(problem, record)
    if len(whole) < drawn + guided:
        bound = belief.mean - belief.deviation
        order = [networks[n] for n in np.argsort(bound, kind="stable")]
        left = [network for network in order if network not in whole]
        most = min(AT_ONCE, drawn + guided - len(whole))
        return [Training(network, first, 1) for network in left[:most]]
    trained = [networks[n] for n in np.argsort(belief.mean, kind="stable")]
    best = [network for network in trained if network in whole][:CONFIRMED]
    return _confirm(problem, record, belief, best)


def _confirm(
    problem: Problem, record: Record, belief: Belief, alive: Sequence[str]
) -> list[Training]:
    """One more seed for the networks that are alive, unless the leader is good enough. The best
    REPLICATED get a second seed in any case: without it nothing tells noise from quality."""
    trained = [network for network, seed in record.final if seed == problem.seeds[0]]
    order = {problem.networks[n]: place for place, n in enumerate(np.argsort(belief.mean))}
    best = sorted(trained, key=order.__getitem__)[:REPLICATED]
    for seed in problem.seeds[1:2]:
        wanted = list(dict.fromkeys([*best, *alive])) if len(best) > 1 else []
        if missing := [each for each in wanted if (each, seed) not in record.final]:
            return [Training(network, seed, 1) for network in missing[:AT_ONCE]]
    claim = belief.claim()
    if len(alive) < 2 or claim.is_certain or claim.regret <= problem.within:
        return []
    for seed in problem.seeds[2:]:
        if missing := [each for each in alive if (each, seed) not in record.final]:
            return [Training(network, seed, 1) for network in missing[:AT_ONCE]]
    return []


def _affordable(problem: Problem, record: Record, wanted: Sequence[Training]) -> list[Training]:
    """The first of these trainings that the number of trainings allows."""
    left, taken = problem.num_trainings - record.spent, []
    for training in wanted:
        left -= record.cost(training)
        if left < -1e-9:
            break
        taken.append(training)
    return taken
