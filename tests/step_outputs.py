"""What the steps of experiments print, made up."""

from __future__ import annotations

import math
from typing import Any

from par.objectives import OBJECTIVES
from par.search import networks
from par.tools.experiments.experiment import Experiment, Step


def made_up(experiment: Experiment, step: Step) -> dict[str, Any]:
    """What a step with --json prints, as far as experiments take figures from it."""
    scores = {"perplexity_per_word": 100.0, "bits_per_byte": 2.0}
    scores |= {figure.name: 0.4 for figure in OBJECTIVES["span_electra"].figures}
    scores |= {"nll_per_token": 4.0, "accuracy": 0.3, "bits_per_character": 2.0}
    if step.tool == "build_data":
        models = ("unigram_perplexity_per_word", "kneser_ney_perplexity_per_word")
        return {model: {"valid": 10.0, "test": 20.0} for model in models} | {"vocab_size": 4000}
    if step.tool == "probe":
        runs = [each for each in step.arguments if each.startswith("--run=")]
        accuracy = {"mean": 0.5, "low": 0.4, "high": 0.6}
        of = dict.fromkeys(("accuracy", "clean", "less_clean", "less_clean_less_first"), accuracy)
        found = [{"run": run, **of} for run in runs]
        return {"runs": found, "baselines": {"tfidf": accuracy}}
    if step.tool == "benchmark" and step.arguments[0] == "compression":
        return {"xz": [{"split": split, "bits_per_character": 1.8} for split in ("valid", "test")]}
    if step.tool == "train" and "--dry_run" in step.arguments:
        return {"steps_per_second": 8.0, "gflop_per_step": 2.0, "parameters": 1000}
    if step.tool == "discriminate":
        return discriminated(step)
    if step.tool == "context_gain":
        return gained()
    if step.tool == "train":
        valid = dict.fromkeys(ways_of(step), scores)
        return {"steps": 9, "seconds": 90.0, "valid": valid, "latency": {"share": 0.6}}
    if step.tool == "derive":
        return {"architecture": "aid", "network": "ad", "pi": [[0.9, 0.1, 0.0], [0.2, 0.7, 0.1]]}
    if step.tool == "measure_latency":
        parts = {"a": 6.0, "d": 2.0, "i": 0.0, "constant": 7.0}
        found = {part: {"milliseconds": ms, "low": ms, "high": ms} for part, ms in parts.items()}
        return {"table": {"inference": found}}
    if step.tool == "export":
        return {"formats": {"page": {"bytes": 5_000_000}}}
    if step.tool == "benchmark":
        return shipped()
    if step.tool == "compare":
        return all_networks() if "--all" in step.arguments else compared(step)
    if step.tool == "replay":
        return replayed(step)
    if step.tool == "evaluate":
        splits = [each.removeprefix("--split=") for each in step.arguments if "--split" in each]
        return {
            "results": [
                {"run": f"{name}-0123", "architecture": "ad", "evaluate_as": way, "split": split}
                | scores
                for name in step.needs
                for way in ways_of(experiment.step(name))
                for split in splits
            ],
            "baselines": [
                {"model": "kneser_ney", "split": split, "bits_per_character": 2.1}
                for split in splits
            ],
            "paired": paired(len(step.needs)),
        }
    return {}


def paired(runs: int) -> list[dict[str, Any]]:
    """By how much each run but the first is above that in `evaluate --json`: run n by -n / 100."""
    return [
        {
            "differences": [
                {"depth": depth, "targets": 5, "clusters": 3}
                | {"nats": {"mean": -n / 100, "low": -n / 50, "high": 0.0}}
                for depth in (None, 0, 1)
            ]
        }
        for n in range(1, runs)
    ]


def shipped() -> dict[str, Any]:
    """What `benchmark shipping --json` prints, as far as experiments take figures from it."""
    ratios = dict.fromkeys(("ratio", "least_ratio", "most_ratio"), 0.5)
    figures = {"milliseconds": 2.0, "tokens_per_second": 500.0} | ratios
    sizes = {"library": None, "onnx": 7_000_000}
    return {
        "shipping": [{"format": name, "bytes": size} | figures for name, size in sizes.items()],
        "left_out": {"page": "there is no browser"},
    }


