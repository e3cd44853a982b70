"""Which tokens of a window a masked language model has to predict, and what it sees there.

Everything is a pure function of a seed for each row, so that a row's masks depend neither on the
batch nor on the network. Only ordinary tokens are selected: never padding, nor a special piece.
Letters: B rows, T positions, n ordinary tokens of a row, k = round(rate n) of them to select.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from par.data.tokenizer import MASK, SPECIAL_PIECES
from par.nn.forward_mode import row_uniforms
from par.objectives.settings import EVALUATION_RATE, most_selected

FIRST = len(SPECIAL_PIECES)  # id of the first ordinary piece
NUMBERS = 5  # uniform numbers a position, of which each use takes its own


def ordinary(tokens: tf.Tensor) -> tf.Tensor:
    """[B, T] bool: which tokens may be selected."""
    return tokens >= FIRST


def number_of(eligible: tf.Tensor, rate: float) -> tf.Tensor:
    """[B] int32: how many tokens of each row are selected, rate * n rounded, halves up."""
    count = tf.reduce_sum(tf.cast(eligible, tf.float32), axis=1)
    return tf.cast(tf.floor(rate * count + 0.5), tf.int32)


def lowest(scores: tf.Tensor, allowed: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """[B, N] bool: the `count` [B] lowest scores [B, N] of each row among the allowed ones: a
    uniform choice without replacement, if the scores are uniform."""
    order = tf.argsort(tf.where(allowed, scores, 2.0), axis=1, stable=True)
    ranks = tf.argsort(order, axis=1, stable=True)
    return allowed & (ranks < count[:, None])


def tokens_of(uniforms: tf.Tensor, eligible: tf.Tensor, rate: float) -> tf.Tensor:
    """[B, T] bool: exactly round(rate n) tokens of each row, uniformly. uniforms: [B, T]."""
    return lowest(uniforms, eligible, number_of(eligible, rate))


def scored(tokens: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
    """[B, T] bool: the tokens of windows [B, T] that an evaluation scores, all of them [MASK]:
    single tokens at EVALUATION_RATE. seeds: [B, 2], of `Phase.row_seeds`."""
    return tokens_of(uniforms(seeds, tokens.shape[1])[0], ordinary(tokens), EVALUATION_RATE)


def span_lengths(uniforms: tf.Tensor, p: float, most: int) -> tf.Tensor:
    """[B, N] int32 lengths of spans from 1 to `most`, with P(l) proportional to (1-p)^(l-1) (Joshi
    et al. 2020, section 3.1; p 0.2 and 10 have a mean of 3.8). uniforms: [B, N].

    The inverse of the distribution: F(l) = (1 - q^l) / (1 - q^most), q = 1 - p.
    """
    if p == 1.0:
        return tf.ones(tf.shape(uniforms), tf.int32)
    within = -math.expm1(most * math.log1p(-p))  # 1 - q^most
    lengths = 1 + tf.floor(tf.math.log1p(-within * uniforms) / math.log1p(-p))
    return tf.cast(tf.minimum(lengths, float(most)), tf.int32)


def spans_of(
    of_lengths: tf.Tensor,
    of_places: tf.Tensor,
    eligible: tf.Tensor,
    rate: float,
    p: float,
    most: int,
) -> tf.Tensor:
    """[B, T] bool: round(rate n) tokens of each row in spans that do not touch each other.

    Lengths are drawn until they reach that number; the last span is cut to it. With m spans and
    n - k tokens that stay, there are n - k + 1 places before, between and behind the latter; m of
    them are chosen uniformly, and each takes one span. So a token that stays lies between any two
    spans, and every such arrangement is equally probable. Where there are not m places, the last
    span takes what is left. Special pieces count as no token: a span may go on behind one.
    of_lengths: [B, T], of_places: [B, T + 1] uniform numbers.
    """
    return _apart(span_lengths(of_lengths, p, most), of_places, eligible, rate)


def runs_of(of_places: tf.Tensor, eligible: tf.Tensor, rate: float, length: int) -> tf.Tensor:
    """[B, T] bool: as `spans_of` with spans of `length` tokens, all but the last one."""
    lengths = tf.fill(tf.shape(eligible), min(length, eligible.shape[1]))
    return _apart(lengths, of_places, eligible, rate)


def _apart(
    lengths: tf.Tensor, of_places: tf.Tensor, eligible: tf.Tensor, rate: float
) -> tf.Tensor:
    """`spans_of` with spans of these lengths [B, T], taken in turn."""
    count, size = number_of(eligible, rate), tf.shape(eligible)[1]
    ordinary_tokens = tf.reduce_sum(tf.cast(eligible, tf.int32), axis=1)
    places = ordinary_tokens - count + 1  # [B]
    before = tf.cumsum(lengths, axis=1, exclusive=True)
    number = tf.reduce_sum(tf.cast(before < count[:, None], tf.int32), axis=1)
    number = tf.minimum(number, places)  # m
    place = tf.range(size + 1)[None]
    chosen = lowest(of_places, place < places[:, None], number)
    index = tf.cumsum(tf.cast(chosen, tf.int32), axis=1) - 1  # of the span at a place
    index = tf.maximum(index, 0)
    start = tf.gather(before, tf.minimum(index, size - 1), batch_dims=1)
    end = tf.where(
        index == number[:, None] - 1,
        count[:, None],
        tf.gather(before + lengths, tf.minimum(index, size - 1), batch_dims=1),
    )
    length = tf.where(chosen, end - start, 0)  # [B, T + 1] of the span at each place
    # a span at place s stands behind s tokens that stay and the spans at earlier places
    first = place + tf.cumsum(length, axis=1, exclusive=True)
    begin, end = (_at_spans(at, length > 0) for at in (first, first + length))
    inside = tf.cumsum(begin - end, axis=1)
    rank = tf.maximum(tf.cumsum(tf.cast(eligible, tf.int32), axis=1) - 1, 0)
    return eligible & (tf.gather(inside, rank, batch_dims=1) > 0)


def _at_spans(places: tf.Tensor, is_span: tf.Tensor) -> tf.Tensor:
    """[B, T + 1] int32: 1 at the places [B, T + 1] of spans, those where is_span [B, T + 1]."""
    within = tf.where(is_span, places, 0)
    return at_places(tf.cast(is_span, tf.int32), within, is_span.shape)


def words_of(
    uniforms: tf.Tensor, eligible: tf.Tensor, begins: tf.Tensor, rate: float
) -> tf.Tensor:
    """[B, T] bool: whole words of each row, in all at most k = round(rate n) tokens.

    A word is an ordinary token that begins one and the ordinary tokens behind it that do not. A
    word also begins behind a special piece and where the row begins: of one that reaches into the
    row from the window before, the rest is a word.

    The words are gone through in a uniformly random order, and each is taken that still fits into
    k. So none is cut, and what lacks of k is less than the length of every word that is left: with
    one of a single token among them, nothing. If no word of the row fits, the first one in that
    order is cut to its first k tokens. uniforms: [B, T], of which a word takes that of its first
    token. begins: [B, T] bool.
    """
    count, size = number_of(eligible, rate), tf.shape(eligible)[1]
    inside = tf.pad(eligible, [[0, 0], [1, 0]])[:, :-1]  # the token before is ordinary
    first = eligible & (begins | ~inside)
    number = tf.cumsum(tf.cast(first, tf.int32), axis=1)
    # [B, T, T] the token of the last axis belongs to the word of that of the middle one
    together = (number[:, :, None] == number[:, None]) & (eligible[:, :, None] & eligible[:, None])
    length = tf.reduce_sum(tf.cast(together, tf.int32), axis=2)
    order = tf.argsort(tf.where(first, uniforms, 2.0), axis=1, stable=True)
    length = tf.where(
        tf.gather(first, order, batch_dims=1), tf.gather(length, order, batch_dims=1), size + 1
    )  # [B, T] of the words in their order; behind them, what never fits

    def take(taken: tf.Tensor, left: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Takes the words that fit, up to the first one for which those before it leave no room:
        what going through them one by one takes up to there, as the room never grows."""
        fits = ~taken & (length <= left[:, None])
        ends = tf.cumsum(tf.where(fits, length, 0), axis=1)
        taken |= fits & (ends <= left[:, None])
        return taken, count - tf.reduce_sum(tf.where(taken, length, 0), axis=1)

    def is_open(taken: tf.Tensor, left: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(~taken & (length <= left[:, None]))

    taken, _ = tf.while_loop(is_open, take, [tf.zeros_like(eligible), count])
    cut = tf.reduce_all(~taken, axis=1)[:, None] & (tf.range(size) == 0)
    chosen = tf.gather(taken | cut, tf.argsort(order, axis=1), batch_dims=1) & first
    selected = tf.reduce_any(together & chosen[:, None], axis=2)
    # only a word that is cut has more
    rank = tf.cumsum(tf.cast(selected, tf.int32), axis=1)
    return selected & (rank <= count[:, None])


def selected_places(selected: tf.Tensor, rate: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Of K tokens of a row, the most that are selected at a rate: places [B, K] int32, the
    selected ones first, in the order of the text; and weights [B, K] float32, 0 for what is not.
    selected: [B, T] bool."""
    most = most_selected(rate, selected.shape[1])
    places = tf.argsort(tf.cast(~selected, tf.int32), axis=1, stable=True)[:, :most]
    return places, tf.cast(tf.gather(selected, places, batch_dims=1), tf.float32)


def at_places(values: tf.Tensor, places: tf.Tensor, shape: Sequence[int]) -> tf.Tensor:
    """[B, T] = shape, values [B, K] at places [B, K] of each row, and 0 elsewhere."""
    rows = tf.broadcast_to(tf.range(shape[0])[:, None], places.shape)
    return tf.scatter_nd(tf.stack([rows, places], axis=-1), values, shape)


def corrupted(
    tokens: tf.Tensor,
    selected: tf.Tensor,
    of_kinds: tf.Tensor,
    of_ids: tf.Tensor,
    split: tuple[float, float, float],
    vocab_size: int,
) -> tf.Tensor:
    """[B, T] what the network sees: of the selected tokens a share split[0] is [MASK], split[1]
    any ordinary piece, and the rest itself (Devlin et al. 2019: 0.8, 0.1, 0.1). of_kinds, of_ids:
    [B, T] uniform numbers."""
    drawn = FIRST + tf.cast(of_ids * (vocab_size - FIRST), tf.int32)
    drawn = tf.minimum(drawn, vocab_size - 1)  # of_ids may round up to 1
    masked, replaced = split[0], split[0] + split[1]
    seen = tf.where(of_kinds < masked, MASK, tf.where(of_kinds < replaced, drawn, tokens))
    return tf.where(selected, seen, tokens)


def uniforms(seeds: tf.Tensor, size: int) -> list[tf.Tensor]:
    """NUMBERS tensors of uniform numbers from the seed of each row [B, 2]: [B, T], the last one
    [B, T + 1]."""
    drawn = row_uniforms(seeds, NUMBERS * size + 1)
    return [drawn[:, n * size : (n + 1) * size] for n in range(NUMBERS - 1)] + [
        drawn[:, (NUMBERS - 1) * size :]
    ]
