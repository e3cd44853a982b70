"""Continues a text by the network in step.py's directory, with sentencepiece.

python generate.py "The list" --length 50 --temperature 0.8 --top_p 0.9 --seed 1
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from step import Step
from text import EOS, SPECIAL, Tokenizer

HERE = Path(__file__).parent


def draw(log_prob: np.ndarray, settings: argparse.Namespace, numbers: np.random.Generator) -> int:
    """An id by its log-probability [V]: of the top_k likeliest (0: all), and of those the fewest
    that together have the probability top_p. Temperature 0: the likeliest."""
    log_prob = log_prob.astype(np.float64)
    log_prob[[token for token in range(SPECIAL) if token != EOS]] = -np.inf
    if settings.temperature == 0:
        return int(log_prob.argmax())
    order = np.argsort(-log_prob, kind="stable")[: settings.top_k or None]
    scaled = np.exp((log_prob[order] - log_prob[order[0]]) / settings.temperature)
    share = scaled / scaled.sum()
    kept = share[np.cumsum(share) - share < settings.top_p]
    return int(order[numbers.choice(len(kept), p=kept / kept.sum())])


def written(ids: list[int], settings: argparse.Namespace) -> Iterator[int]:
    """The ids after those of a prompt, one by one; the network remembers what it has read."""
    step, numbers = Step(HERE), np.random.default_rng(settings.seed)
    waiting = [EOS, *ids]
    for place in range(len(ids) + settings.length):
        log_prob = step(waiting[place])
        if place >= len(ids):
            waiting.append(draw(log_prob, settings, numbers))
            yield waiting[-1]


def main() -> None:
    """Prints the prompt and what the network writes after it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("prompt", nargs="?", default="", help="the text to continue")
    parser.add_argument("--length", type=int, default=100, help="tokens")
    parser.add_argument("--temperature", type=float, default=1.0, help="0: always the likeliest")
    parser.add_argument("--top_k", type=int, default=0, help="0: all")
    parser.add_argument("--top_p", type=float, default=1.0, help="of the probability")
    parser.add_argument("--seed", type=int, default=0)
    settings = parser.parse_args()
    tokenizer = Tokenizer(HERE)
    ids = tokenizer.prompt(settings.prompt.rstrip(" "))
    print(tokenizer.decode([*ids, *written(ids, settings)]))


if __name__ == "__main__":
    main()