def discriminated(step: Step) -> dict[str, Any]:
    """What `discriminate --json` prints, as far as experiments take figures from it."""
    accuracy = {"mean": 0.7, "low": 0.6, "high": 0.8}
    keys = ("accuracy", "untrained", "less_untrained", "less_tfidf")
    of = {"objective": "authors", "blocks": "ad"} | dict.fromkeys(keys, accuracy)
    return {"tfidf": accuracy, "networks": [of for _ in step.needs]}


def gained() -> dict[str, Any]:
    """What `context_gain --json` prints, as far as experiments take figures from it."""
    difference = {"mean": -0.3, "low": -0.4, "high": -0.2}
    of = {"documents": 90, "contexts": 9.5, "tokens": 800, "clusters": 20}
    kinds = ("group", "ancestors")
    gains = [{"kind": kind, **of, "difference": difference} for kind in kinds]
    return {"documents": 100, "gains": gains}


def compared(step: Step) -> dict[str, Any]:
    """What `compare --json` prints, as far as experiments take figures from it: of finalists their
    three alone, whose nats depend on the seed, but not how they differ."""
    networks = {
        "derived": ("addd", 6.03, 6.5, 6.0),
        "interleaved = sandwich": ("adad", 6.0, 10.0, 10.5),
        "random 1": ("ddad", 6.1, 7.0, 7.0),
        "all dense": ("dddd", 7.0, 5.0, 5.0),
    }
    is_final = any(each.startswith("--finalists_of") for each in step.arguments)
    seed = next(int(each.split("=")[1]) for each in step.arguments if each.startswith("--seed="))
    found = [
        {
            "names": names.split(" = "),
            "blocks": blocks,
            "random": names.startswith("random") and not is_final,
            "cost": cost,
            "latency": {"inference": {"milliseconds": milliseconds}},
            "runs": [{"nll_per_word": x + seed / 100, "perplexity_per_word": math.exp(x)}],
        }
        for names, (blocks, x, cost, milliseconds) in networks.items()
        if not is_final or names != "all dense"
    ]
    saving = {"inference": {"mean": 0.38, "low": 0.37, "high": 0.4}}
    return {"networks": found, "interleaved": {"saving": saving}}


def all_networks() -> dict[str, Any]:
    """What `compare --all --json` prints: network n of `networks.network_at` has perplexity
    499 + n on valid, so that `i` is the best."""
    return {
        "networks": [
            {
                "network": networks.network_at(n),
                "seeds": 3,
                "valid": {"mean": 499.0 + n, "low": 498.0 + n, "high": 500.0 + n},
                "test": {"mean": 599.0 + n, "low": None, "high": None},
            }
            for n in range(1, networks.count(6) + 1)
        ]
    }


def replayed(step: Step) -> dict[str, Any]:
    """What `replay --json` prints: a ranking of another table, of each search, and a way without
    one."""
    regret = {"1": None, "8": {"median": 0.02, "low": 0.01, "high": 0.03}}
    way = {"within": 0.5, "regret": regret, "trainings": 8.0}
    searches = [name for name in step.needs if name not in ("all", "masked")]
    ways = [{"name": "masked_lm on words", "tau_b": {"mean": 0.1, "low": 0, "high": 0.2}, **way}]
    ways += [
        {"name": f"{name}-0123{how}", "tau_b": {"mean": 0.5, "low": 0.4, "high": 0.6}, **way}
        for name in searches
        for how in ("", ", inherited")
    ]
    claims = {"networks": 127, "noise": 0.008, "bound_held": 0.97, "called": 0.2}
    claims |= {"called_rightly": None, "twins_called": 0.015}
    return {"ways": [*ways, {"name": "random", "tau_b": None, **way}], **claims}


def ways_of(training: Step) -> tuple[str, ...]:
    """How the network of a training is scored."""
    is_fixed = any(each.startswith("--architecture=") for each in training.arguments)
    return ("fixed",) if is_fixed else ("soft", "argmax")
