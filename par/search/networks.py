"""The probability of a network under pi: the sum over all strings that spell it.

Identity adds nothing, so a network is a string of `a` and `d`, and many strings of L kinds spell
it: `ddad` of six blocks is spelled by every placement of two identities. The blocks are drawn
independently, so its probability is the sum over its placements, which a dynamic programme over
block and position finds, as the forward variable of CTC does over time and label, where identity
takes the part of the blank (Graves et al. 2006, section 4.1):

    f_l[k] = f_l-1[k] pi_l,i + f_l-1[k-1] pi_l,w_k      f_0[0] = 1,   p(w) = f_L[len(w)]

Equal letters may follow each other without an identity between them, unlike CTC's labels. All is
computed with logarithms: a probability may be as small as exp(-700 L).
"""

from __future__ import annotations

import numpy as np

from par.search.architecture import KINDS, network_of

LETTERS = KINDS.replace("i", "")  # of a network
MAX_ENUMERATED = 16  # blocks, up to which all networks are enumerated: 131,071


def count(depth: int) -> int:
    """The number of networks of at most `depth` blocks, 2^(depth+1) - 1."""
    return (1 << depth + 1) - 1


def log_rows(pi: np.ndarray, blocks: str) -> np.ndarray:
    """[L, O] log pi of every block of a search, 0 and -inf where the block is fixed. pi: [L, O],
    of which only the rows of stochastic blocks are read."""
    chosen = [
        row if kind == "s" else np.eye(len(KINDS))[KINDS.index(kind)]
        for kind, row in zip(blocks, np.asarray(pi, np.float64))
    ]
    with np.errstate(divide="ignore"):
        return np.log(np.array(chosen).reshape(-1, len(KINDS)))


def letters_of(network: str) -> str:
    """The blocks of a network that compute: none of the network `i`."""
    return network_of(network).replace("i", "")


def log_probability(rows: np.ndarray, network: str) -> float:
    """log p of a network, nats; -inf if it is impossible. rows: [L, O] of `log_rows`."""
    columns = [KINDS.index(letter) for letter in letters_of(network)]
    f = np.full(len(columns) + 1, -np.inf)
    f[0] = 0.0
    for row in rows:
        emitted = f[:-1] + row[columns]
        f = f + row[KINDS.index("i")]
        f[1:] = np.logaddexp(f[1:], emitted)
    return float(f[-1])


def all_log_probabilities(rows: np.ndarray) -> np.ndarray:
    """log p [2^(L+1)] of all networks of at most L blocks, by their number (`network_at`); entry 0
    is none. rows: [L, O] of `log_rows`.

    The networks are the nodes of a binary tree, numbered as a heap: 1 is the network of no blocks,
    2n and 2n + 1 are network n with an attention or a dense block behind it. Time and memory are
    L 2^L: 16 blocks took 8 ms on one core of an Intel Xeon.
    """
    found = np.array([-np.inf, 0.0])
    for of_attention, of_dense, of_identity in rows:
        grown = np.full(2 * len(found), -np.inf)
        grown[2::2], grown[3::2] = found[1:] + of_attention, found[1:] + of_dense
        grown[: len(found)] = np.logaddexp(grown[: len(found)], found + of_identity)
        found = grown
    return found


def network_at(number: int) -> str:
    """The network of a number from 1 on, see `all_log_probabilities`."""
    return network_of("".join(LETTERS[int(bit)] for bit in bin(number)[3:]))


def number_of(network: str) -> int:
    """The number of a network in any spelling, the inverse of `network_at`."""
    return int("1" + "".join(str(LETTERS.index(letter)) for letter in letters_of(network)), 2)


def counts_of_all(depth: int) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of attention and of dense blocks, [2^(depth+1)] each, of all networks by number;
    entry 0 is none."""
    attention, dense = np.zeros(2, np.int64), np.zeros(2, np.int64)
    for _ in range(depth):
        last = slice(len(attention) // 2, None)  # the networks of one length
        attention = np.append(
            attention, np.repeat(attention[last], 2) + [1, 0] * len(attention[last])
        )
        dense = np.append(dense, np.repeat(dense[last], 2) + [0, 1] * len(dense[last]))
    return attention, dense


def spelling(rows: np.ndarray, network: str) -> str:
    """The likeliest string of L kinds that spells a network; of equally likely ones the one whose
    last blocks are identities. rows: [L, O] of `log_rows`. Raises: ValueError if the network is
    impossible.

    The same recursion with the maximum in the place of the sum (Viterbi), and backtracking.
    """
    letters, identity = letters_of(network), KINDS.index("i")
    columns = [KINDS.index(letter) for letter in letters]
    best, emits = np.full(len(letters) + 1, -np.inf), []
    best[0] = 0.0
    for row in rows:
        emitted = np.append(-np.inf, best[:-1] + row[columns])
        stayed = best + row[identity]
        emits.append(emitted > stayed)
        best = np.maximum(emitted, stayed)
    if best[-1] == -np.inf:
        raise ValueError(f"no string of {len(rows)} blocks spells {network!r} with this pi")
    at, kinds = len(letters), []
    for emit in reversed(emits):
        kinds.append(letters[at - 1] if emit[at] else "i")
        at -= bool(emit[at])
    return "".join(reversed(kinds))
