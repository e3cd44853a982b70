"""A network as a string of blocks: `a` relative attention, `d` dense, `i` identity, `s` stochastic
(the search chooses a, d or i).

An `Architecture` is the only value that search, training and plots exchange. Identity adds
nothing, so `diidad`, `iddaid` and `ddad` are one network, and architectures are equal if their
networks are.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from par.core import schema
from par.core.errors import DataError, SettingError, UsageError
from par.search.latency_check import LatencyCheck

KINDS = "adi"  # the kinds that a stochastic block chooses from, the columns of alpha and pi
NAMES = {"a": "Attention", "d": "Dense", "i": "Identity", "s": "Stochastic"}
HOLDS = {"a": "a", "d": "d", "i": "", "s": "ad"}  # the kinds whose weights a block has
MAX_BLOCKS = 1024  # `999999999s` is refused before anything is allocated
SCHEMA = 2
# rules by which blocks are chosen: by hand; the likeliest kind of each block; the likeliest
# network; that within a latency; by depth; by training the networks that there are
HAND, STRING_RULES, LIKELIEST, BUDGET = "hand", ("argmax", "consensus"), "likeliest", "budget"
PATTERNS, CERTIFIED = ("paper",), "certified"
RULES = (HAND, *STRING_RULES, LIKELIEST, BUDGET, *PATTERNS, CERTIFIED)


@dataclasses.dataclass(frozen=True, eq=False)
class Architecture:
    """The kinds of the blocks, one letter each, and how they were chosen. Equal to another if both
    are the same network, however it is spelled and was chosen."""

    blocks: str
    rule: str = HAND  # hand, or the rule of tools/derive.py that chose the blocks
    search_run: str = ""  # name of the run that the blocks were derived from
    # [L, O], rows in the order of KINDS; empty unless derived
    pi: tuple[tuple[float, ...], ...] = ()
    seeds: tuple[int, ...] = ()
    latency: LatencyCheck | None = None  # predicted and measured, where known

    def __post_init__(self) -> None:
        if len(self.blocks) > MAX_BLOCKS or set(self.blocks) - set(NAMES):
            raise UsageError(
                f"blocks must be at most {MAX_BLOCKS} letters of {''.join(NAMES)}, but are"
                f" {self.blocks[:40]!r}"
            )
        if self.pi and (
            len(self.pi) != len(self.blocks) or any(len(row) != len(KINDS) for row in self.pi)
        ):
            raise UsageError(
                f"pi must have a row of {len(KINDS)} for each of the {len(self.blocks)} blocks"
            )

    def __len__(self) -> int:
        return len(self.blocks)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Architecture):
            return NotImplemented
        return self.network == other.network

    def __hash__(self) -> int:
        return hash(self.network)

    @property
    def network(self) -> str:
        """The canonical spelling of the blocks, see `network_of`."""
        return network_of(self.blocks)

    @property
    def named(self) -> str:
        """The network, and how it is spelled where that differs: `ddad, spelled diidad`."""
        spelled = "" if self.blocks == self.network else f", spelled {self.short}"
        return f"{Architecture(self.network).short}{spelled}"

    @property
    def canonical(self) -> Architecture:
        """The network in its canonical spelling and the search that it comes from, without the
        rest of what is known of the choice."""
        return Architecture(self.network, search_run=self.search_run)

    @property
    def is_search(self) -> bool:
        """Whether any block is stochastic."""
        return "s" in self.blocks

    @property
    def short(self) -> str:
        """The blocks, with repeated letters counted if that halves the length: `6s` for `ssssss`,
        but `aaadad`."""
        runs = ((letter, len(list(group))) for letter, group in itertools.groupby(self.blocks))
        counted = "".join(f"{count if count > 1 else ''}{letter}" for letter, count in runs)
        return counted if 2 * len(counted) <= len(self.blocks) else self.blocks

    def to_json(self) -> dict[str, Any]:
        """The content of architecture.json."""
        return {
            "schema": SCHEMA,
            "blocks": self.blocks,
            "rule": self.rule,
            "search_run": self.search_run,
            "kinds": KINDS,
            "pi": [list(row) for row in self.pi],
            "seeds": list(self.seeds),
            "latency": self.latency and self.latency.to_json(),
        }

    def save(self, path: Path) -> None:
        """Writes architecture.json."""
        schema.write_json(path, self.to_json())


def network_of(blocks: str) -> str:
    """The canonical spelling of the network of `blocks`: without `i`, which adds nothing. The
    network of no blocks (embedding and softmax alone) is spelled `i`, so that it has a name.

    Blocks with an `s` are not a network yet, and stay as they are: users read the logits by the
    number of their block.
    """
    return blocks if "s" in blocks else blocks.replace("i", "") or "i"


def unheld(blocks: str, source: str) -> str:
    """Why blocks can't take the weights of those of `source`, at the same places, or '' if they
    can: both are one network, or each place of the source holds the kinds of the other."""
    if network_of(blocks) == network_of(source):
        return ""
    if len(blocks) != len(source):
        return f"there are {len(blocks)} blocks and {len(source)}"
    for number, (own, theirs) in enumerate(zip(blocks, source), 1):
        if set(HOLDS[own]) - set(HOLDS[theirs]):
            return f"block {number} is {own}, and {theirs} does not hold that"
    return ""


def argmax(pi: Any) -> str:
    """The likeliest kind of each row of pi [L, O]; of equal ones the cheapest: identity before
    dense before attention."""
    pi = np.asarray(pi)
    return "".join(KINDS[len(KINDS) - 1 - int(column)] for column in pi[:, ::-1].argmax(axis=1))


def interleaved(num_blocks: int) -> str:
    """The blocks of the interleaved Transformer-XL: attention and dense alternate, attention
    first."""
    return ("ad" * num_blocks)[:num_blocks]


def parse(text: str) -> Architecture:
    """An architecture from `aaddid`, from multiples such as `6s`, `4a2d`, `3(ad)`, or from a path
    to an architecture.json.

    Raises: UsageError for a bad string, DataError for a bad file.
    """
    text = text.strip()
    if text.endswith(".json"):
        return load(Path(text))
    blocks, rest = _expand(text, 0)
    if rest != len(text) or not blocks:
        raise _bad(text)
    return Architecture(blocks)


def _bad(text: str) -> UsageError:
    return SettingError(
        f"architecture must be letters of {''.join(NAMES)} with multiples, such as 6s, 4a2d or"
        f" 3(ad), at most {MAX_BLOCKS} blocks, or the path of an architecture.json, but is"
        f" {text[:60]!r}",
        "architecture",
    )


def _expand(text: str, at: int, depth: int = 0) -> tuple[str, int]:
    """Expands multiples from position `at` to the end or to an unmatched closing bracket; returns
    the blocks and where it stopped."""
    out = ""
    while at < len(text) and text[at] != ")":
        digits = re.compile(r"[0-9]{0,9}").match(text, at).group()
        at += len(digits)
        count = int(digits or 1)
        if at < len(text) and text[at] == "(" and depth < 8:
            inner, at = _expand(text, at + 1, depth + 1)
            if at >= len(text):
                raise _bad(text)
        elif at < len(text) and text[at] in NAMES:
            inner = text[at]
        else:
            raise _bad(text)
        at += 1
        if not inner or count == 0 or len(out) + count * len(inner) > MAX_BLOCKS:
            raise _bad(text)
        out += count * inner
    return out, at


def load(path: Path) -> Architecture:
    """Reads architecture.json. Raises: DataError unless every field has the right type and the
    blocks are valid and consistent with rule, pi and latency."""
    value = schema.read_json(path, "architecture")
    # files of schema 1 have no latency
    if schema.is_schema(value, 1) and "latency" not in value:
        value |= {"schema": SCHEMA, "latency": None}
    expected = set(Architecture("a").to_json())
    if set(value) != expected or not schema.is_schema(value, SCHEMA):
        raise DataError(
            f"architecture {path} must have schema {SCHEMA} and the keys"
            f" {', '.join(sorted(expected))}; got {sorted(value)}"
        )
    ok = (
        all(isinstance(value[key], str) for key in ("blocks", "rule", "search_run"))
        and value["blocks"]
        and value["kinds"] == KINDS
    )
    ok = (
        ok
        and isinstance(value["pi"], list)
        and all(isinstance(row, list) and _is_distribution(row) for row in value["pi"])
    )
    ok = (
        ok
        and isinstance(value["seeds"], list)
        and all(type(seed) is int and 0 <= seed < 1 << 31 for seed in value["seeds"])
    )
    if not ok:
        raise DataError(
            f"architecture {path} is not valid: a field has the wrong type, or a row of pi is"
            " not a distribution"
        )
    try:
        pi = tuple(tuple(map(float, row)) for row in value["pi"])
        latency = None if value["latency"] is None else LatencyCheck.from_json(value["latency"])
        made = Architecture(
            blocks=value["blocks"],
            rule=value["rule"],
            search_run=value["search_run"],
            pi=pi,
            seeds=tuple(value["seeds"]),
            latency=latency,
        )
    except UsageError as error:
        raise DataError(f"architecture {path} is not valid: {error}") from None
    if problem := _contradiction(made):
        raise DataError(f"architecture {path} contradicts itself: {problem}")
    return made


def _contradiction(made: Architecture) -> str:
    """A field that the rule by which the blocks were chosen can't have produced, as a phrase, or
    ''."""
    by_pi = made.rule in (*STRING_RULES, LIKELIEST, BUDGET)
    budget = made.latency.budget_ms if made.latency else None
    if made.rule not in RULES:
        return f"rule is {made.rule[:40]!r}, not one of {', '.join(RULES)}"
    if bool(made.pi) != by_pi or bool(made.seeds) != by_pi or (made.search_run and not by_pi):
        return (
            f"rule {made.rule}"
            f" {'needs the pi of a search' if by_pi else 'does not use a search'}, but there are"
            f" {len(made.pi)} rows of pi, {len(made.seeds)} seeds, and search_run is"
            f" {made.search_run[:80]!r}"
        )
    if by_pi and made.is_search:
        return f"rule {made.rule} leaves no block stochastic, but blocks are {made.blocks[:80]}"
    if made.rule in STRING_RULES and (likeliest := argmax(made.pi)) != made.blocks:
        return f"blocks are {made.blocks[:80]}, but the likeliest by pi are {likeliest[:80]}"
    may_have = made.rule in (BUDGET, CERTIFIED)
    if made.latency and ((made.rule == BUDGET and budget is None) or (budget and not may_have)):
        return f"rule is {made.rule}, but the budget is {budget} ms"
    if budget is not None:
        case = next(case for case in made.latency.cases if case.what == made.latency.chosen_by)
        if case.network_ms > budget and not schema.is_near(case.network_ms, budget):
            return f"the budget is {budget} ms, but the network takes {case.network_ms} ms"
        ratio = made.latency.budget_ratio
        if ratio is not None and not schema.is_near(budget, ratio * case.interleaved_ms):
            return f"the budget is {budget} ms, but {ratio} of {case.interleaved_ms} ms"
    return ""


def _is_distribution(row: list[Any]) -> bool:
    return all(type(p) in (int, float) and 0 <= p <= 1 for p in row) and abs(sum(row) - 1) < 1e-3


def pi_table(blocks: str, stochastic_pi: Sequence[Sequence[float]]) -> np.ndarray:
    """pi of every block: [L, O], the rows of `stochastic_pi` [number of s, O] where the block is
    stochastic, one-hot elsewhere."""
    if len(stochastic_pi) != blocks.count("s"):
        raise ValueError(
            f"stochastic_pi must have a row for each s of {blocks!r}, but has {len(stochastic_pi)}"
        )
    rows = iter(stochastic_pi)
    table = [
        next(rows) if kind == "s" else np.eye(len(KINDS))[KINDS.index(kind)] for kind in blocks
    ]
    return np.array(table, np.float64).reshape(len(blocks), len(KINDS))
