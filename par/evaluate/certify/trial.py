"""All ways to choose a network on trial on one table: how well each ranks the networks, and how
far from the best its choice is after so many trainings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from par.core import schema
from par.core.rank_correlation import bootstrap_interval
from par.core.stats import Interval, Quartiles, quartiles
from par.core.text import table
from par.evaluate.certify import replay
from par.evaluate.certify.replay import Played, World

DRAWN, LOCAL, CERTIFIED = "random", "local search", "certified"
SURROGATE = "surrogate"
SHOWN = (1, 2, 4, 8, 16, 32)  # trainings
GOOD = 0.005  # share of perplexity above the best


@dataclasses.dataclass(frozen=True)
class Way:
    """A way to choose. tau_b: Kendall's correlation of its ranking with the truth, and its
    interval over the networks; None where it does not rank them beforehand. regret: by number of
    trainings, quartiles over the replays; None before it can choose. within: the share of replays
    that end at most GOOD above the best."""

    name: str
    tau_b: Interval | None
    regret: dict[str, Quartiles | None]
    within: float
    trainings: float


@dataclasses.dataclass(frozen=True)
class Trial:
    """Every way on one table. bound_held: share of the replays in which the certified choice was
    as near as it claimed; called: in which it called a network the best, and called_rightly: of
    these; twins_called: of as many choices between a network and itself."""

    networks: int
    seeds: int
    replays: int
    num_trainings: int
    best: str
    noise: float
    ways: tuple[Way, ...]
    bound_held: float
    called: float
    called_rightly: float | None
    twins_called: float

    def to_json(self) -> dict[str, Any]:
        """The trial as JSON values."""
        value = schema.encode(self)
        for way, found in zip(value["ways"], self.ways):
            way["regret"] = {n: each and each._asdict() for n, each in found.regret.items()}
        return value


def on_trial(
    world: World,
    rankings: Mapping[str, np.ndarray],
    num_trainings: int,
    num_replays: int,
    log_probabilities: Sequence[float] = (),
    told: Callable[[str, int], None] = lambda name, number: None,
) -> Trial:
    """Replays every way. rankings: what a way says of each network [N] without training it, less
    is better. log_probabilities: of a search, that the certified choice begins with. told: called
    with each way and replay."""
    orders = {
        name: [world.networks[n] for n in np.argsort(values, kind="stable")]
        for name, values in rankings.items()
    }
    plays: dict[str, Callable[[int], Played]] = {
        name: lambda seed, order=order: replay.by_order(world, order, num_trainings, seed)
        for name, order in orders.items()
    }
    plays |= {
        DRAWN: lambda seed: replay.drawn(world, num_trainings, seed),
        LOCAL: lambda seed: replay.local_search(world, num_trainings, seed),
        SURROGATE: lambda seed: replay.certified(
            world, num_trainings, seed, log_probabilities, max_raced=0
        ),
        CERTIFIED: lambda seed: replay.certified(world, num_trainings, seed, log_probabilities),
    }
    ways, played = [], {}
    for name, play in plays.items():
        played[name] = []
        for number in range(num_replays):
            played[name].append(play(number))
            told(name, number)
        tau_b = bootstrap_interval(rankings[name], world.truth, 0) if name in rankings else None
        ways.append(_way(name, tau_b, played[name], num_trainings))
    claims = [(each.claim, world.regret(each.claim.leader)) for each in played[CERTIFIED]]
    called = [regret for claim, regret in claims if claim.is_certain]
    twins = replay.twins(
        world, num_replays, lambda twin, seed: replay.certified(twin, num_trainings, seed).claim
    )
    return Trial(
        networks=len(world.networks),
        seeds=world.num_seeds,
        replays=num_replays,
        num_trainings=num_trainings,
        best=world.networks[int(np.argmin(world.truth))],
        noise=world.noise,
        ways=tuple(ways),
        bound_held=float(
            np.mean([np.log1p(gap) <= claim.regret + 1e-12 for claim, gap in claims])
        ),
        called=len(called) / num_replays,
        called_rightly=float(np.mean(np.array(called) <= 0)) if called else None,
        twins_called=twins.called,
    )


def _way(name: str, tau_b: Interval | None, played: Sequence[Played], most: int) -> Way:
    regrets = np.array([each.regrets for each in played])  # [R, K]
    shown = [number for number in SHOWN if number < most] + [most]
    return Way(
        name,
        tau_b,
        {str(number): _quartiles(regrets[:, number - 1]) for number in shown},
        float(np.mean(regrets[:, -1] <= GOOD)),
        float(np.mean([each.trainings for each in played])),
    )


def _quartiles(values: np.ndarray) -> Quartiles | None:
    known = values[np.isfinite(values)]
    return quartiles(known) if len(known) == len(values) else None


def lines(found: Trial) -> list[str]:
    """A trial for people."""
    numbers = list(found.ways[0].regret)
    heads = ("way", "tau-b", *(f"after {number}" for number in numbers), f"within {GOOD:.1%}")
    rows = [
        (
            way.name,
            _interval(way.tau_b),
            *(_regret(way.regret[number]) for number in numbers),
            f"{way.within:.0%}",
        )
        for way in found.ways
    ]
    rightly = "" if found.called_rightly is None else f", rightly in {found.called_rightly:.0%}"
    return [
        *table([heads, *rows], left=1),
        "by trainings: perplexity above the best, median and quartiles over the replays; tau-b:"
        " with 95 % interval over the networks",
        "",
        f"certified: as near as claimed in {found.bound_held:.0%} of the replays; a network called"
        f" the best in {found.called:.0%}{rightly}; one of two equals in {found.twins_called:.0%}",
    ]


def _regret(found: Quartiles | None) -> str:
    if found is None:
        return "-"
    median, low, high = (f"{100 * value:.1f}" for value in found)
    return f"{median} % ({low} to {high})"


def _interval(found: Interval | None) -> str:
    if found is None:
        return "-"
    bounds = "" if found.low is None else f" ({found.low:+.2f} to {found.high:+.2f})"
    return f"{found.mean:+.2f}{bounds}"
