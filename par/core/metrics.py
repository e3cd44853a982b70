"""Perplexity per token and per word, bits per character and per byte, from sums over a split."""

from __future__ import annotations

import math

# the figures by which networks are compared
COMPARED = ("perplexity_per_token", "perplexity_per_word", "bits_per_character", "bits_per_byte")


def figures(
    nll_sum: float, scored: float, *, tokens: int, words: int, characters: int, bytes_: int
) -> dict[str, float]:
    """The figures of a split, by name.

    nll_sum: nats over the `scored` tokens of the split's `tokens`. words: whitespace-separated
    words of the original text plus one per line end, as is usual in the literature. characters,
    bytes_: its Unicode characters and UTF-8 bytes, line ends included. All three are scaled by
    scored / tokens, as the first token is not a target. A perplexity that overflows is infinite.
    """
    share = scored / tokens
    return {
        "nll_per_token": nll_sum / scored,
        "perplexity_per_token": perplexity(nll_sum / scored),
        "perplexity_per_word": perplexity(nll_sum / (words * share)),
        "bits_per_character": nll_sum / math.log(2) / (characters * share),
        "bits_per_byte": nll_sum / math.log(2) / (bytes_ * share),
        "tokens": int(scored),
        "words": words * share,
    }


def gap(soft: dict[str, float], argmax: dict[str, float]) -> dict[str, float]:
    """The cost of discretisation, from the `figures` of the mixture and of its argmax: the
    difference of nll per token (nats), and the factor by which perplexity per word grows, infinite
    if that overflows."""
    more = argmax["nll_per_token"] - soft["nll_per_token"]
    return {
        "nll_per_token": more,
        "perplexity_per_word_ratio": perplexity(more * soft["tokens"] / soft["words"]),
    }


def finite(scores: dict[str, float]) -> dict[str, float | None]:
    """The same figures with None instead of infinity, which JSON can't hold."""
    return {name: value if math.isfinite(value) else None for name, value in scores.items()}


def perplexity(nll: float) -> float:
    """exp(nll), infinity where that overflows."""
    try:
        return math.exp(nll)
    except OverflowError:
        return math.inf
