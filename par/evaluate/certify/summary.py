"""The certificate of a choice: what its runs have shown, put together."""

from __future__ import annotations

import math
from statistics import fmean

from par.core.metrics import Figure
from par.core.stats import CONFIDENCE, Interval, interval
from par.evaluate.certify.belief import Belief, Claim
from par.evaluate.certify.plan import TEST, VALID, Plan
from par.evaluate.certify.problem import Record
from par.evaluate.certify.results import (
    CHOSEN,
    OPEN,
    UNTRAINED,
    WORSE,
    Candidate,
    Certificate,
    SeedScore,
    TestScore,
)
from par.evaluate.compare import statistics
from par.evaluate.compare.results import Scores
from par.evaluate.compare.verdict import amount


def certificate(plan: Plan, is_finished: bool) -> Certificate | None:
    """The certificate so far; None before a network has been trained to its end."""
    record, problem = plan.record(), plan.problem
    if not record.final:
        return None
    belief = Belief(problem, record)
    claim = belief.claim()
    runs = {key: plan.scores(*key, VALID) for key in record.final}
    budget = plan.budget.milliseconds
    return Certificate(
        search=plan.search_run,
        data=plan.config.data.name,
        depth=problem.depth,
        networks=len(problem.networks),
        budget_ms=None if math.isinf(budget) else budget,
        budget_ratio=plan.budget.ratio,
        latency_of=plan.budget.case,
        epochs=plan.config.training.epochs,
        figure=plan.figure.name,
        num_trainings=problem.num_trainings,
        trainings=record.spent,
        within=difference(plan.figure, problem.within),
        seconds=sum(scores.seconds for scores in runs.values()),
        is_finished=is_finished,
        chosen=claim.leader,
        probability=claim.probability,
        regret=finite(difference(plan.figure, claim.regret)),
        undecided=claim.undecided,
        sentence=sentence(claim, plan, is_finished),
        candidates=_candidates(plan, record, belief, claim, runs),
        test=tuple(
            found for name in claim.undecided if (found := _test(plan, record, name)) is not None
        ),
    )


def difference(figure: Figure, loss: float) -> float:
    """A difference of losses as a share of the perplexity, or as it is."""
    return statistics.rise(loss) if figure.is_perplexity else loss


def sentence(claim: Claim, plan: Plan, is_finished: bool) -> str:
    """What is claimed, in one sentence."""
    count, within = len(plan.problem.networks), plan.budget.phrase
    of = f"{count:,} network{'s' if count != 1 else ''}{within}"
    regret = _bound(plan.figure, claim.regret)
    if not is_finished:
        of += ", so far"
    side = "above" if plan.figure.better == "lower" else "below"
    bound = f"at most {regret} {side} the true best ({100 * CONFIDENCE:g} %)"
    if count == 1:
        return f"{claim.leader} is the only network{within}"
    if claim.is_certain:
        return f"best of {of}: {claim.leader}, with probability {claim.probability:.2f}; {bound}"
    if len(claim.undecided) == 1:
        return f"chosen of {of}: {claim.leader}, {bound}; best with {claim.probability:.2f}"
    return (
        f"these {len(claim.undecided)} of {of} can't be told apart at {regret}:"
        f" {', '.join(claim.undecided)}; chosen: {claim.leader}, {bound}, the best itself with"
        f" probability {claim.probability:.2f}"
    )


def _bound(figure: Figure, loss: float) -> str:
    """A difference of losses for people: 0.0049 as `0.49 %`, rounded up, as a bound must hold."""
    value = difference(figure, loss)
    if not figure.is_perplexity:
        return amount(figure, value)
    return f"{math.ceil(1e4 * value - 1e-9) / 100:.2f} %" if value < 10 else f"{value:,.0f} times"


def _candidates(
    plan: Plan,
    record: Record,
    belief: Belief,
    claim: Claim,
    runs: dict[tuple[str, int], Scores],
) -> tuple[Candidate, ...]:
    """The networks, the best first: all, or of many those that were trained and the most
    promising others."""
    problem, gaps = plan.problem, belief.against_leader()
    level = fmean(loss for (network, _), loss in record.final.items() if network == claim.leader)
    figure = plan.figure
    found = []
    for n, gap in sorted(gaps.items()):
        network = problem.networks[n]
        trained = any(network == each for each, _ in record.final)
        seeds = [
            SeedScore(
                seed,
                scores.run,
                scores.compared,
                finite(figure.from_scale(scores.compared)),
            )
            for (each, seed), scores in sorted(runs.items())
            if each == network
        ]
        found.append(
            Candidate(
                network=network,
                state=_state(network, claim, trained),
                milliseconds=plan.budget.cost(network),
                log_probability=(
                    finite(problem.log_probabilities[n]) if problem.log_probabilities else None
                ),
                early_loss=record.early.get(network),
                score=_score(figure, level, gap),
                probability_better=float(belief.better[n]),
                seeds=tuple(seeds),
            )
        )
    order = {CHOSEN: 0, OPEN: 1, WORSE: 2, UNTRAINED: 3}

    def rank(candidate: Candidate) -> tuple[int, float, float]:
        early = math.inf if candidate.early_loss is None else candidate.early_loss
        return order[candidate.state], figure.loss(candidate.score.mean), early

    return tuple(sorted(found, key=rank))


def _state(network: str, claim: Claim, trained: bool) -> str:
    if network == claim.leader:
        return CHOSEN
    if network in claim.undecided:
        return OPEN
    return WORSE if trained else UNTRAINED


def _score(figure: Figure, level: float, gap: Interval) -> Interval:
    """The figure of a network whose loss is `gap` above the leader's, which is `level`."""
    mean, low, high = (
        None if loss is None else figure.from_scale(figure.loss(level + loss)) for loss in gap
    )
    return Interval(mean, low, high) if figure.better == "lower" else Interval(mean, high, low)


def finite(value: float) -> float | None:
    """None in the place of infinity, which JSON can't hold."""
    return value if math.isfinite(value) else None


def _test(plan: Plan, record: Record, network: str) -> TestScore | None:
    """The score on test of a network; None before it is read."""
    seeds = tuple(sorted(seed for each, seed in record.final if each == network))
    if not seeds or not all(has_test(plan, network, seed) for seed in seeds):
        return None
    compared = [plan.scores(network, seed, TEST).compared for seed in seeds]
    return TestScore(network, seeds, interval(compared).map(plan.figure.from_scale))


def has_test(plan: Plan, network: str, seed: int) -> bool:
    """Whether a finished run is scored on test."""
    return plan.scores(network, seed, TEST) is not None
